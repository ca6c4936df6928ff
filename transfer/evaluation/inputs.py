"""What an evaluation reads beside the resized test images, checked against them."""

from pathlib import Path

import numpy as np

from transfer.data.resize import Resized
from transfer.runtime.errors import DataError
from transfer.runtime.files import open_arrays


def read_affected(path: Path, split: Resized) -> np.ndarray:
    """Which test images (N,) bool are copies of training or validation images. Raises DataError for other images."""
    with open_arrays(path, "affected", "positions") as arrays:
        if not np.array_equal(arrays["positions"], split.positions):
            raise DataError(f"{path}: of other images than the test split's; run `dvc repro leakage` again")
        return arrays["affected"]
