"""Whether one model is better than another, judged on the same images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from transfer.data.classes import confusion_counts
from transfer.evaluation.scores import DRAWS, f1_of, paired_difference
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
    these two; `recall` holds each class's change, `changed` counts the images with another answer.
    """

    images: int
    accuracy: Change
    macro_f1: Change
    fixed: int
    broken: int
    p_value: float
    recall: dict[str, Change]
    changed: int

    def sentence(self) -> str:
        """`accuracy 92.1 → 93.4, +1.3 points, 95 % interval 0.7 to 1.9, McNemar p < 0.001: better`."""
        change, p = self.accuracy, "p < 0.001" if self.p_value < 0.001 else f"p = {self.p_value:.3f}"
        better = "better" if change.difference > 0 else "worse"
        equal = "no difference is shown" if self.changed else "the same answers"
        return (
            f"accuracy {100 * change.before:.1f} → {100 * change.after:.1f}, {points(change.difference)}, "
            f"{interval(change.ci_low, change.ci_high)}, McNemar {p}: "
            + (better if self.p_value < SIGNIFICANT else equal)
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

    Intervals of accuracy and recall are `paired_difference`'s, that of macro F1 is a bootstrap's over images, which
    keeps each image's two predictions together; McNemar's test (1947) is the exact binomial one. Raises DataError if
    the lengths differ.
    """
    if not len(labels) == len(before) == len(after):
        raise DataError(f"predictions for {len(before)} and {len(after)} images of {len(labels)} cannot be paired")
    right, then = before == labels, after == labels
    accuracy = _paired(right, then)
    fixed, broken = int((then & ~right).sum()), int((right & ~then).sum())
    return Comparison(
        len(labels),
        accuracy,
        _macro_f1(labels, before, after, len(classes), seed),
        fixed,
        broken,
        float(binomtest(fixed, fixed + broken).pvalue) if fixed + broken else 1.0,
        {
            name: _paired(right[labels == label], then[labels == label])
            for label, name in enumerate(classes)
            if (labels == label).any()
        },
        int((before != after).sum()),
    )


def _paired(before: np.ndarray, after: np.ndarray) -> Change:
    _, low, high = paired_difference(before, after)
    return Change(float(before.mean()), float(after.mean()), low, high)


def _macro_f1(labels: np.ndarray, before: np.ndarray, after: np.ndarray, classes: int, seed: int) -> Change:
    # An image matters only through its label and two predictions, so resampling images is resampling these triples.
    triples, times = np.unique(np.stack([labels, before, after]), axis=1, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(len(labels), times / len(labels), size=DRAWS)
    drawn = []
    for predicted in triples[1:]:
        cell = triples[0] * classes + predicted
        counts = (draws @ (cell[:, None] == np.arange(classes**2))).reshape(-1, classes, classes)
        drawn.append(f1_of(counts).mean(1))
    low, high = np.percentile(drawn[1] - drawn[0], [2.5, 97.5])
    if low == high:  # no answer changed: as little is known of it as of accuracy
        low, high = paired_difference(before == labels, after == labels)[1:]
    was, now = (float(f1_of(confusion_counts(labels, predicted, classes)).mean()) for predicted in (before, after))
    return Change(was, now, float(low), float(high))
