"""Upscaling with OpenCV, straight to a memory-mappable file."""

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from tqdm import tqdm

from transfer.runtime.files import whole

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
