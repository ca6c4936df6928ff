"""The files that hold train, val and test."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from transfer.sources.images import ImageSet, load_images, save_images


@dataclass(frozen=True, kw_only=True)
class Split(ImageSet):
    """Part of a data set; positions (N,) int64 are each image's place in the order of its source's own part."""

    positions: np.ndarray


def save_split(path: Path, split: Split) -> None:
    """Write a split as .npz."""
    save_images(path, split)


def load_split(path: Path) -> Split:
    """Read a split; encoded images are decoded one by one when they are asked for."""
    images, more = load_images(path, "positions")
    return Split(**{one.name: getattr(images, one.name) for one in fields(images)}, positions=more["positions"])
