"""Which pairs of classes are confused, and whether the expected ones are confused more than most."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from transfer.data.classes import without_hits
from transfer.evaluation.scores import wilson_interval

PAIR_COLUMNS = (
    *("pair", "first", "second", "rank", "errors", "share_of_errors", "share_ci_low", "share_ci_high"),
    *("median_share", "expected", "verdict"),
)


def pairs(counts: np.ndarray, classes: Sequence[str], expected: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    """Pairs of classes that are confused or are `expected` to be, those with most errors first.

    counts (C, C) of actual and predicted classes, `expected` pairs of labels. Each row has the pair's rank among
    all pairs and its share of all errors with Wilson's interval, empty if there are no errors at all, and for an
    expected pair a verdict on "more than most pairs": confirmed if the whole interval is above that of the median
    pair, refuted if it is below, else undecided.
    """
    errors = without_hits(counts)
    total = int(errors.sum())
    wanted = {frozenset(pair) for pair in expected}
    both = {(a, b): int(errors[a, b] + errors[b, a]) for a, b in combinations(range(len(classes)), 2)}
    middle = int(np.median(list(both.values()))) if total else 0
    median = middle / total if total else 0.0
    around = wilson_interval(middle, total) if total else (0.0, 1.0)
    ranked = sorted(both, key=lambda pair: -both[pair])
    rows = []
    for rank, (first, second) in enumerate(ranked, 1):
        own, is_expected = both[first, second], frozenset((first, second)) in wanted
        if not own and not is_expected:
            continue
        # Without an error nothing is known of its share.
        low, high = wilson_interval(own, total) if total else (0.0, 1.0)
        rows.append(
            {
                "pair": f"{classes[first]} / {classes[second]}",
                "first": classes[first],
                "second": classes[second],
                "rank": rank,
                "errors": own,
                "share_of_errors": own / total if total else "",
                "share_ci_low": low if total else "",
                "share_ci_high": high if total else "",
                "median_share": median if total else "",
                "expected": str(is_expected).lower(),
                "verdict": _verdict(low, high, *around) if is_expected else "",
            }
        )
    return rows


def _verdict(low: float, high: float, median_low: float, median_high: float) -> str:
    return "confirmed" if low > median_high else "refuted" if high < median_low else "undecided"
