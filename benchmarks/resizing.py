"""Writing the resized cache against the least that it could cost: `cv2.resize`, and the same bytes to the same disk."""

import os
import shutil
import time
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np

from transfer.data.resize import INTERPOLATIONS
from transfer.data.resizing import resize_to_files
from transfer.runtime.files import whole
from transfer.sources.images import ImageSet

REPEATS = 5


def bare(images: ImageSet, size_px: int, interpolation: str, path: Path) -> None:
    """Resize all images, then write them in one go and wait for the disk."""
    flag = INTERPOLATIONS[interpolation]
    out = np.empty((len(images.labels), size_px, size_px, 3), np.uint8)
    for number in range(len(images.labels)):
        out[number] = cv2.resize(images.images[number], (size_px, size_px), interpolation=flag)
    with path.open("wb") as stream:
        stream.write(out.data)
        os.fsync(stream.fileno())


def ours(images: ImageSet, size_px: int, interpolation: str, path: Path) -> None:
    """What the resize stage does: the same, with thumbnails beside."""
    with whole(path) as partial:
        partial.mkdir()
        resize_to_files(images, size_px, interpolation, "crop", partial)


def measure_resize(images: ImageSet, size_px: int, interpolation: str, folder: Path) -> dict[str, Any]:
    """Median seconds of both, in turn, and how many times as long ours takes."""
    times: list[tuple[float, float]] = []
    for _ in range(REPEATS):
        pair = []
        for write in (ours, bare):
            started = time.perf_counter()
            write(images, size_px, interpolation, folder / "made")
            pair.append(time.perf_counter() - started)
            shutil.rmtree(folder / "made") if write is ours else (folder / "made").unlink()
        times.append((pair[0], pair[1]))
    our_time, their_time = (median(column) for column in zip(*times, strict=True))
    return {
        "images": len(images.labels),
        "size_px": size_px,
        "ours_s": our_time,
        "bare_s": their_time,
        "times_as_long": median(pair[0] / pair[1] for pair in times),
    }
