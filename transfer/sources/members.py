"""The files of a folder, a zip or a tar, by name, each read when it is asked for."""

import os
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfileobj

from transfer.runtime.errors import ArchiveError
from transfer.runtime.files import CHUNK_BYTES
from transfer.sources.tars import DAMAGED, open_tar, why

LARGEST_FILE_BYTES = 1 << 30
NO_FILES = ("__MACOSX",)  # what macOS puts beside the files of a zip


@dataclass(frozen=True, slots=True)
class Member:
    """A file by its path within the whole, parts joined by /; `read` may raise OSError or ValueError."""

    name: str
    read: Callable[[], bytes]


@contextmanager
def open_members(path: Path, scratch: Path) -> Iterator[list[Member]]:
    """The files of a folder or an archive but hidden ones, in no order. A packed tar is unpacked into `scratch`.

    Raises ArchiveError for an archive that is damaged, which a file in it need not be.
    """
    if path.is_dir():
        yield list(files_of(path))
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            # Some programs for Windows write backslashes, against the format.
            files = [(info.filename.replace("\\", "/"), info) for info in archive.infolist()]
            yield [
                Member(name, _zip_reader(archive, info))
                for name, info in files
                if not name.endswith("/") and _is_shown(name)
            ]
    else:
        with _opened_tar(path, scratch) as archive:
            files = [info for info in archive if not info.isdir() and _is_shown(info.name)]
            yield [Member(info.name, _tar_reader(archive, info)) for info in files]


def _is_shown(name: str) -> bool:
    return not any((part.startswith(".") and part != ".") or part in NO_FILES for part in name.split("/"))


def files_of(folder: Path) -> Iterator[Member]:
    """The files of a folder but hidden ones, in no order. Raises ArchiveError for folders that are too deep."""
    for place, folders, names in os.walk(folder, followlinks=True):
        if len(Path(place).relative_to(folder).parts) > 20:
            raise ArchiveError(f"{folder}: folders more than 20 deep at {place}; a link that leads back to itself?")
        folders[:] = [name for name in folders if _is_shown(name)]
        for path in (Path(place, name) for name in names if _is_shown(name)):
            yield Member(path.relative_to(folder).as_posix(), _file_reader(path))


def _file_reader(path: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        if not path.exists():
            raise ValueError("a link to a file that is not there" if path.is_symlink() else "no such file")
        if not path.is_file():
            raise ValueError("not a plain file")
        if (size := path.stat().st_size) > LARGEST_FILE_BYTES:
            raise ValueError(f"{size} bytes, more than {LARGEST_FILE_BYTES}")
        return path.read_bytes()

    return read


def _zip_reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        if info.file_size > LARGEST_FILE_BYTES:
            raise ValueError(f"claims {info.file_size} bytes, more than {LARGEST_FILE_BYTES}")
        try:
            return archive.read(info)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, *DAMAGED) as error:
            raise ValueError(why(error)) from None

    return read


def _tar_reader(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        if not info.isreg() or info.issparse():
            raise ValueError("a link or no plain file; pack it with tar --dereference --hard-dereference")
        stream = archive.extractfile(info)
        data = stream.read() if stream else b""
        if len(data) != info.size:
            raise ValueError(f"{len(data)} of {info.size} bytes")
        return data

    return read


@contextmanager
def _opened_tar(path: Path, scratch: Path) -> Iterator[tarfile.TarFile]:
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=scratch) as plain, open_tar(path) as packed:
            copyfileobj(packed, plain, CHUNK_BYTES)
            plain.seek(0)
            with tarfile.open(fileobj=plain, mode="r:") as archive:
                yield archive
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ArchiveError(f"{path}: damaged or not an archive of images ({why(error)}); fetch it again") from None
