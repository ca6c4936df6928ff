"""Resizing with OpenCV, and the folder that holds a split at the network's size."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from transfer.runtime.errors import DataError
from transfer.runtime.files import open_arrays

Interpolation = Literal["nearest", "linear", "cubic", "lanczos4", "area"]
INTERPOLATIONS: dict[str, int] = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "lanczos4": cv2.INTER_LANCZOS4,
    "area": cv2.INTER_AREA,
}


Aspect = Literal["crop", "pad", "stretch"]
PADDING = 127  # grey


def resized(image: np.ndarray, size_px: int, interpolation: str, aspect: str) -> np.ndarray:
    """Bring one image (H, W, 3) uint8 to (size_px, size_px, 3).

    aspect: crop takes the middle square, pad fills to a square with grey, stretch changes the proportions.
    What is larger is reduced by area, what is smaller is enlarged with `interpolation` (see INTERPOLATIONS).
    """
    height, width = image.shape[:2]
    if aspect == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return _to(image[top : top + side, left : left + side], (size_px, size_px), interpolation)
    if aspect == "stretch" or height == width:
        return _to(image, (size_px, size_px), interpolation)
    scale = size_px / max(height, width)
    inner = _to(image, (max(round(height * scale), 1), max(round(width * scale), 1)), interpolation)
    top, left = (size_px - inner.shape[0]) // 2, (size_px - inner.shape[1]) // 2
    padded = np.full((size_px, size_px, 3), PADDING, np.uint8)
    padded[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return padded


def _to(image: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    smaller = min(image.shape[0], size[0]), min(image.shape[1], size[1])
    if smaller != image.shape[:2]:
        image = cv2.resize(image, smaller[::-1], interpolation=cv2.INTER_AREA)
    if image.shape[:2] != size:
        image = cv2.resize(image, size[::-1], interpolation=INTERPOLATIONS[interpolation])
    return np.ascontiguousarray(image)


PIXELS, THUMBNAILS, LABELS = "pixels.npy", "thumbnails.npy", "labels.npz"


@dataclass(frozen=True)
class Resized:
    """A split at the network's size: pixels (N, S, S, 3) uint8, memory-mapped, labels (N,) int64, class names.

    images (N, T, T, 3) uint8, memory-mapped, is what pictures show and comparisons take: the images themselves if
    `original`, else thumbnails. sizes (N, 2) are the images' own height and width in pixels, `names` their files'.
    `positions` (N,) int64 are those of the split; `interpolation` and `aspect` made the pixels.
    """

    pixels: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    positions: np.ndarray
    sizes: np.ndarray
    names: np.ndarray
    classes: tuple[str, ...]
    interpolation: str
    aspect: str

    @property
    def original(self) -> bool:
        """Whether `images` are the images at their own size."""
        return bool((self.sizes == self.images.shape[1]).all())


ROWS = ("labels", "positions", "sizes", "names")


def open_resized(folder: Path) -> Resized:
    """Open what `save_resized` wrote. Raises DataError if a file is missing, damaged or does not fit the other."""
    return read_resized(lambda name: folder / name)


def read_resized(find: Callable[[str], Path]) -> Resized:
    """As `open_resized`, for files that lie where `find` says."""
    with open_arrays(find(LABELS), "classes", "interpolation", "aspect", *ROWS) as arrays:
        rows: dict[str, Any] = {name: arrays[name] for name in ROWS}
        made: dict[str, Any] = {name: str(arrays[name]) for name in ("interpolation", "aspect")}
        classes = tuple(map(str, arrays["classes"]))
    pixels, images = (open_pixels(find(name), len(rows["labels"])) for name in (PIXELS, THUMBNAILS))
    return Resized(pixels, images, classes=classes, **rows, **made)


def open_pixels(path: Path, count: int) -> np.ndarray:
    """Memory-map a resized cache (N, S, S, 3) uint8. Raises DataError if it is not one of `count` images."""
    try:
        pixels = np.load(path, mmap_mode="c", allow_pickle=False)  # copy-on-write: torch wants it writable
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; run the resize stage first") from None
    except (ValueError, EOFError) as error:
        raise DataError(f"{path}: not a readable .npy ({error}); run the resize stage again") from None
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or len(pixels) != count:
        raise DataError(f"{path}: {pixels.dtype} {pixels.shape}, not uint8 of {count} images; run resize again")
    return pixels
