"""Splits of made images."""

from collections.abc import Sequence

import numpy as np

from transfer.data.splits import Split
from transfer.sources.images import pixel_set


def split_of(
    images: np.ndarray,
    labels: Sequence[int] | np.ndarray,
    classes: tuple[str, ...],
    positions: Sequence[int] | np.ndarray | None = None,
) -> Split:
    """A split of pixels (N, H, W, 3), by default at positions from 0 on."""
    count = len(images)
    whole = pixel_set(images, np.array(labels), classes, [""] * count)
    return Split(**vars(whole), positions=np.arange(count) if positions is None else np.array(positions))
