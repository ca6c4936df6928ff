"""How the classifier was asked when it was evaluated, and is asked ever after."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from transfer.runtime.files import open_arrays


class Answering(NamedTuple):
    """Views over which probabilities are averaged (mirrored, shifted), and the temperature that corrects them."""

    mirror: bool
    shift_fraction: float
    temperature: float

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: np.array(value) for name, value in self._asdict().items()}


def read_answering(predictions: Path) -> Answering:
    """Read it from what evaluate writes. Raises DataError if the file is missing or damaged."""
    with open_arrays(predictions, *Answering._fields) as arrays:
        return Answering(bool(arrays["mirror"]), float(arrays["shift_fraction"]), float(arrays["temperature"]))
