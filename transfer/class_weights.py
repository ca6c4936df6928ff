"""How much the loss on an image of each class counts."""

from collections.abc import Mapping, Sequence

import numpy as np

from transfer.classes import class_labels

LOWEST_RECALL = 0.1  # a class that is never found weighs as much as one that is found in a tenth of the cases


def weights_from_recall(counts: np.ndarray) -> np.ndarray:
    """Weights (classes,) of mean 1, in inverse proportion to each class's recall in a confusion matrix (C, C)."""
    recall = counts.diagonal() / np.maximum(counts.sum(1), 1)
    weights = 1 / np.maximum(recall, LOWEST_RECALL)
    return weights / weights.mean()


def weights_by_name(weights: Mapping[str, float], classes: Sequence[str], parameter: str) -> np.ndarray:
    """Weights (classes,) given by class name, 1 for every other class. Raises ParameterError for an unknown name."""
    found = np.ones(len(classes))
    found[class_labels(list(weights), classes, parameter)] = list(weights.values())
    return found
