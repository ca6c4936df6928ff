"""Which classes are taken for each other: pairs, and clusters of the confusion matrix."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.spatial.distance import squareform

from transfer.scores import wilson_interval

PAIR_COLUMNS = ("pair", "errors", "share_of_errors", "share_ci_low", "share_ci_high", "expected", "verdict")
CLUSTER_COLUMNS = ("classes", "size", "errors", "share_of_errors")


def without_hits(counts: np.ndarray) -> np.ndarray:
    """The errors of a confusion matrix (C, C): its diagonal set to 0."""
    return np.where(np.eye(len(counts), dtype=bool), 0, counts)


def pairs(counts: np.ndarray, classes: Sequence[str], expected: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    """Pairs of classes that were taken for each other or are `expected` to be, those with most errors first.

    counts (C, C) of actual and predicted classes, `expected` pairs of labels. Each row has the pair's share of
    all errors with Wilson's interval, empty if there are no errors at all, and for an expected pair a verdict:
    confirmed if the whole interval is above the share of a pair if errors were spread evenly over all pairs,
    refuted if it is below, else undecided.
    """
    errors = without_hits(counts)
    total = int(errors.sum())
    wanted = {frozenset(pair) for pair in expected}
    both = list(combinations(range(len(classes)), 2))
    rows = []
    for first, second in both:
        own = int(errors[first, second] + errors[second, first])
        is_expected = frozenset((first, second)) in wanted
        if not own and not is_expected:
            continue
        # Without an error nothing is known of its share.
        low, high = wilson_interval(own, total) if total else (0.0, 1.0)
        row = {
            "pair": f"{classes[first]} {classes[second]}",
            "errors": own,
            "share_of_errors": own / total if total else "",
            "share_ci_low": low if total else "",
            "share_ci_high": high if total else "",
            "expected": str(is_expected).lower(),
            "verdict": _verdict(low, high, 1 / len(both)) if is_expected else "",
        }
        rows.append(row)
    return sorted(rows, key=lambda row: -row["errors"])


def _verdict(low: float, high: float, even: float) -> str:
    return "confirmed" if low > even else "refuted" if high < even else "undecided"


def modularity(weights: np.ndarray, members: np.ndarray) -> float:
    """How much more of symmetric weights (C, C) lies inside groups (C,) than by chance (Newman 2004)."""
    of_group = np.eye(members.max() + 1)[members]
    shares = of_group.T @ weights @ of_group / weights.sum()
    return float(shares.trace() - np.square(shares.sum(0)).sum())


def clusters(counts: np.ndarray, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Groups of two classes or more that are taken for each other, ranked by their share of all errors.

    counts (C, C) of actual and predicted classes. Average linkage over the rates at which two classes are
    confused, either way; of all cuts of the tree the one of highest modularity, the finest of equals.
    """
    errors = without_hits(counts)
    if not errors.any():
        return []
    rates = errors / np.maximum(counts.sum(1, keepdims=True), 1)
    weights = (rates + rates.T) / 2
    tree = linkage(squareform(weights.max() - weights, checks=False), method="average")
    members = max(cut_tree(tree).T, key=lambda cut: round(modularity(weights, cut), 12))
    rows = []
    for group in range(members.max() + 1):
        inside = np.flatnonzero(members == group).tolist()
        if own := int(errors[np.ix_(inside, inside)].sum()):
            names = " ".join(classes[label] for label in inside)
            row = (names, len(inside), own, own / int(errors.sum()))
            rows.append(dict(zip(CLUSTER_COLUMNS, row, strict=True)))
    return sorted(rows, key=lambda row: -row["errors"])
