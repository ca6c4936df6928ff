"""Classes by name and by number, and how often each was taken for which."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np

from transfer.runtime.errors import ParameterError
from transfer.runtime.parameters import Group

CIFAR_10 = frozenset(("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"))


class Groups(Group):
    """The parameters `groups`: the classes of a kind; those that are not listed are organic."""

    rigid: tuple[str, ...]


def class_labels(names: Sequence[str], classes: Sequence[str], parameter: str) -> list[int]:
    """The labels of the classes that a parameter names. Raises ParameterError for one that is not there, or twice."""
    if unknown := [name for name in names if name not in classes]:
        raise ParameterError(f"{parameter}: no class {unknown[0]!r}; the classes are {', '.join(classes)}")
    if twice := [name for name in names if names.count(name) > 1]:
        raise ParameterError(f"{parameter}: {twice[0]!r} is named twice; name each class once")
    return [classes.index(name) for name in names]


def known_labels(names: Sequence[str], classes: Sequence[str], parameter: str) -> list[int]:
    """The labels of those of the names that are classes here: a list may be written for another data set.

    Raises ParameterError for a name that resembles a class where the list is for this set, because another of its
    names is a class or because all of them resemble one, and for a class that is there twice. A list of CIFAR-10's
    classes alone, as the default is, may be for that.
    """
    _check_spelling(names, classes, parameter)
    return class_labels([name for name in names if name in classes], classes, parameter)


def known_pairs(pairs: Sequence[Sequence[str]], classes: Sequence[str], parameter: str) -> list[tuple[int, int]]:
    """The pairs of which both names are classes here, as labels. Raises ParameterError as `known_labels`."""
    _check_spelling([name for pair in pairs for name in pair], classes, parameter)
    labels = [class_labels([name for name in pair if name in classes], classes, parameter) for pair in pairs]
    return [(pair[0], pair[1]) for pair in labels if len(pair) == 2]


def _check_spelling(names: Sequence[str], classes: Sequence[str], parameter: str) -> None:
    if CIFAR_10.issuperset(names):  # the default list, for another data set
        return
    close = {name: get_close_matches(name, classes, 1) for name in names if name not in classes}
    if not any(name in classes for name in names) and not all(close.values()):
        return
    for name, meant in close.items():
        if meant:
            raise ParameterError(
                f"{parameter}: no class {name!r}; did you mean {meant[0]!r}? Name it so, or take {name!r} off the list"
            )


def confusion_counts(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Images (classes, classes) of each actual and predicted class."""
    return np.bincount(labels.astype(np.int64) * classes + predicted, minlength=classes**2).reshape(classes, classes)


CLUSTER_COLUMNS = ("classes", "size", "errors", "share_of_errors", "excess", "excess_ci_low", "excess_ci_high")
CONFIDENCE = 0.95


def without_hits(counts: np.ndarray) -> np.ndarray:
    """The errors of a confusion matrix (C, C): its diagonal set to 0."""
    return np.where(np.eye(len(counts), dtype=bool), 0, counts)


def evenly_spread(counts: np.ndarray) -> np.ndarray:
    """Errors (C, C) between each two classes, either way, if each class's errors fell evenly on all others."""
    share = without_hits(counts).sum(1) / max(len(counts) - 1, 1)
    return without_hits(share[:, None] + share)


def excess(errors: np.ndarray, expected: np.ndarray, comparisons: int) -> np.ndarray:
    """Errors (...) as a multiple of those `expected` (...), and its interval: (3, ...).

    Garwood's (1936) exact one of a Poisson count, at Bonferroni's share of 5 % for each of `comparisons`. The
    classes' own errors are taken as given.
    """
    from scipy.stats import chi2  # half a second that few stages need

    tail = (1 - CONFIDENCE) / comparisons / 2
    low = np.where(errors > 0, chi2.ppf(tail, 2 * np.maximum(errors, 1)), 0) / 2
    return np.stack([errors, low, chi2.isf(tail, 2 * errors + 2) / 2]) / expected


def _cliques(linked: np.ndarray, chosen: list[int], open_to: list[int], closed: list[int]) -> Iterator[list[int]]:
    """All largest sets of labels of which every two are linked (Bron & Kerbosch 1973)."""
    if not open_to and not closed:
        yield chosen
    for place, label in enumerate(open_to):
        more, seen = ([other for other in some if linked[label, other]] for some in (open_to[place + 1 :], closed))
        yield from _cliques(linked, [*chosen, label], more, seen)
        closed = [*closed, label]


def clusters(counts: np.ndarray) -> list[list[int]]:
    """Pairs, or larger sets, of labels of which every two are confused more than evenly; most errors first.

    counts (C, C) of actual and predicted classes. Two classes belong together if the whole interval of their
    `excess` is above 1, so that a class may be in several sets, or in none.
    """
    errors, size = without_hits(counts), len(counts)
    linked = np.zeros((size, size), bool)
    rows, columns = np.nonzero(np.triu(errors + errors.T))
    both, expected = (errors + errors.T)[rows, columns], evenly_spread(counts)[rows, columns]
    linked[rows, columns] = excess(both, expected, size * (size - 1) // 2)[1] > 1 if size > 1 else False
    linked |= linked.T
    found = [sorted(group) for group in _cliques(linked, [], list(range(size)), []) if len(group) > 1]
    return sorted(found, key=lambda group: -errors[np.ix_(group, group)].sum())


def cluster_rows(counts: np.ndarray, classes: Sequence[str]) -> list[dict[str, Any]]:
    """A row per cluster: its share of all errors, and its excess. For people: a name may hold a comma too."""
    errors, expected = without_hits(counts), evenly_spread(counts)
    rows = []
    for group in clusters(counts):
        inside = np.ix_(group, group)
        own = errors[inside].sum()
        more = excess(own, expected[inside].sum() / 2, len(counts) * (len(counts) - 1) // 2).tolist()
        row = (", ".join(classes[label] for label in group), len(group), int(own), float(own / errors.sum()), *more)
        rows.append(dict(zip(CLUSTER_COLUMNS, row, strict=True)))
    return rows
