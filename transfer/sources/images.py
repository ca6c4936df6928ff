"""The canonical file of a data set or of a part of it: images as pixels or as encoded bytes, and what is known of each.

An .npz whose bytes depend on contents, labels, names and order alone. Encoded images lie in it one after the
other, uncompressed, so that they are written in one pass and read through a memory map.
"""

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from transfer.runtime.errors import DataError
from transfer.runtime.files import open_arrays, whole
from transfer.sources.decode import decode

ENCODED = "encoded.bin"
LOCAL_HEADER_BYTES = 30  # of a zip member, before its name and extra field
LARGEST_ORIGINAL_PX = 64
THUMBNAIL_PX = 96


@dataclass(frozen=True)
class EncodedImages:
    """Images as the bytes of their files: `[i]` is the picture (H, W, 3) uint8 RGB, decoded when it is asked for."""

    data: np.ndarray  # uint8, memory-mapped
    starts: np.ndarray  # (N,) int64
    ends: np.ndarray  # (N,) int64

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> np.ndarray:
        return decode(self.encoded(index))

    def encoded(self, index: int) -> np.ndarray:
        """The bytes of one file, uint8."""
        return self.data[self.starts[index] : self.ends[index]]


Pixels = np.ndarray | EncodedImages


@dataclass(frozen=True)
class ImageSet:
    """N images with labels (N,) int64; `classes[label]` is a label's name.

    images: pixels (N, H, W, 3) uint8 RGB, or encoded; sizes (N, 2) int32 are their height and width in pixels.
    names (N,), groups (N,) and parts (N,) are texts: a file's name, a group that stays on one side of a split,
    and train, val or test where the source says so; "" where there is none.
    thumbnail_px is the side at which pictures of the whole set are shown and compared: their own if they all
    have one size of at most LARGEST_ORIGINAL_PX, else THUMBNAIL_PX.
    """

    images: Pixels
    labels: np.ndarray
    classes: tuple[str, ...]
    sizes: np.ndarray
    names: np.ndarray
    groups: np.ndarray
    parts: np.ndarray
    thumbnail_px: int

    def take(self, positions: np.ndarray) -> "ImageSet":
        """The images at `positions`, in that order; encoded ones are not copied."""
        images = self.images
        if isinstance(images, EncodedImages):
            chosen = EncodedImages(images.data, images.starts[positions], images.ends[positions])
        else:
            chosen = images[positions]
        rows = {name: getattr(self, name)[positions] for name in ("labels", "sizes", "names", "groups", "parts")}
        return ImageSet(images=chosen, classes=self.classes, thumbnail_px=self.thumbnail_px, **rows)


def pixel_set(images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], parts: Sequence[str]) -> ImageSet:
    """A set of pixels (N, H, W, 3) uint8 RGB that come without names and groups."""
    sizes = np.tile(np.array(images.shape[1:3], np.int32), (len(images), 1))
    none = np.full(len(images), "")
    known = {"sizes": sizes, "names": none, "groups": none, "parts": np.array(parts, str)}
    return ImageSet(images, labels.astype(np.int64), classes, **known, thumbnail_px=thumbnail_side(sizes))


def thumbnail_side(sizes: np.ndarray) -> int:
    """The `thumbnail_px` of images of these sizes (N, 2)."""
    one = len(sizes) > 0 and (sizes == sizes[0, 0]).all() and sizes[0, 0] <= LARGEST_ORIGINAL_PX
    return int(sizes[0, 0]) if one else THUMBNAIL_PX


@dataclass
class ImageWriter:
    """Takes encoded images one by one; `arrays` are written at the end."""

    archive: zipfile.ZipFile
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def add_all(self, encoded: Iterator[bytes | np.ndarray]) -> None:
        """Write encoded images one after the other, and where each ends."""
        ends = [0]
        with self.archive.open(zipfile.ZipInfo(ENCODED), "w", force_zip64=True) as stream:
            for data in encoded:
                stream.write(bytes(data))
                ends.append(ends[-1] + len(data))
        self.arrays["ends"] = np.array(ends[1:], np.int64)

    def write_arrays(self) -> None:
        for name, array in sorted(self.arrays.items()):
            with self.archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.asarray(array, order="C"), allow_pickle=False)


@contextmanager
def image_writer(path: Path) -> Iterator[ImageWriter]:
    """Write a canonical file whole or not at all."""
    with whole(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        writer = ImageWriter(archive)
        yield writer
        writer.write_arrays()


def save_images(path: Path, images: ImageSet) -> None:
    """Write a set, in its order, with all that is known of its images."""
    with image_writer(path) as writer:
        if isinstance(images.images, EncodedImages):
            encoded = images.images
            writer.add_all(encoded.encoded(index) for index in range(len(encoded)))
        else:
            writer.arrays["images"] = images.images
        rows = {one.name: np.asarray(getattr(images, one.name)) for one in fields(images) if one.name != "images"}
        writer.arrays.update(rows)


def load_images(path: Path, *more: str) -> tuple[ImageSet, dict[str, np.ndarray]]:
    """Read a set that `save_images` or `image_writer` wrote, and arrays of the file that only some sets have.

    Raises DataError for a file that is missing, damaged or not of this kind.
    """
    names = [one.name for one in fields(ImageSet) if one.name != "images"]
    with open_arrays(path, *names, *more) as arrays:
        pixels = arrays["images"] if "images" in arrays else _encoded(path, arrays["ends"])
        rows: dict[str, Any] = {name: arrays[name] for name in names}
        rows["classes"] = tuple(map(str, rows["classes"]))
        rows["thumbnail_px"] = int(rows["thumbnail_px"])
        return ImageSet(pixels, **rows), {name: arrays[name] for name in more}


def _encoded(path: Path, ends: np.ndarray) -> EncodedImages:
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(ENCODED)
    with path.open("rb") as stream:
        stream.seek(member.header_offset)
        header = stream.read(LOCAL_HEADER_BYTES)
    start = (
        member.header_offset + LOCAL_HEADER_BYTES + sum(int.from_bytes(header[i : i + 2], "little") for i in (26, 28))
    )
    if len(ends) and ends[-1] != member.file_size:
        raise DataError(
            f"{path}: {member.file_size} bytes of images, not {ends[-1]}; run the stage that writes it again"
        )
    data = np.memmap(path, np.uint8, "r", start, (member.file_size,)) if member.file_size else np.empty(0, np.uint8)
    return EncodedImages(data, np.concatenate([[0], ends[:-1]]).astype(np.int64), ends)
