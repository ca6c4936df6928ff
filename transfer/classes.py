"""Classes by name and by number, and how often each was taken for which."""

from collections.abc import Sequence

import numpy as np

from transfer.errors import ParameterError


def class_labels(names: Sequence[str], classes: Sequence[str], parameter: str) -> list[int]:
    """The labels of the classes that a parameter names. Raises ParameterError for one that is not there, or twice."""
    if unknown := [name for name in names if name not in classes]:
        raise ParameterError(f"{parameter}: no class {unknown[0]!r}; the classes are {', '.join(classes)}")
    if twice := [name for name in names if names.count(name) > 1]:
        raise ParameterError(f"{parameter}: {twice[0]!r} is named twice; name each class once")
    return [classes.index(name) for name in names]


def confusion_counts(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Images (classes, classes) of each actual and predicted class."""
    return np.bincount(labels.astype(np.int64) * classes + predicted, minlength=classes**2).reshape(classes, classes)
