"""Upscaling with OpenCV, and the folder that holds a split at the network's size."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from tqdm import tqdm

from transfer.data.splits import Split
from transfer.runtime.errors import DataError
from transfer.runtime.files import open_arrays, whole, write_arrays

Interpolation = Literal["nearest", "linear", "cubic", "lanczos4", "area"]
INTERPOLATIONS: dict[str, int] = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "lanczos4": cv2.INTER_LANCZOS4,
    "area": cv2.INTER_AREA,
}


def resized(image: np.ndarray, size_px: int, interpolation: str) -> np.ndarray:
    """Resize one image (H, W, 3) uint8 to (size_px, size_px, 3) with the flag named by `interpolation`."""
    return cv2.resize(image, (size_px, size_px), interpolation=INTERPOLATIONS[interpolation])


def resize_to_file(images: np.ndarray, size_px: int, interpolation: str, path: Path) -> None:
    """Resize images (N, H, W, 3) uint8 to a .npy file (N, size_px, size_px, 3) uint8.

    Pixels are those of `cv2.resize` with the flag named by `interpolation` (see INTERPOLATIONS).
    One image is held at a time, so memory does not grow with N or size_px.
    """
    shape = (len(images), size_px, size_px, 3)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with whole(path) as partial, partial.open("wb", buffering=1 << 22) as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for image in tqdm(images, desc="resize", unit="image", disable=None):
            stream.write(resized(image, size_px, interpolation).data)


PIXELS, LABELS = "pixels.npy", "labels.npz"


@dataclass(frozen=True)
class Resized:
    """A split at the network's size: pixels (N, S, S, 3) uint8, memory-mapped, labels (N,) int64, class names.

    `positions` (N,) int64 are those of the split, `interpolation` the name of OpenCV's that made the pixels.
    """

    pixels: np.ndarray
    labels: np.ndarray
    positions: np.ndarray
    classes: tuple[str, ...]
    interpolation: str


def save_resized(folder: Path, split: Split, size_px: int, interpolation: str) -> None:
    """Resize a split's images into a folder, with their labels beside them."""
    with whole(folder) as partial:
        resize_to_file(split.images, size_px, interpolation, partial / PIXELS)
        write_arrays(
            partial / LABELS,
            classes=np.array(split.classes),
            interpolation=np.array(interpolation),
            labels=split.labels.astype(np.int64),
            positions=split.positions,
        )


def open_resized(folder: Path) -> Resized:
    """Open what `save_resized` wrote. Raises DataError if a file is missing, damaged or does not fit the other."""
    with open_arrays(folder / LABELS, "classes", "interpolation", "labels", "positions") as arrays:
        labels, positions, interpolation = arrays["labels"], arrays["positions"], str(arrays["interpolation"])
        classes = tuple(map(str, arrays["classes"]))
    return Resized(open_pixels(folder / PIXELS, len(labels)), labels, positions, classes, interpolation)


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
