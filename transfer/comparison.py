"""Whether one model is better than another, judged on the same images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score

from transfer.classes import confusion_counts
from transfer.errors import DataError
from transfer.scores import DRAWS, f1_of

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

    def sentence(self, before: str = "A", after: str = "B") -> str:
        """The verdict as one sentence, with accuracy in points of a hundred."""
        change, chance = self.accuracy, "p < 0.001" if self.p_value < 0.001 else f"p = {self.p_value:.3f}"
        points, low, high = 100 * change.difference, 100 * change.ci_low, 100 * change.ci_high
        if self.p_value >= SIGNIFICANT:
            return (
                f"no difference is shown: {after} minus {before} is {points:+.1f} points of accuracy, "
                f"95 % interval {low:.1f} to {high:.1f}, {chance}"
            )
        if points < 0:
            before, after, points, low, high = after, before, -points, -high, -low
        return (
            f"{after} is better than {before} by {points:.1f} points of accuracy, "
            f"95 % interval {low:.1f} to {high:.1f}, {chance}"
        )


def compare(labels: np.ndarray, before: np.ndarray, after: np.ndarray, classes: Sequence[str], seed: int) -> Comparison:
    """Compare two models' answers (N,) to the same images with labels (N,), all as class numbers.

    Intervals are percentiles of a bootstrap over images, which keeps each image's two answers together;
    McNemar's test (1947) is the exact binomial one. Raises DataError if the lengths differ.
    """
    if not len(labels) == len(before) == len(after):
        raise DataError(f"answers to {len(before)} and {len(after)} images of {len(labels)} cannot be paired")
    count = len(classes)
    # An image matters only through its label and two answers, so resampling images is resampling these triples.
    triples, times = np.unique(np.stack([labels, before, after]), axis=1, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(len(labels), times / len(labels), size=DRAWS)
    old, new = (_figures(draws, triples[0], answers, count) for answers in triples[1:])

    def change(was: float, now: float, differences: np.ndarray) -> Change:
        low, high = np.nanpercentile(differences, [2.5, 97.5])
        return Change(float(was), float(now), float(low), float(high))

    fixed = int(((before != labels) & (after == labels)).sum())
    broken = int(((before == labels) & (after != labels)).sum())
    shown = [label for label in range(count) if (labels == label).any()]
    f1_before, f1_after = (f1_of(confusion_counts(labels, answers, count)).mean() for answers in (before, after))
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
            for label in shown
        },
    )


@dataclass(frozen=True)
class _Figures:
    accuracy: np.ndarray  # (draws,)
    macro_f1: np.ndarray  # (draws,)
    recall: np.ndarray  # (draws, classes), NaN where a draw has no image of the class


def _figures(draws: np.ndarray, labels: np.ndarray, answers: np.ndarray, classes: int) -> _Figures:
    """Figures of each draw: `draws` (draws, triples) counts how often each (label, answer) was drawn."""
    cell = labels * classes + answers
    counts = (draws @ (cell[:, None] == np.arange(classes**2))).reshape(-1, classes, classes)
    hits = counts.diagonal(axis1=1, axis2=2)
    with np.errstate(invalid="ignore"):
        recall = hits / counts.sum(2)
    return _Figures(hits.sum(1) / draws.sum(1), f1_of(counts).mean(1), recall)
