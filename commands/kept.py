"""Outputs of any run of the pipeline, by the digests in its dvc.lock: from DVC's cache, or from the workspace."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dvc.repo import Repo

from transfer.runtime.errors import DataError
from transfer.runtime.files import md5_of


def cache_folder(root: Path) -> Path:
    """Where DVC keeps files under their MD5."""
    with Repo(str(root)) as repo:
        return Path(repo.cache.local.path)


def digest_of(stages: Mapping[str, Any] | None, path: str) -> str | None:
    """The MD5 of an output that dvc.lock records; None if there is no lock or it does not know the path."""
    outs = (out for entry in (stages or {}).values() for out in entry.get("outs", []))
    return next((out["md5"] for out in outs if out["path"] == path), None)


def kept(root: Path, cache: Path, stages: Mapping[str, Any] | None, path: str, command: str) -> Path:
    """A file that holds what dvc.lock records of an output.

    Raises DataError if neither cache nor workspace has it; `command` would bring it.
    """
    digest = digest_of(stages, path)
    if digest is None:
        raise DataError(f"{path}: not in dvc.lock; run dvc repro and commit dvc.lock")
    cached = cache / digest[:2] / digest[2:]
    if cached.is_file():  # asked first, since nothing has to be hashed
        return cached
    if (root / path).is_file() and md5_of(root / path) == digest:
        return root / path
    raise DataError(f"{path}: neither in DVC's cache nor in the workspace; bring it with: {command} {path}")
