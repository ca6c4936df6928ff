"""Whether one model is better than another, judged on the same images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score

from transfer.data.classes import confusion_counts
from transfer.evaluation.scores import DRAWS, f1_of
from transfer.report.evidence import interval, points
from transfer.runtime.errors import DataError

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Change:
    """A figure before and after, and the 95 % interval of the difference."""

    before: float
    after: float
    ci_low: float
    ci_high: float

    @property
    def difference(self) -> float:
        return self.after - self.before


@dataclass(frozen=True)
class Comparison:
    """What changed from one model to the other over `images` test images.

    `fixed` images are right only after, `broken` ones only before; `p_value` is McNemar's exact test on
    these two; `recall` holds each class's change.
    """

    images: int
    accuracy: Change
    macro_f1: Change
    fixed: int
    broken: int
    p_value: float
    recall: dict[str, Change]

    def sentence(self) -> str:
        """`accuracy 92.1 → 93.4, +1.3 points, 95 % interval 0.7 to 1.9, McNemar p < 0.001: better`."""
        change, p = self.accuracy, "p < 0.001" if self.p_value < 0.001 else f"p = {self.p_value:.3f}"
        better = "better" if change.difference > 0 else "worse"
        return (
            f"accuracy {100 * change.before:.1f} → {100 * change.after:.1f}, {points(change.difference)}, "
            f"{interval(change.ci_low, change.ci_high)}, McNemar {p}: "
            + (better if self.p_value < SIGNIFICANT else "no difference is shown")
        )

    def rows(self) -> list[list[str]]:
        """Name, before, after, change and its 95 % interval in percent: accuracy, macro F1, classes, largest first."""
        classes = sorted(self.recall.items(), key=lambda item: -abs(item[1].difference))
        recall = [(f"recall of {name}", change) for name, change in classes]
        return [
            [
                name,
                f"{100 * change.before:.1f}",
                f"{100 * change.after:.1f}",
                f"{100 * change.difference:+.1f}",
                f"{100 * change.ci_low:+.1f} to {100 * change.ci_high:+.1f}",
            ]
            for name, change in (("accuracy", self.accuracy), ("macro F1", self.macro_f1), *recall)
        ]


def compare_names(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Comparison:
    """`compare` for labels and predictions (N,) that are class names; the bootstrap's seed is always the same."""
    classes = sorted({*labels, *before, *after})
    index = {name: i for i, name in enumerate(classes)}
    indices = [np.array([index[name] for name in names]) for names in (labels, before, after)]
    return compare(indices[0], indices[1], indices[2], classes, seed=0)


def compare(labels: np.ndarray, before: np.ndarray, after: np.ndarray, classes: Sequence[str], seed: int) -> Comparison:
    """Compare two models' predictions (N,) for the same images with labels (N,), all as class indices.

    Intervals are percentiles of a bootstrap over images, which keeps each image's two predictions together;
    McNemar's test (1947) is the exact binomial one. Raises DataError if the lengths differ.
    """
    if not len(labels) == len(before) == len(after):
        raise DataError(f"predictions for {len(before)} and {len(after)} images of {len(labels)} cannot be paired")
    count = len(classes)
    # An image matters only through its label and two predictions, so resampling images is resampling these triples.
    triples, times = np.unique(np.stack([labels, before, after]), axis=1, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(len(labels), times / len(labels), size=DRAWS)
    old, new = (_figures(draws, triples[0], predicted, count) for predicted in triples[1:])

    def change(was: float, now: float, differences: np.ndarray) -> Change:
        low, high = np.nanpercentile(differences, [2.5, 97.5])
        return Change(float(was), float(now), float(low), float(high))

    fixed = int(((before != labels) & (after == labels)).sum())
    broken = int(((before == labels) & (after != labels)).sum())
    present = [label for label in range(count) if (labels == label).any()]
    f1_before, f1_after = (f1_of(confusion_counts(labels, predicted, count)).mean() for predicted in (before, after))
    return Comparison(
        len(labels),
        change(accuracy_score(labels, before), accuracy_score(labels, after), new.accuracy - old.accuracy),
        change(f1_before, f1_after, new.macro_f1 - old.macro_f1),
        fixed,
        broken,
        float(binomtest(fixed, fixed + broken).pvalue) if fixed + broken else 1.0,
        {
            classes[label]: change(
                (before[labels == label] == label).mean(),
                (after[labels == label] == label).mean(),
                new.recall[:, label] - old.recall[:, label],
            )
            for label in present
        },
    )


@dataclass(frozen=True)
class _Figures:
    accuracy: np.ndarray  # (draws,)
    macro_f1: np.ndarray  # (draws,)
    recall: np.ndarray  # (draws, classes), NaN where a draw has no image of the class


def _figures(draws: np.ndarray, labels: np.ndarray, predicted: np.ndarray, classes: int) -> _Figures:
    """Figures of each draw: `draws` (draws, triples) counts how often each (label, predicted) pair was drawn."""
    cell = labels * classes + predicted
    counts = (draws @ (cell[:, None] == np.arange(classes**2))).reshape(-1, classes, classes)
    hits = counts.diagonal(axis1=1, axis2=2)
    with np.errstate(invalid="ignore"):
        recall = hits / counts.sum(2)
    return _Figures(hits.sum(1) / draws.sum(1), f1_of(counts).mean(1), recall)
