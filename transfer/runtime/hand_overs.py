"""Shape, type and range of what one step hands to the next."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from transfer.runtime.files import write_tsv

LOOKED_AT = 1000  # rows of an array of more than one dimension whose range is told
COLUMNS = ("step", "what", "shape", "type", "least", "most", "finite")


def write_hand_overs(path: Path, steps: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Write a row for each array of each step, such as `embed → train_head`; the range is that of its first rows."""
    write_tsv(path, list(_rows(steps)), COLUMNS)


def _rows(steps: Mapping[str, Mapping[str, np.ndarray]]) -> Iterator[dict[str, Any]]:
    for step, arrays in steps.items():
        for name, array in arrays.items():
            some = np.asarray(array[:LOOKED_AT] if array.ndim > 1 else array)
            about = {"shape": " × ".join(map(str, array.shape)), "type": str(array.dtype)}
            ends = {"least": some.min(), "most": some.max(), "finite": bool(np.isfinite(some).all())}
            yield {"step": step, "what": name, **about, **ends}
