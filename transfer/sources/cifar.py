"""CIFAR-10's binary layout: read it without extracting or unpickling anything, and write it.

Layout (https://www.cs.toronto.edu/~kriz/cifar.html): `data_batch_1.bin` ... `data_batch_5.bin` and
`test_batch.bin` hold records of one label byte and 3 x 32 x 32 pixel bytes, red plane first;
`batches.meta.txt` holds one class name a line.
"""

import bz2
import gzip
import hashlib
import io
import lzma
import re
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from transfer.runtime.errors import ArchiveError
from transfer.runtime.files import CHUNK_BYTES, open_arrays, whole, write_arrays

SIDE_PX = 32
RECORD_BYTES = 1 + 3 * SIDE_PX * SIDE_PX
LARGEST_MEMBER_BYTES = 200_000 * RECORD_BYTES  # also of all members together
LARGEST_CLASS_LIST_BYTES = 1 << 16
LARGEST_HEADERS_BYTES = 1 << 18  # all that belongs to no member: headers, names, padding
FOLDER = "cifar-10-batches-bin"
CLASSES = "batches.meta.txt"
TEST = "test_batch.bin"
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


def read_archive(path: Path) -> Archive:
    """Read a .tar or .tar.gz in CIFAR-10's binary layout, with consecutive training batches from 0 or 1 on.

    Members are taken from the stream by name; no path in the archive is ever used as a path.
    Raises ArchiveError naming the archive, the member and the record.
    """
    members = _read_members(path)
    numbers = [int(name[11:-4]) for name in members if name.startswith("data_batch_")]
    batches = [f"data_batch_{number}.bin" for number in range(min([1, *numbers]), max([1, *numbers]) + 1)]
    for name in [CLASSES, *batches, TEST]:
        if name not in members:
            raise ArchiveError(f"{path}: {name} is missing; fetch the binary version of the archive again")
    classes = _class_names(path, members[CLASSES])
    parts = {name: _parse_records(path, name, members[name], classes) for name in [*batches, TEST]}
    train = LabelledImages(
        np.concatenate([parts[name].images for name in batches]),
        np.concatenate([parts[name].labels for name in batches]),
    )
    digests = {name: hashlib.sha256(members[name]).hexdigest() for name in parts}
    official = digests == OFFICIAL_SHA256 and classes == OFFICIAL_CLASSES
    return Archive(train, parts[TEST], classes, official)


def _read_members(path: Path) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    claimed = 0
    try:
        with _unpacked(path) as content:
            bounded = _Bounded(content, LARGEST_HEADERS_BYTES)
            with tarfile.open(fileobj=bounded, mode="r|") as archive:
                for member in tqdm(archive, desc="read", unit="file", disable=None, leave=False):
                    name, plain = member.name.rsplit("/", 1)[-1], member.isreg() and not member.issparse()
                    most = LARGEST_CLASS_LIST_BYTES if name == CLASSES else LARGEST_MEMBER_BYTES - claimed
                    if member.size > most:
                        raise ArchiveError(
                            f"{path}: {name[:80]!r} claims {member.size} bytes, more than {most}; refused"
                        )
                    if plain:
                        claimed += member.size
                        bounded.left += member.size
                    if name != CLASSES and name != TEST and not re.fullmatch(r"data_batch_(0|[1-9]\d{0,2})\.bin", name):
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
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError, RecursionError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = " ".join(str(error).split())
        raise ArchiveError(f"{path}: damaged or not a tar archive ({reason}); fetch it again") from None
    return members


class _Bounded(io.RawIOBase):
    """A stream of which `left` more bytes can be read.

    tarfile takes headers of any length into memory, and gigabytes of them pack into a megabyte.
    """

    def __init__(self, stream: io.BufferedIOBase, left: int) -> None:
        self._stream = stream
        self.left = left

    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(size)
        self.left -= len(content)
        if self.left < 0:
            raise ValueError(f"more than {LARGEST_HEADERS_BYTES} bytes that belong to no file")
        return content


def _unpacked(path: Path) -> io.BufferedIOBase:
    """The tar itself. Unlike tarfile's own streams, these notice what does not match a checksum."""
    with path.open("rb") as stream:
        start = stream.read(6)
    if start.startswith(b"\x1f\x8b"):
        return gzip.open(path)
    if start.startswith(b"BZh"):
        return bz2.open(path)
    return lzma.open(path) if start == b"\xfd7zXZ\0" else path.open("rb")


def _class_names(path: Path, content: bytes) -> tuple[str, ...]:
    try:
        lines = content.decode("utf-8-sig").split("\n")  # without the mark that some editors put in front
    except UnicodeDecodeError as error:
        wrong = f"byte {error.start + 1} is 0x{content[error.start]:02x}"
        raise ArchiveError(f"{path}: {CLASSES} is not UTF-8 ({wrong}); save it as UTF-8 and pack it again") from None
    names = tuple(name for line in lines if (name := " ".join(line.split())))
    if len(names) < 2 or len(set(names)) != len(names):
        raise ArchiveError(f"{path}: {CLASSES} names {list(names)}; it must name two or more different classes")
    return names


def _parse_records(path: Path, name: str, content: bytes, classes: tuple[str, ...]) -> LabelledImages:
    if not content or len(content) % RECORD_BYTES:
        raise ArchiveError(
            f"{path}: {name} has {len(content)} bytes, not a positive multiple of {RECORD_BYTES} (label and pixels)"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD_BYTES)
    labels = records[:, 0]
    if (wrong := np.flatnonzero(labels >= len(classes))).size:
        raise ArchiveError(
            f"{path}: {name}, record {wrong[0]} has label {labels[wrong[0]]}, "
            f"but {CLASSES} names {len(classes)} classes (0 to {len(classes) - 1})"
        )
    planes = records[:, 1:].reshape(-1, 3, SIDE_PX, SIDE_PX)
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


def save_images(path: Path, archive: Archive) -> None:
    """Write the canonical file: its bytes depend on images, labels and class names alone."""
    write_arrays(
        path,
        classes=np.array(archive.classes),
        train_images=archive.train.images,
        train_labels=archive.train.labels,
        test_images=archive.test.images,
        test_labels=archive.test.labels,
    )


def load_images(path: Path) -> tuple[LabelledImages, LabelledImages, tuple[str, ...]]:
    """Read what `save_images` wrote: training images, test images, class names."""
    names = ("classes", "train_images", "train_labels", "test_images", "test_labels")
    with open_arrays(path, *names) as arrays:
        classes, *rest = (arrays[name] for name in names)
    return LabelledImages(*rest[:2]), LabelledImages(*rest[2:]), tuple(map(str, classes))
