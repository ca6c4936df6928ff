"""What an evaluation reads beside the resized test images, checked against them."""

from pathlib import Path

import numpy as np

from transfer.data.resize import Resized
from transfer.data.splits import Split, load_split
from transfer.runtime.errors import DataError
from transfer.runtime.files import open_arrays


def read_originals(path: Path, resized: Resized) -> Split:
    """The test images at their own size. Raises DataError if they are not those that were resized."""
    split = load_split(path)
    if not np.array_equal(split.positions, resized.positions) or not np.array_equal(split.labels, resized.labels):
        raise DataError(f"{path}: not the images that were resized; run `dvc repro resize` again")
    return split


def read_affected(path: Path, split: Split) -> np.ndarray:
    """Which test images (N,) bool are copies of training or validation images. Raises DataError for other images."""
    with open_arrays(path, "affected", "positions") as arrays:
        if not np.array_equal(arrays["positions"], split.positions):
            raise DataError(f"{path}: of other images than the test split's; run `dvc repro leakage` again")
        return arrays["affected"]
