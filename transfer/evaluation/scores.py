"""How good predictions are, with scikit-learn's definitions, and how sure that is."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import classification_report, log_loss

from transfer.data.classes import CONFIDENCE, confusion_counts
from transfer.runtime.errors import DataError
from transfer.runtime.wording import percent

DRAWS = 2000
FEWEST = 30  # images, below which nothing is concluded from them
CLASS_COLUMNS = tuple(f"{name}{end}" for name in ("precision", "recall", "f1") for end in ("", "_ci_low", "_ci_high"))


def wilson_interval(hits: int, total: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927)."""
    interval = binomtest(hits, total).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def newcombe_interval(
    hits: int, total: int, other_hits: int, other_total: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Interval of the difference of two independent proportions (Newcombe 1998, method 10)."""
    share, other = hits / total, other_hits / other_total
    counts = (hits, total), (other_hits, other_total)
    (low, high), (other_low, other_high) = (wilson_interval(*each, confidence) for each in counts)
    down, up = np.hypot(share - low, other_high - other), np.hypot(high - share, other - other_low)
    return float(share - other - down), float(share - other + up)


def f1_of(counts: np.ndarray) -> np.ndarray:
    """F1 of each class (..., C) from confusion matrices (..., C, C); 0 where a class is neither there nor predicted."""
    hits = counts.diagonal(axis1=-2, axis2=-1)
    return 2 * hits / np.maximum(counts.sum(-1) + counts.sum(-2), 1)


def f1_interval(hits: int, concerned: int) -> tuple[float, float]:
    """95 % interval of F1 from its hits and the images `concerned`, which are of the class or predicted so.

    F1 is 2 J / (1 + J) of the share J = hits / concerned, whose interval is Wilson's: it knows that 1 is the end.
    """
    low, high = (2 * share / (1 + share) for share in wilson_interval(hits, concerned))
    return low, high


def macro_f1_interval(counts: np.ndarray, seed: int, draws: int = DRAWS) -> tuple[float, float]:
    """95 % interval of the macro F1 of a confusion matrix (C, C), by a bootstrap over images.

    To draw images with replacement and count their cells is to draw from a multinomial distribution
    over the cells (Efron & Tibshirani 1993). Two hits and two errors are added first, spread evenly, and the interval
    is 1.96 deviations either way, as Agresti & Coull (1998) have it for proportions: where no error was seen, a
    bootstrap alone would never draw one.
    """
    diagonal = np.eye(len(counts))
    added = 2 * diagonal / diagonal.sum() + (2 * (1 - diagonal) / max((1 - diagonal).sum(), 1))
    cells = (counts + added).ravel()
    drawn = np.random.default_rng(seed).multinomial(counts.sum(), cells / cells.sum(), size=draws)
    centre, reach = float(f1_of(counts + added).mean()), f1_of(drawn.reshape(draws, *counts.shape)).mean(1).std()
    value, reach = float(f1_of(counts).mean()), 1.96 * float(reach)
    return max(min(centre - reach, value), 0.0), min(max(centre + reach, value), 1.0)


def paired_difference(
    before: np.ndarray, after: np.ndarray, confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """Share of right answers (N,) bool after, less that before, of the same images, with its interval.

    Newcombe's for paired proportions (1998, Statistics in Medicine 17:2635, method 10): Wilson's intervals of both,
    joined with the correlation of the two.
    """
    total, both, neither = len(before), int((before & after).sum()), int((~before & ~after).sum())
    fixed, broken = int((after & ~before).sum()), int((before & ~after).sum())
    margins = (both + fixed) * (neither + broken) * (both + broken) * (neither + fixed)
    together = both * neither - fixed * broken
    together = max(together - total / 2, 0) if together > 0 else together
    correlation = together / math.sqrt(margins) if margins else 0.0
    now, was = (both + fixed) / total, (both + broken) / total
    (low, high), (was_low, was_high) = (
        wilson_interval(both + changed, total, confidence) for changed in (fixed, broken)
    )

    def reach(own: float, other: float) -> float:
        return math.sqrt(max(own**2 - 2 * correlation * own * other + other**2, 0))

    return now - was, now - was - reach(now - low, was_high - was), now - was + reach(high - now, was - was_low)


def with_interval(name: str, value: float, interval: tuple[float, float]) -> dict[str, float]:
    return {name: value, f"{name}_ci_low": interval[0], f"{name}_ci_high": interval[1]}


def share_of(name: str, chosen: np.ndarray) -> dict[str, float]:
    """The share of `chosen` (N,) bool that is true, with Wilson's interval."""
    return with_interval(name, float(chosen.mean()), wilson_interval(int(chosen.sum()), len(chosen)))


def brier_score(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Brier's score (1950), summed over classes: 0 is best, 2 is certainty in a wrong class."""
    return float(np.square(probabilities - np.eye(probabilities.shape[1])[labels]).sum(1).mean())


def top_accuracy(probabilities: np.ndarray, labels: np.ndarray, count: int) -> float:
    """Share of images whose class is among the `count` most probable ones."""
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    return float((best == labels[:, None]).any(1).mean())


def score(probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str], seed: int) -> dict[str, Any]:
    """Accuracy, macro F1, losses and per-class precision, recall and F1, with 95 % intervals.

    probabilities (N, classes), labels (N,). Intervals are Wilson's for proportions and the F1 of a
    class, `seed`'s bootstrap for macro F1. A class that is never predicted has precision 0, and no interval of it.
    Raises DataError if a class has no image, because its recall would have no meaning.
    """
    every = np.arange(len(classes))
    if (empty := np.setdiff1d(every, labels)).size:
        raise DataError(f"no image of class {classes[empty[0]]!r} to evaluate on; take a larger split")
    predicted = probabilities.argmax(1)
    hits = int((predicted == labels).sum())
    never_predicted: Any = 0  # typed as a string only
    report: Any = classification_report(
        labels, predicted, labels=every, target_names=list(classes), output_dict=True, zero_division=never_predicted
    )
    counts = confusion_counts(labels, predicted, len(classes))
    return {
        **with_interval("accuracy", hits / len(labels), wilson_interval(hits, len(labels))),
        **with_interval("macro_f1", report["macro avg"]["f1-score"], macro_f1_interval(counts, seed)),
        "top2_accuracy": top_accuracy(probabilities, labels, 2),
        "loss": float(log_loss(labels, probabilities, labels=every)),
        "brier": brier_score(probabilities, labels),
        "per_class": {name: _class_scores(report[name], counts, label) for label, name in enumerate(classes)},
    }


def _class_scores(report: dict[str, float], counts: np.ndarray, label: int) -> dict[str, float]:
    hits, predicted, there = int(counts[label, label]), int(counts[:, label].sum()), int(counts[label].sum())
    scores = {"precision": report["precision"], "recall": report["recall"], "f1": report["f1-score"]}
    if predicted:
        scores |= with_interval("precision", report["precision"], wilson_interval(hits, predicted))
    scores |= with_interval("recall", report["recall"], wilson_interval(hits, there))
    return scores | with_interval("f1", report["f1-score"], f1_interval(hits, there + predicted - hits))


def group_gap(labels: np.ndarray, predicted: np.ndarray, rigid: Sequence[int]) -> dict[str, float]:
    """Accuracy on rigid and on all other (organic) classes, and how far rigid ones are ahead, with its interval.

    Empty if one of the two groups has no image.
    """
    is_rigid, right = np.isin(labels, rigid), labels == predicted
    total, other_total = int(is_rigid.sum()), int((~is_rigid).sum())
    if not total or not other_total:
        return {}
    hits, other_hits = int(right[is_rigid].sum()), int(right[~is_rigid].sum())
    gap = hits / total - other_hits / other_total
    interval = newcombe_interval(hits, total, other_hits, other_total)
    return {
        "rigid_accuracy": hits / total,
        "organic_accuracy": other_hits / other_total,
        **with_interval("gap", gap, interval),
    }


def verdict(scores: Mapping[str, Any], minimum: float) -> str:
    """One line: accuracy with its interval, macro F1, and whether the minimum viable accuracy is met."""
    low, high = (f"{100 * scores[f'accuracy_ci_{end}']:.1f}" for end in ("low", "high"))
    return (
        f"accuracy {percent(scores['accuracy'])} (95 % interval {low} to {high}), macro F1 {scores['macro_f1']:.4f}: "
        f"minimum viable accuracy ({minimum}) {'met' if scores['macro_f1'] >= minimum else 'missed'}"
    )
