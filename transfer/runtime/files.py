"""Files that are there whole or not at all, and whose bytes depend on their content alone."""

import errno
import hashlib
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile

from transfer.runtime.errors import DataError

ROOT = Path(__file__).resolve().parents[2]  # of this copy of the repository
CHUNK_BYTES = 1 << 20


# What CIFS, vboxsf and some FUSE file systems answer where they cannot flush a folder, or anything.
NOT_OFFERED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def sync(path: Path) -> None:
    """Flush a file or folder to disk, where the file system can; where it cannot, say so once."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NOT_OFFERED:
            raise
        _tell_once("note: a disk here cannot flush what is written; a power cut may cost the last files")
    finally:
        os.close(descriptor)


@cache
def _tell_once(note: str) -> None:
    print(note, file=sys.stderr)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; on success flush it to disk and rename it to `path`.

    The body may make a file or a folder there. If it raises, the sibling is removed and whatever
    was at `path` before stays as it was.
    """
    partial = path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove(partial)
    try:
        yield partial
        for written in [partial, *partial.rglob("*")]:
            sync(written)
        if partial.is_dir():  # a folder cannot replace one that is not empty
            _remove(path)
        partial.replace(path)
        sync(path.parent)
    except BaseException as error:
        _remove(partial)
        if isinstance(error, OSError):  # a full disk alone does not say which file did not fit
            error.filename = str(error.filename or path).replace(str(partial), str(path))
        raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON: NaN and infinities are refused with ValueError."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_tsv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Write one line a row under a header of `columns`, by default the first row's keys, which all rows share."""
    keys = list(columns or rows[0])
    lines = [keys, *([row[key] for key in keys] for row in rows)]
    with whole(path) as partial:
        partial.write_text("".join("\t".join(map(str, line)) + "\n" for line in lines), encoding="utf-8")


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays as an uncompressed .npz; equal arrays give equal bytes."""
    with whole(path) as partial, partial.open("wb") as stream:
        # An .npz also says how an array lay in memory, which equal arrays may not share.
        np.savez(stream, allow_pickle=False, **{name: np.asarray(array, order="C") for name, array in arrays.items()})


@contextmanager
def open_arrays(path: Path, *names: str) -> Iterator[Mapping[str, np.ndarray]]:
    """Open an .npz whose members are read when asked for; no pickles.

    Raises DataError if the file is missing, damaged, or lacks one of `names`.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, NpzFile):
            raise ValueError("it holds one array, not several by name")
        with loaded as arrays:
            if missing := [name for name in names if name not in arrays]:
                raise DataError(f"{path}: no array {missing[0]!r} in it; run the stage that writes it again")
            yield arrays
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; run the stage that writes it first") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, RuntimeError) as error:  # RuntimeError: a zip feature
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # EINVAL: an impossible offset
            raise
        raise DataError(f"{path}: not a readable .npz ({error}); run the stage that writes it again") from None


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def md5_of(path: Path) -> str:
    """MD5 of a file's bytes, in hexadecimal: not against forgery, but the name by which many tools know a content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()
