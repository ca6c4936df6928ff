"""Hash DVC's cache and the pipeline's outputs anew and name each file that changed: `python -m commands.verify`.

DVC itself trusts a read-only file in its cache, and a file whose time and size it remembers, without
hashing it. Exits 1 if a file is damaged. A missing one is no damage: `dvc pull` or `dvc repro` brings it.
"""

import json
import sys
from pathlib import Path

import yaml
from dvc.repo import Repo
from tqdm import tqdm

from transfer.runtime.files import md5_of


def recorded_outputs(lock: Path) -> dict[Path, tuple[str, str]]:
    """Each output, file or folder, that dvc.lock records: its path from the root, with its stage and MD5."""
    if not lock.exists():
        return {}
    stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]
    return {Path(out["path"]): (name, out["md5"]) for name, entry in stages.items() for out in entry.get("outs", [])}


def recorded_files(lock: Path, cache: Path) -> dict[Path, tuple[str, str]]:
    """`recorded_outputs` with what is in a folder, which the cache records; without that, or damaged, it stays one."""
    found: dict[Path, tuple[str, str]] = {}
    for path, (name, digest) in recorded_outputs(lock).items():
        listing = cache / digest[:2] / digest[2:]
        if digest.endswith(".dir") and listing.is_file() and md5_of(listing) == digest.removesuffix(".dir"):
            inside = json.loads(listing.read_text(encoding="utf-8"))
            found |= {path / file["relpath"]: (name, file["md5"]) for file in inside}
        else:
            found[path] = (name, digest)
    return found


def main(root: Path) -> int:
    with Repo(str(root)) as repo:
        cache = Path(repo.cache.local.path)
    outputs = recorded_files(root / "dvc.lock", cache)
    # Of two outputs with one content the first is named, which the other was copied from.
    holders = {digest: f"{path} of stage {stage}" for path, (stage, digest) in reversed(outputs.items())}
    cached = sorted(path for path in cache.glob("[0-9a-f][0-9a-f]/*") if path.is_file())
    present = [path for path in outputs if (root / path).is_file()]
    damaged = []
    with tqdm(total=len(cached) + len(present), unit="file", disable=None, leave=False) as progress:
        for path in cached:
            name = path.parent.name + path.name
            if md5_of(path) != name.removesuffix(".dir"):
                damaged.append(f"{path}: damaged in the cache ({holders.get(name, 'of an earlier run')})")
            progress.update()
        for path in present:
            stage, digest = outputs[path]
            if md5_of(root / path) != digest:
                damaged.append(f"{path}: not what stage {stage} wrote")
            progress.update()
    for line in damaged:
        print(f"{line}; delete it, then dvc pull or dvc repro", file=sys.stderr)
    missing = len(outputs) - len(present)
    print(
        f"{len(cached)} files of the cache and {len(present)} outputs hashed: {len(damaged)} damaged"
        + (f"; {missing} outputs are not here" if missing else "")
    )
    return 1 if damaged else 0


if __name__ == "__main__":
    sys.exit(main(Path()))
