"""Write a split at the network's size, decoding each image once."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import IO

import numpy as np

from transfer.data.resize import LABELS, PIXELS, ROWS, THUMBNAILS, open_pixels, resized
from transfer.data.splits import Split
from transfer.runtime.errors import DataError
from transfer.runtime.files import whole, write_arrays
from transfer.runtime.kept import digest, kept
from transfer.runtime.progress import Progress
from transfer.sources.decode import DamagedImageError
from transfer.sources.images import EncodedImages, ImageSet

AT_ONCE = 256  # images whose pixels are held at a time


Known = Mapping[bytes, tuple[np.ndarray, np.ndarray, int]]  # pixels, thumbnails, and the row of an image in both


def kept_rows(state: Path, made_by: str) -> Known:
    """Encoded images that an earlier run resized, by their digests."""
    rows: dict[bytes, tuple[np.ndarray, np.ndarray, int]] = {}
    for folder, digests in kept(state, made_by):
        with suppress(DataError):  # damaged: made anew
            pixels, thumbnails = (open_pixels(folder / name, len(digests)) for name in (PIXELS, THUMBNAILS))
            rows.update({name: (pixels, thumbnails, row) for row, name in enumerate(digests)})
    return rows


def save_resized(
    folder: Path, split: Split, size_px: int, interpolation: str, aspect: str, known: Known = MappingProxyType({})
) -> list[bytes]:
    """Resize a split's images into a folder, with their thumbnails, and what is known of them beside.

    Gives what `resize_to_files` gives.
    """
    with whole(folder) as partial:
        partial.mkdir()
        digests = resize_to_files(split, size_px, interpolation, aspect, partial, known)
        write_arrays(
            partial / LABELS,
            classes=np.array(split.classes),
            interpolation=np.array(interpolation),
            aspect=np.array(aspect),
            **{name: getattr(split, name) for name in ROWS},
        )
    return digests


def resize_to_files(
    split: ImageSet, size_px: int, interpolation: str, aspect: str, folder: Path, known: Known = MappingProxyType({})
) -> list[bytes]:
    """Write pixels (N, size_px, size_px, 3) and thumbnails (N, T, T, 3), uint8, as .npy files of a folder.

    Each image is decoded once, on all cores, if it is not `known`; some are held at a time, so memory does not grow
    with N. Gives the digests of encoded images; pixels, which are resized as fast as they are read, have none.
    """
    side, encoded, digests = split.thumbnail_px, isinstance(split.images, EncodedImages), []

    def both(index: int) -> tuple[np.ndarray, np.ndarray, bytes]:
        name = digest(split.images.encoded(index)) if isinstance(split.images, EncodedImages) else b""
        if name in known:
            pixels, thumbnails, row = known[name]
            return pixels[row], thumbnails[row], name
        try:
            image = split.images[index]
        except DamagedImageError as error:
            raise DataError(f"{split.names[index]}: {error}") from None
        return resized(image, size_px, interpolation, aspect), resized(image, side, interpolation, aspect), name

    count = len(split.labels)
    with (
        _npy(folder / PIXELS, (count, size_px, size_px, 3)) as pixels,
        _npy(folder / THUMBNAILS, (count, side, side, 3)) as thumbnails,
        ThreadPoolExecutor(os.cpu_count()) as pool,
        Progress(desc="resize", unit="image", total=count) as progress,
    ):
        for start in range(0, count, AT_ONCE):
            for large, small, name in pool.map(both, range(start, min(start + AT_ONCE, count))):
                pixels.write(large.data)
                thumbnails.write(small.data)
                digests += [name] if encoded else []
                progress.update()
    return digests


@contextmanager
def _npy(path: Path, shape: tuple[int, ...]) -> Iterator[IO[bytes]]:
    with whole(path) as partial, partial.open("wb", buffering=1 << 22) as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
        yield stream
