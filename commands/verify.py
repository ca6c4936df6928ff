"""Hash DVC's cache and the pipeline's outputs anew and name each file that changed: `python -m commands.verify`.

DVC itself trusts a read-only file in its cache, and a file whose time and size it remembers, without
hashing it. Exits 1 if a file is damaged. A missing one is no damage: `dvc pull` or `dvc repro` brings it. Nor is
one of another run, as after `git checkout` without `dvc checkout`.
"""

import sys
from pathlib import Path

from commands.cached_outputs import LOCK, cache_folder, digest_of, parse_lock, recorded_files
from commands.entry_point import exit_with
from transfer.runtime.progress import Progress

MEND = "delete it, then dvc pull or dvc repro"


def main(root: Path) -> int:
    cache, lock = cache_folder(root), root / LOCK
    stages = parse_lock(lock.read_text(encoding="utf-8")) if lock.exists() else {}
    recorded = recorded_files(stages, cache)
    # Of two outputs with one content the first is named, which the other was copied from.
    owners = {output.md5: f"{path} of stage {output.stage}" for path, output in reversed(recorded.items())}
    cached = sorted(path for path in cache.glob("[0-9a-f][0-9a-f]/*") if path.is_file())
    present = [path for path in recorded if (root / path).exists()]
    damaged, other, contents = [], [], set()
    with Progress(total=len(cached) + len(present), unit="file", leave=False) as progress:
        for path in cached:
            name = path.parent.name + path.name
            if digest_of(path) == name.removesuffix(".dir"):
                contents.add(name)
            else:
                damaged.append(f"{path}: damaged in the cache ({owners.get(name, 'of an earlier run')})")
            progress.update()
        for path in present:
            digest, output = digest_of(root / path), recorded[path]
            if digest != output.md5 and digest in contents:
                other.append(path)
            elif digest != output.md5:
                damaged.append(f"{path}: not what stage {output.stage} wrote")
            progress.update()
    for line in damaged:
        print(f"{line}; {MEND}", file=sys.stderr)
    for path in other:
        print(f"{path}: of another run, and whole; dvc checkout brings the one that dvc.lock names")
    counts = [f"{len(damaged)} damaged", f"{len(other)} of another run", f"{len(recorded) - len(present)} missing"]
    print(f"{len(cached)} files of the cache and {len(present)} outputs hashed: {', '.join(counts)}")
    return 1 if damaged else 0


if __name__ == "__main__":
    exit_with(lambda: main(Path()))
