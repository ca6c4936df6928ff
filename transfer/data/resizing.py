"""Write a split at the network's size, decoding each image once."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from transfer.data.resize import LABELS, PIXELS, ROWS, THUMBNAILS, resized
from transfer.data.splits import Split
from transfer.runtime.errors import DataError
from transfer.runtime.files import whole, write_arrays
from transfer.runtime.progress import Progress
from transfer.sources.decode import DamagedImageError
from transfer.sources.images import ImageSet

AT_ONCE = 256  # images whose pixels are held at a time


def save_resized(folder: Path, split: Split, size_px: int, interpolation: str, aspect: str) -> None:
    """Resize a split's images into a folder, with their thumbnails, and what is known of them beside."""
    with whole(folder) as partial:
        partial.mkdir()
        resize_to_files(split, size_px, interpolation, aspect, partial)
        write_arrays(
            partial / LABELS,
            classes=np.array(split.classes),
            interpolation=np.array(interpolation),
            aspect=np.array(aspect),
            **{name: getattr(split, name) for name in ROWS},
        )


def resize_to_files(split: ImageSet, size_px: int, interpolation: str, aspect: str, folder: Path) -> None:
    """Write pixels (N, size_px, size_px, 3) and thumbnails (N, T, T, 3), uint8, as .npy files of a folder.

    Each image is decoded once, on all cores; some are held at a time, so memory does not grow with N.
    """
    side = split.thumbnail_px

    def both(index: int) -> tuple[np.ndarray, np.ndarray]:
        try:
            image = split.images[index]
        except DamagedImageError as error:
            raise DataError(f"{split.names[index]}: {error}") from None
        return resized(image, size_px, interpolation, aspect), resized(image, side, interpolation, aspect)

    count = len(split.labels)
    with (
        _npy(folder / PIXELS, (count, size_px, size_px, 3)) as pixels,
        _npy(folder / THUMBNAILS, (count, side, side, 3)) as thumbnails,
        ThreadPoolExecutor(os.cpu_count()) as pool,
        Progress(desc="resize", unit="image", total=count) as progress,
    ):
        for start in range(0, count, AT_ONCE):
            for large, small in pool.map(both, range(start, min(start + AT_ONCE, count))):
                pixels.write(large.data)
                thumbnails.write(small.data)
                progress.update()


@contextmanager
def _npy(path: Path, shape: tuple[int, ...]) -> Iterator[IO[bytes]]:
    with whole(path) as partial, partial.open("wb", buffering=1 << 22) as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
        yield stream
