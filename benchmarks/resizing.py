"""Writing the resized cache against the least that it could cost: `cv2.resize`, and the same bytes to the same disk."""

import os
import time
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np

from transfer.data.resize import INTERPOLATIONS, resize_to_file

REPEATS = 5


def bare(images: np.ndarray, size_px: int, interpolation: str, path: Path) -> None:
    """Resize all images, then write them in one go and wait for the disk."""
    flag = INTERPOLATIONS[interpolation]
    out = np.empty((len(images), size_px, size_px, 3), np.uint8)
    for number, image in enumerate(images):
        out[number] = cv2.resize(image, (size_px, size_px), interpolation=flag)
    with path.open("wb") as stream:
        stream.write(out.data)
        os.fsync(stream.fileno())


def measure_resize(images: np.ndarray, size_px: int, interpolation: str, folder: Path) -> dict[str, Any]:
    """Median seconds of both, in turn, and how many times as long ours takes."""
    times: list[tuple[float, float]] = []
    for _ in range(REPEATS):
        pair = []
        for write in (resize_to_file, bare):
            started = time.perf_counter()
            write(images, size_px, interpolation, folder / "resize.npy")
            pair.append(time.perf_counter() - started)
            (folder / "resize.npy").unlink()
        times.append((pair[0], pair[1]))
    ours, theirs = (median(column) for column in zip(*times, strict=True))
    return {
        "images": len(images),
        "size_px": size_px,
        "ours_s": ours,
        "bare_s": theirs,
        "times_as_long": median(pair[0] / pair[1] for pair in times),
    }
