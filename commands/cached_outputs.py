"""Outputs of any run of the pipeline, by the digests in its dvc.lock: in DVC's cache, or in the workspace."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.utils.serialize import parse_yaml
from dvc_data.hashfile.build import build

from transfer.runtime.errors import DataError
from transfer.runtime.files import md5_of

LOCK = "dvc.lock"

Stages = Mapping[str, Any]


@dataclass(frozen=True)
class Output:
    """What dvc.lock records of a file or folder: the stage that wrote it and its MD5, of a folder with `.dir`."""

    stage: str
    md5: str


def parse_lock(text: str, where: str = LOCK) -> Stages:
    """The stages' entries of a dvc.lock. Raises DataError if it is in conflict or damaged."""
    if any(line.startswith(("<<<<<<< ", ">>>>>>> ")) for line in text.splitlines()):
        raise DataError(f"{where}: holds git's conflict markers; docs/troubleshooting.md has the way out")
    try:
        return dict(parse_yaml(text, where)["stages"])
    except (DvcException, TypeError, KeyError, ValueError):
        raise DataError(f"{where}: damaged; take it from the last commit: git checkout HEAD -- {LOCK}") from None


def cache_folder(root: Path) -> Path:
    """Where DVC keeps files under their MD5."""
    with Repo(str(root)) as repo:
        return Path(repo.cache.local.path)


def folder_md5(files: Iterable[tuple[str, str]]) -> str:
    """DVC's digest of a folder by the relative path and MD5 of each of its files."""
    listing = [{"md5": md5, "relpath": path} for path, md5 in sorted(files)]
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode()).hexdigest() + ".dir"


def digest_of(path: Path) -> str:
    """The digest of a file or folder in the workspace, as DVC computes it."""
    if path.is_dir():
        return folder_md5((f.relative_to(path).as_posix(), md5_of(f)) for f in path.rglob("*") if f.is_file())
    return md5_of(path)


def committed_digest(repo: Repo, path: str) -> str | None:
    """The digest of a file or folder at the revision of `repo`; None if it is not there."""
    there = repo.fs.join(repo.root_dir, path)
    if not repo.fs.exists(there):
        return None
    ignore: Any = repo.dvcignore
    return build(repo.cache.local, there, repo.fs, "md5", dry_run=True, ignore=ignore)[2].hash_info.value


def recorded_outputs(stages: Stages) -> dict[str, Output]:
    """Each output, file or folder, by its path from the root."""
    outs = ((name, out) for name, entry in stages.items() for out in entry.get("outs", []))
    return {out["path"]: Output(name, out["md5"]) for name, out in outs}


def recorded_files(stages: Stages, cache: Path) -> dict[str, Output]:
    """`recorded_outputs` with the files of a folder in its place, if the cache has an undamaged list of them."""
    found: dict[str, Output] = {}
    for path, output in recorded_outputs(stages).items():
        listing = cached_file(cache, output.md5)
        if output.md5.endswith(".dir") and listing.is_file() and md5_of(listing) == output.md5.removesuffix(".dir"):
            files = json.loads(listing.read_text(encoding="utf-8"))
            found |= {f"{path}/{file['relpath']}": Output(output.stage, file["md5"]) for file in files}
        else:
            found[path] = output
    return found


def cached_file(cache: Path, md5: str) -> Path:
    """Where the cache has, or would have, a content."""
    return cache / md5[:2] / md5[2:]


def find_output(root: Path, cache: Path, stages: Stages | None, path: str, command: str) -> Path:
    """A file that holds what dvc.lock records of an output, or of a file in an output folder.

    Raises DataError if neither cache nor workspace has it; `command` would bring it.
    """
    outputs = recorded_outputs(stages or {})
    owner = next((name for name in (path, str(Path(path).parent)) if name in outputs), None)
    if owner is None:
        raise DataError(f"{path}: not in dvc.lock; run dvc repro and commit dvc.lock")
    recorded = recorded_files(stages or {}, cache)
    if path in recorded and cached_file(cache, recorded[path].md5).is_file():  # first, since nothing has to be hashed
        return cached_file(cache, recorded[path].md5)
    for name in (path, owner):
        if name in recorded and (root / name).exists() and digest_of(root / name) == recorded[name].md5:
            return root / path
    raise DataError(f"{path}: neither in DVC's cache nor in the workspace; bring it with: {command} {owner}")
