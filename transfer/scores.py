"""How good predictions are, with scikit-learn's definitions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import classification_report, log_loss

from transfer.errors import DataError


def wilson_interval(hits: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927)."""
    interval = binomtest(hits, total).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def newcombe_interval(hits: int, total: int, other_hits: int, other_total: int) -> tuple[float, float]:
    """95 % interval of the difference of two independent proportions (Newcombe 1998, method 10)."""
    share, other = hits / total, other_hits / other_total
    (low, high), (other_low, other_high) = wilson_interval(hits, total), wilson_interval(other_hits, other_total)
    down, up = np.hypot(share - low, other_high - other), np.hypot(high - share, other - other_low)
    return float(share - other - down), float(share - other + up)


def score(probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Accuracy with its 95 % interval, macro F1, log loss and per-class precision, recall and F1.

    probabilities (N, classes), labels (N,). A class that is never predicted has precision 0.
    Raises DataError if a class has no image, because its recall would have no meaning.
    """
    counts = np.bincount(labels, minlength=len(classes))
    if (empty := np.flatnonzero(counts == 0)).size:
        raise DataError(f"no image of class {classes[empty[0]]!r} to evaluate on; take a larger split")
    predicted = probabilities.argmax(1)
    hits = int((predicted == labels).sum())
    low, high = wilson_interval(hits, len(labels))
    every = np.arange(len(classes))
    never_predicted: Any = 0  # typed as a string only
    report: Any = classification_report(
        labels, predicted, labels=every, target_names=list(classes), output_dict=True, zero_division=never_predicted
    )
    return {
        "accuracy": hits / len(labels),
        "accuracy_ci_low": low,
        "accuracy_ci_high": high,
        "macro_f1": report["macro avg"]["f1-score"],
        "loss": float(log_loss(labels, probabilities, labels=every)),
        "per_class": {
            name: {
                "precision": report[name]["precision"],
                "recall": report[name]["recall"],
                "f1": report[name]["f1-score"],
            }
            for name in classes
        },
    }
