"""Which pairs of classes are taken for each other, and whether more often than an even spread would have it."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from transfer.data.classes import without_hits
from transfer.evaluation.scores import wilson_interval

PAIR_COLUMNS = ("pair", "errors", "share_of_errors", "share_ci_low", "share_ci_high", "expected", "verdict")


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
