"""How far an image is from the training images, in the network's features, and what answers are refused for it."""

import numpy as np
from pydantic import Field

from transfer.runtime.parameters import Group

CHUNK = 1024


class Rejection(Group):
    """When an answer is no answer.

    Below `min_confidence` it is unsure: of the validation images above, at most a share of `risk` was answered
    wrongly. Beyond `max_distance` of its `neighbours`-th neighbour among training images the image is unlike them:
    a share of `known` of the validation images is nearer.
    """

    min_confidence: float
    risk: float
    max_distance: float
    known: float
    neighbours: int = Field(gt=0)

    def refuses(self, confidence: np.ndarray, distances: np.ndarray) -> np.ndarray:
        """Of each answer (N,) whether it is unsure or to an image that is unlike: (N,) bool."""
        return (distances > self.max_distance) | (confidence < self.min_confidence)


def unit(features: np.ndarray) -> np.ndarray:
    """Features (N, F) scaled to length 1, float32."""
    wide = features.astype(np.float32)
    return wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), np.finfo(np.float32).tiny)


def neighbour_distances(features: np.ndarray, reference: np.ndarray, neighbours: int) -> np.ndarray:
    """One less the cosine (N,) of features (N, F) and their `neighbours`-th nearest of reference (M, F), of length 1.

    Of fewer than that many the furthest counts (Sun et al. 2022).
    """
    place = max(len(reference) - neighbours, 0)
    found = [
        np.partition(unit(features[start : start + CHUNK]) @ reference.T, place, axis=1)[:, place]
        for start in range(0, len(features), CHUNK)
    ]
    return 1 - np.concatenate([*found, np.zeros(0, np.float32)])
