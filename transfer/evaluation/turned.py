"""Does a turned image change its group of classes? Where one group is turned further in training than the other, the
angle itself becomes a sign of the group."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from transfer.evaluation.scores import share_of

DEGREES = 45.0


def turned(image: np.ndarray, degrees: float = DEGREES) -> np.ndarray:
    """An image (H, W, 3) uint8 turned anticlockwise about its middle; what comes in from outside is its reflection."""
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    return cv2.warpAffine(image, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def taken_for_the_other_group(
    labels: np.ndarray, answers: dict[str, np.ndarray], rigid: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """For each name of `answers` (N,) the share of each group's images whose answer is a class of the other group.

    Empty if one of the two groups has no image.
    """
    is_rigid = np.isin(labels, rigid)
    if is_rigid.all() or not is_rigid.any():
        return {}
    found: dict[str, dict[str, Any]] = {}
    for name, predicted in answers.items():
        other = np.isin(predicted, rigid) != is_rigid
        for group, own in (("rigid", is_rigid), ("organic", ~is_rigid)):
            found.setdefault(name, {}).update(share_of(group, other[own]))
    return found
