"""Pooled features of a frozen backbone, on disk and on the device."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from transfer.runtime.files import open_arrays, write_arrays


@dataclass(frozen=True)
class Features:
    """Features (N, F) float32 of images and of their mirror images, labels (N,) int64, class names."""

    plain: np.ndarray
    mirrored: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]


def save_features(path: Path, features: Features) -> None:
    """Write features as .npz."""
    write_arrays(
        path,
        classes=np.array(features.classes),
        labels=features.labels,
        mirrored=features.mirrored,
        plain=features.plain,
    )


def load_features(path: Path) -> Features:
    """Read what `save_features` wrote."""
    with open_arrays(path, "classes", "labels", "mirrored", "plain") as arrays:
        return Features(arrays["plain"], arrays["mirrored"], arrays["labels"], tuple(map(str, arrays["classes"])))


def draw_views(plain: Tensor, mirrored: Tensor, chosen: Tensor) -> Tensor:
    """Features (batch, F) of the chosen images, each of the plain or the mirrored view with probability 1/2."""
    turned = torch.rand(len(chosen), 1, device=plain.device) < 0.5
    return torch.where(turned, mirrored[chosen], plain[chosen])
