"""Classes by name and by number, and how often each was taken for which."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np

from transfer.runtime.errors import ParameterError


def class_labels(names: Sequence[str], classes: Sequence[str], parameter: str) -> list[int]:
    """The labels of the classes that a parameter names. Raises ParameterError for one that is not there, or twice."""
    if unknown := [name for name in names if name not in classes]:
        raise ParameterError(f"{parameter}: no class {unknown[0]!r}; the classes are {', '.join(classes)}")
    if twice := [name for name in names if names.count(name) > 1]:
        raise ParameterError(f"{parameter}: {twice[0]!r} is named twice; name each class once")
    return [classes.index(name) for name in names]


def known_labels(names: Sequence[str], classes: Sequence[str], parameter: str) -> list[int]:
    """The labels of those of the names that are classes here: a list may be written for several data sets.

    Raises ParameterError for a name that is not there but resembles a class, or one that is there twice.
    """
    for name in names:
        if name not in classes and (close := get_close_matches(name, classes, 1)):
            raise ParameterError(f"{parameter}: no class {name!r}; did you mean {close[0]!r}?")
    return class_labels([name for name in names if name in classes], classes, parameter)


def known_pairs(pairs: Sequence[Sequence[str]], classes: Sequence[str], parameter: str) -> list[tuple[int, int]]:
    """The pairs of which both names are classes here, as labels. Raises ParameterError as `known_labels`."""
    labels = [known_labels(pair, classes, parameter) for pair in pairs]
    return [(pair[0], pair[1]) for pair in labels if len(pair) == 2]


def confusion_counts(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Images (classes, classes) of each actual and predicted class."""
    return np.bincount(labels.astype(np.int64) * classes + predicted, minlength=classes**2).reshape(classes, classes)


CLUSTER_COLUMNS = ("classes", "size", "errors", "share_of_errors")


def without_hits(counts: np.ndarray) -> np.ndarray:
    """The errors of a confusion matrix (C, C): its diagonal set to 0."""
    return np.where(np.eye(len(counts), dtype=bool), 0, counts)


def modularity(weights: np.ndarray, members: np.ndarray) -> float:
    """How much more of symmetric weights (C, C) lies inside groups (C,) than by chance (Newman 2004)."""
    of_group = np.eye(members.max() + 1)[members]
    shares = of_group.T @ weights @ of_group / weights.sum()
    return float(shares.trace() - np.square(shares.sum(0)).sum())


def clusters(counts: np.ndarray) -> list[list[int]]:
    """Groups of two labels or more that are confused with each other, ranked by their errors, most first.

    counts (C, C) of actual and predicted classes. Average linkage over the rates at which two classes are
    confused, either way; of all cuts of the tree the one of highest modularity, the finest of equals.
    """
    from scipy.cluster.hierarchy import cut_tree, linkage  # half a second that few stages need
    from scipy.spatial.distance import squareform

    errors = without_hits(counts)
    if not errors.any():
        return []
    rates = errors / np.maximum(counts.sum(1, keepdims=True), 1)
    weights = (rates + rates.T) / 2
    tree = linkage(squareform(weights.max() - weights, checks=False), method="average")
    members = max(cut_tree(tree).T, key=lambda cut: round(modularity(weights, cut), 12))
    found = [np.flatnonzero(members == group).tolist() for group in range(members.max() + 1)]
    errors_in = {tuple(group): int(errors[np.ix_(group, group)].sum()) for group in found}
    return sorted((group for group in found if errors_in[tuple(group)]), key=lambda group: -errors_in[tuple(group)])


def cluster_rows(counts: np.ndarray, classes: Sequence[str]) -> list[dict[str, Any]]:
    """A row per cluster with its share of all errors. The names are for people: a name may hold a comma too."""
    errors = without_hits(counts)
    rows = []
    for group in clusters(counts):
        own = int(errors[np.ix_(group, group)].sum())
        row = (", ".join(classes[label] for label in group), len(group), own, own / int(errors.sum()))
        rows.append(dict(zip(CLUSTER_COLUMNS, row, strict=True)))
    return rows
