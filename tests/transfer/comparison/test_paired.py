"""Comparisons against known answers: McNemar by hand, intervals by resampling images one by one."""

import math

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import f1_score

from transfer.comparison.paired import compare, compare_names
from transfer.runtime.errors import DataError

CLASSES = ("cat", "dog", "ship")


def predictions(labels: np.ndarray, right: float, seed: int) -> np.ndarray:
    """Predictions that are right with this probability, else any class."""
    generator = np.random.default_rng(seed)
    return np.where(generator.random(len(labels)) < right, labels, generator.integers(0, 3, len(labels)))


@pytest.fixture(scope="module")
def triple() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels = np.arange(600) % 3
    before = predictions(labels, 0.6, 1)
    return labels, before, np.where(np.random.default_rng(2).random(600) < 0.5, before, predictions(labels, 0.8, 3))


def test_mcnemar_is_the_exact_binomial_test():
    labels = np.zeros(40, dtype=int)
    before, after = labels.copy(), labels.copy()
    before[:10], after[10:12] = 1, 1  # ten errors fixed, two made
    compared = compare(labels, before, after, CLASSES, seed=0)
    assert (compared.fixed, compared.broken) == (10, 2)
    assert compared.p_value == pytest.approx(2 * sum(math.comb(12, k) for k in range(3)) / 2**12)


def test_intervals_are_those_of_resampling_images(triple):
    labels, before, after = triple
    compared = compare(labels, before, after, CLASSES, seed=0)

    def accuracy(_labels: np.ndarray, _before: np.ndarray, _after: np.ndarray, axis: int = -1) -> np.ndarray:
        return (_after == _labels).mean(axis) - (_before == _labels).mean(axis)

    def macro_f1(_labels: np.ndarray, _before: np.ndarray, _after: np.ndarray) -> float:
        old, new = (f1_score(_labels, given, average="macro") for given in (_before, _after))
        return float(new) - float(old)

    for change, statistic, draws in ((compared.accuracy, accuracy, 4000), (compared.macro_f1, macro_f1, 500)):
        expected = bootstrap(
            (labels, before, after), statistic, paired=True, n_resamples=draws, method="percentile", rng=0
        ).confidence_interval
        assert change.ci_low == pytest.approx(expected.low, abs=0.01)
        assert change.ci_high == pytest.approx(expected.high, abs=0.01)
        assert change.ci_low < change.difference < change.ci_high


def test_figures_before_and_after_are_scikit_learns(triple):
    labels, before, after = triple
    compared = compare(labels, before, after, CLASSES, seed=0)
    assert compared.accuracy.before == (before == labels).mean()
    assert compared.macro_f1.after == pytest.approx(f1_score(labels, after, average="macro"))
    assert compared.recall["ship"].after == (after[labels == 2] == 2).mean()
    assert compared.fixed - compared.broken == round(600 * compared.accuracy.difference)


def test_the_sentence_says_what_changed_by_how_much_and_whether_it_is_better(triple):
    labels, before, after = triple
    forth = compare(labels, before, after, CLASSES, seed=0)
    back = compare(labels, after, before, CLASSES, seed=0)
    was, now = (f"{100 * (predicted == labels).mean():.1f}" for predicted in (before, after))
    points = f"{100 * forth.accuracy.difference:.1f}"
    assert forth.p_value < 0.001
    assert forth.sentence().startswith(f"accuracy {was} → {now}, +{points} points, 95 % interval ")
    assert forth.sentence().endswith(", McNemar p < 0.001: better")
    assert back.sentence().startswith(f"accuracy {now} → {was}, −{points} points, 95 % interval −")
    assert back.sentence().endswith(": worse")


def test_rows_have_the_largest_change_of_a_class_first(triple):
    names = np.array(CLASSES)[np.stack(triple)]
    compared = compare_names(names[0], names[1], names[2])
    assert compared == compare(
        triple[0], triple[1], triple[2], CLASSES, seed=0
    )  # whose names are in alphabetical order
    rows = compared.rows()
    assert [row[0] for row in rows[:2]] == ["accuracy", "macro F1"]
    changes = {
        name: (names[2] == names[0])[names[0] == name].mean() - (names[1] == names[0])[names[0] == name].mean()
        for name in CLASSES
    }
    assert [row[0] for row in rows[2:]] == [
        f"recall of {name}" for name in sorted(changes, key=lambda name: -abs(changes[name]))
    ]
    assert [row[3] for row in rows[2:]] == [f"{100 * changes[row[0].split()[-1]]:+.1f}" for row in rows[2:]]


def test_equal_predictions_show_no_difference(triple):
    labels, before, _ = triple
    same = compare(labels, before, before, CLASSES, seed=0)
    assert same.p_value == 1.0
    assert same.sentence().endswith("+0.0 points, 95 % interval −0.4 to 0.4, McNemar p = 1.000: the same answers")
    assert {row[4] for row in same.rows()} >= {"-0.4 to +0.4", "-1.5 to +1.5"}  # of 600 images, and of 200 a class
    assert "+0.0 to +0.0" not in {row[4] for row in same.rows()}


def test_a_class_without_images_and_one_with_a_single_image_do_no_harm():
    labels, given = np.array([0, 0, 0, 1]), np.array([0, 1, 0, 1])
    compared = compare(labels, given, labels, CLASSES, seed=0)
    assert set(compared.recall) == {"cat", "dog"}
    assert np.isfinite([compared.recall["dog"].ci_low, compared.macro_f1.ci_high]).all()


def test_predictions_of_other_images_are_refused(triple):
    labels, before, after = triple
    with pytest.raises(DataError, match="600 and 599 images"):
        compare(labels, before, after[1:], CLASSES, seed=0)
