"""Whatever an address leads to, recognised by looking, as one canonical file."""

import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from transfer.runtime.errors import ArchiveError, DownloadError
from transfer.runtime.files import sha256_of
from transfer.sources.cifar import Archive, is_cifar, read_archive
from transfer.sources.fetch import below, expand, fetch, local_path
from transfer.sources.items import Listing
from transfer.sources.members import files_of, open_members
from transfer.sources.table import Columns, is_table, list_tables
from transfer.sources.tars import DAMAGED, BoundedStream, open_tar
from transfer.sources.tree import is_image, list_tree

PARQUET = ".parquet"
OTHER_VERSIONS = ("batches.meta", "batches.meta.mat")  # CIFAR-10 for Python and Matlab


@dataclass(frozen=True)
class Source:
    """Where the images come from, and how they are labelled where that is not said by folders."""

    address: str
    sha256: str | None
    columns: Columns
    cifar100_labels: str
    state: Path  # a folder for what is fetched
    timeout_s: float


@contextmanager
def open_source(source: Source) -> Iterator[Archive | Listing]:
    """What the address leads to: an archive in a CIFAR layout, or a list of images that are read one by one.

    Raises DownloadError, ArchiveError or DataError.
    """
    address, local = source.address, local_path(source.address)
    folder = local if local is not None and local.is_dir() else None
    if tables := _tables_at(address, folder) or below(address, PARQUET, source.timeout_s):
        yield _tables(source, tables)
        return
    local = folder or fetch(address, source.state, source.timeout_s)
    if _is_cifar(local):
        yield _cifar(source, local)
        return
    _check_digest(source, local)
    with open_members(local, source.state) as members:
        yield list_tree(members, address)


def _tables_at(address: str, folder: Path | None) -> list[str]:
    """The addresses of tables that are meant; of a folder without images, its Parquet files at any depth."""
    if folder is None:
        return expand(address) if is_table(address) else []
    found = []
    for member in files_of(folder):
        if is_image(member.name):
            return []
        if member.name.lower().endswith(PARQUET):
            found.append(str(folder / member.name))
    return sorted(found)


def _tables(source: Source, addresses: list[str]) -> Listing:
    if len(addresses) > 1 and source.sha256 is not None:
        raise DownloadError(f"{source.address}: {len(addresses)} files have no one digest; set download.sha256 to null")
    tables = [(one, fetch(one, source.state, source.timeout_s)) for one in addresses]
    for _, path in tables:
        _check_digest(source, path)
    return list_tables(tables, source.columns, lambda one: fetch(one, source.state, source.timeout_s))


def _check_digest(source: Source, local: Path) -> None:
    if source.sha256 is None:
        return
    if local.is_dir():
        raise DownloadError(f"{source.address}: a folder has no one digest; set download.sha256 to null")
    if (actual := sha256_of(local)) != source.sha256:
        _forget(source, local)
        raise DownloadError(
            f"{source.address}: SHA-256 is {actual}, download.sha256 is {source.sha256}; "
            "if these are your own images, set that digest, or null for none"
        )


def _forget(source: Source, local: Path) -> None:
    """Delete what was fetched and is wrong, or the next try would find it complete."""
    if local.is_relative_to(source.state):
        local.unlink()


def _cifar(source: Source, local: Path) -> Archive:
    actual = None if local.is_dir() else sha256_of(local)
    unexpected = f"{source.address}: SHA-256 is {actual}, download.sha256 is {source.sha256}"
    try:
        archive = read_archive(local, source.cifar100_labels)
    except ArchiveError as error:
        _forget(source, local)
        if source.sha256 in (None, actual) or local.is_dir():
            raise
        raise DownloadError(f"{unexpected}, and it is not CIFAR-10: {error}") from None
    if not archive.official:
        if local.is_dir():
            _check_digest(source, local)
        elif source.sha256 not in (None, actual):
            _forget(source, local)
            raise DownloadError(
                f"{unexpected}, and its images are not CIFAR-10's; if they are yours, set that digest, or null for none"
            )
    return archive


def _is_cifar(path: Path) -> bool:
    """Whether the first file of a known kind belongs to a CIFAR layout, or it is damaged, as CIFAR's reader says."""
    if path.is_dir():
        names = [entry.name for folder in (path, *path.iterdir()) if folder.is_dir() for entry in folder.iterdir()]
        return any(map(is_cifar, names)) and not any(map(is_image, names))
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return any(map(is_cifar, archive.namelist()))
    try:
        with open_tar(path) as content, tarfile.open(fileobj=(bounded := BoundedStream(content)), mode="r|") as archive:
            for member in archive:
                if is_cifar(member.name) or Path(member.name).name in OTHER_VERSIONS:
                    return True
                if is_image(member.name):
                    return False
                bounded.left += member.size if member.isreg() else 0
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        return True
    return False
