"""CIFAR's binary layouts: read them without extracting or unpickling anything, and write CIFAR-10's.

Layouts (https://www.cs.toronto.edu/~kriz/cifar.html): `data_batch_1.bin` ... `data_batch_5.bin` and
`test_batch.bin` hold records of one label byte and 3 x 32 x 32 pixel bytes, red plane first;
`batches.meta.txt` holds one class name per line. CIFAR-100 has `train.bin` and `test.bin` with two label bytes
per record, coarse and fine, and a list of names for each.
"""

import gzip
import hashlib
import io
import re
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transfer.runtime.errors import ArchiveError
from transfer.runtime.files import CHUNK_BYTES, whole
from transfer.runtime.progress import Progress
from transfer.sources.images import ImageSet, pixel_set
from transfer.sources.items import UNWRITABLE
from transfer.sources.members import Member, open_members
from transfer.sources.tars import DAMAGED, BoundedStream, open_tar, why

SIDE_PX = 32
RECORD_BYTES = 1 + 3 * SIDE_PX * SIDE_PX
LARGEST_MEMBER_BYTES = 200_000 * RECORD_BYTES  # also of all members together
LARGEST_CLASS_LIST_BYTES = 1 << 16
FOLDER = "cifar-10-batches-bin"
CLASSES = "batches.meta.txt"
TEST = "test_batch.bin"
BATCH = r"data_batch_(\d{1,3})\.bin"
CIFAR_100_LISTS = {"fine": "fine_label_names.txt", "coarse": "coarse_label_names.txt"}
OFFICIAL_SHA256 = {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    TEST: "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}
OFFICIAL_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class LabelledImages:
    """Images (N, 32, 32, 3) uint8 RGB in archive order, with labels (N,) uint8."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Archive:
    """A whole data set: `classes[label]` names a label; `official` says whether every pixel is CIFAR-10's."""

    train: LabelledImages
    test: LabelledImages
    classes: tuple[str, ...]
    official: bool


def is_cifar(name: str) -> bool:
    """Whether a file of this name belongs to one of the layouts."""
    return (
        Path(name).name in (CLASSES, TEST, *CIFAR_100_LISTS.values())
        or re.fullmatch(BATCH, Path(name).name) is not None
    )


def read_archive(path: Path, labels: str = "fine") -> Archive:
    """Read a tar, packed or not, a zip or a folder in one of the layouts; CIFAR-100 by its `labels`, fine or coarse.

    Training batches are consecutive, from 0 or 1 on. Members are taken by name; no path in an archive is ever
    used as a path. Raises ArchiveError naming the archive, the member and the record.
    """
    members = _read_members(path)
    if any(name in members for name in CIFAR_100_LISTS.values()):
        listed, batches, test, label_bytes = CIFAR_100_LISTS[labels], ["train.bin"], "test.bin", 2
        if tens := [name for name in members if name == TEST or re.fullmatch(BATCH, name)]:
            raise ArchiveError(f"{path}: CIFAR-100, and {tens[0]} of CIFAR-10 too; keep one of the two")
    else:
        batches, listed, test, label_bytes = _batches(path, members), CLASSES, TEST, 1
    for name in [listed, *batches, test]:
        if name not in members:
            raise ArchiveError(f"{path}: {name} is missing; the archive is not whole, or no binary version")
    classes = _class_names(path, listed, members[listed])
    column = 1 if label_bytes == 2 and labels == "fine" else 0
    parts = {
        name: _parse_records(path, name, members[name], (listed, classes), (label_bytes, column))
        for name in [*batches, test]
    }
    train = LabelledImages(
        np.concatenate([parts[name].images for name in batches]),
        np.concatenate([parts[name].labels for name in batches]),
    )
    digests = {name: hashlib.sha256(members[name]).hexdigest() for name in parts}
    official = digests == OFFICIAL_SHA256 and classes == OFFICIAL_CLASSES
    return Archive(train, parts[test], classes, official)


def _batches(path: Path, members: Iterable[str]) -> list[str]:
    """The training batches that there have to be, in the order of their numbers, which may begin with zeros."""
    named: dict[int, str] = {}
    for name in sorted(members):
        if (found := re.fullmatch(BATCH, name)) and named.setdefault(int(found[1]), name) != name:
            raise ArchiveError(f"{path}: {named[int(found[1])]} and {name} have one number; keep one of the two")
    numbers = range(min([1, *named]), max([1, *named]) + 1)
    return [named.get(number, f"data_batch_{number}.bin") for number in numbers]


def _read_members(path: Path) -> dict[str, bytes]:
    if not path.is_dir() and not zipfile.is_zipfile(path):
        return _read_tar(path)
    with open_members(path, path) as members:  # neither unpacks anything
        listed: dict[str, Member] = {}
        for member in members:
            name = Path(member.name).name
            if not _is_wanted(name):
                continue
            if name in listed:
                raise ArchiveError(f"{path}: {name} is there twice; refused")
            listed[name] = member
        try:
            return {name: member.read() for name, member in listed.items()}
        except ValueError as error:
            raise ArchiveError(f"{path}: damaged ({why(error)}); fetch it again") from None


def _is_wanted(name: str) -> bool:
    return is_cifar(name) or name in ("train.bin", "test.bin")


def _read_tar(path: Path) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    claimed = 0
    try:
        with open_tar(path) as content:
            bounded = BoundedStream(content)
            with tarfile.open(fileobj=bounded, mode="r|") as archive:
                for member in Progress(archive, desc="read", unit="file", leave=False):
                    name, plain = member.name.rsplit("/", 1)[-1], member.isreg() and not member.issparse()
                    is_list = name == CLASSES or name in CIFAR_100_LISTS.values()
                    most = LARGEST_CLASS_LIST_BYTES if is_list else LARGEST_MEMBER_BYTES - claimed
                    if member.size > most:
                        raise ArchiveError(
                            f"{path}: {name[:80]!r} claims {member.size} bytes, more than {most}; refused"
                        )
                    if plain:
                        claimed += member.size
                        bounded.left += member.size
                    if not _is_wanted(name):
                        continue
                    stream = archive.extractfile(member) if plain else None
                    if stream is None or name in members:
                        raise ArchiveError(f"{path}: {name} is no plain file or there twice; refused")
                    members[name] = stream.read()
                # A tar ends in two empty blocks. tarfile takes a damaged header for the first of them.
                if any(archive.fileobj.read(tarfile.BLOCKSIZE)):
                    raise tarfile.ReadError("a damaged header")
                while archive.fileobj.read(CHUNK_BYTES):  # a packed file's checksum is compared at its end
                    pass
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ArchiveError(
            f"{path}: damaged, or no archive that can be read ({why(error)}); fetch it again, or "
            "give a folder, a tar or zip of images, or a table (.csv, .tsv, .parquet)"
        ) from None
    return members


def _class_names(path: Path, listed: str, content: bytes) -> tuple[str, ...]:
    try:
        text = content.decode("utf-8-sig")  # without the mark that some editors put in front
    except UnicodeDecodeError as error:
        wrong = f"byte {error.start + 1} is 0x{content[error.start]:02x}"
        raise ArchiveError(f"{path}: {listed} is not UTF-8 ({wrong}); save it as UTF-8 and pack it again") from None
    names = tuple(line.strip(" \t\r") for line in text.rstrip().split("\n")) if text.strip() else ()
    for number, name in enumerate(names, 1):
        if not name or UNWRITABLE.search(name):
            wrong = "holds a tab or a control character" if name else "is empty"
            raise ArchiveError(f"{path}: {listed}, line {number} {wrong}; it must name a class on each line")
    if len(names) < 2 or len(set(names)) != len(names):
        raise ArchiveError(f"{path}: {listed} names {list(names)}; it must name two or more different classes")
    return names


def _parse_records(
    path: Path, name: str, content: bytes, named: tuple[str, tuple[str, ...]], label: tuple[int, int]
) -> LabelledImages:
    """Records of `label[0]` label bytes, of which number `label[1]` counts, and pixels."""
    (listed, classes), (label_bytes, column) = named, label
    size = RECORD_BYTES - 1 + label_bytes
    if not content or len(content) % size:
        raise ArchiveError(
            f"{path}: {name} has {len(content)} bytes, not a positive multiple of {size} (label and pixels)"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    labels = records[:, column]
    if (wrong := np.flatnonzero(labels >= len(classes))).size:
        raise ArchiveError(
            f"{path}: {name}, record {wrong[0]} has label {labels[wrong[0]]}, "
            f"but {listed} names {len(classes)} classes (0 to {len(classes) - 1})"
        )
    planes = records[:, label_bytes:].reshape(-1, 3, SIDE_PX, SIDE_PX)
    return LabelledImages(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels.copy())


def write_archive(path: Path, train: list[LabelledImages], test: LabelledImages, classes: tuple[str, ...]) -> None:
    """Write data in CIFAR-10's binary layout, one training batch a list entry; equal data give equal bytes."""
    contents = {CLASSES: ("\n".join(classes) + "\n").encode()}
    for name, part in [*((f"data_batch_{i}.bin", batch) for i, batch in enumerate(train, 1)), (TEST, test)]:
        pixels = part.images.transpose(0, 3, 1, 2).reshape(len(part.images), -1)
        contents[name] = np.concatenate([part.labels[:, None], pixels], axis=1).astype(np.uint8).tobytes()
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in contents.items():
            entry = tarfile.TarInfo(f"{FOLDER}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    with whole(path) as partial:
        partial.write_bytes(gzip.compress(stream.getvalue(), 1, mtime=0))


def image_set(archive: Archive) -> ImageSet:
    """All images of an archive, the training ones first, in its order."""
    parts = [archive.train, archive.test]
    return pixel_set(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
        archive.classes,
        ["train"] * len(archive.train.labels) + ["test"] * len(archive.test.labels),
    )
