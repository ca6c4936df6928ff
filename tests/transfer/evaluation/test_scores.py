"""Scores: intervals by their formulas, published examples and resampled images; figures counted by hand and by
scikit-learn; degenerate predictions without warnings."""

import json
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import brier_score_loss, f1_score, log_loss, top_k_accuracy_score

from transfer.data.classes import class_labels, confusion_counts
from transfer.evaluation.scores import (
    brier_score,
    f1_interval,
    group_gap,
    macro_f1_interval,
    newcombe_interval,
    paired_difference,
    score,
    top_accuracy,
    wilson_interval,
)
from transfer.runtime.errors import DataError, ParameterError

CLASSES = ("cat", "dog", "ship")
SEED = 0


def drawn_answers(images: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, C) that lean towards the labels (N,)."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, images)
    chances = generator.dirichlet(np.full(classes, 0.5), images) + 0.5 * np.eye(classes)[labels]
    return chances / chances.sum(1, keepdims=True), labels


def sure_of(predicted: list[int], classes: int = 3, chance: float = 0.8) -> np.ndarray:
    rest = (1 - chance) / (classes - 1)
    return np.where(np.eye(classes)[predicted] == 1, chance, rest)


@given(st.integers(1, 5000), st.floats(0, 1))
def test_wilson_interval_is_its_formula(total: int, share: float):
    hits = round(share * total)
    z, p = 1.959963984540054, hits / total
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * np.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    low, high = wilson_interval(hits, total)
    assert low == pytest.approx(centre - half, abs=1e-9)
    assert high == pytest.approx(centre + half, abs=1e-9)


def plain(figures: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if "_ci_" not in name}


def test_figures_are_those_counted_by_hand():
    #        truth: cat cat cat dog dog ship; one cat is taken for a dog, one dog for a ship
    labels = np.array([0, 0, 0, 1, 1, 2])
    result = score(sure_of([0, 0, 1, 1, 2, 2]), labels, CLASSES, SEED)
    assert result["accuracy"] == pytest.approx(4 / 6)
    assert plain(result["per_class"]["cat"]) == pytest.approx({"precision": 1.0, "recall": 2 / 3, "f1": 0.8})
    assert plain(result["per_class"]["dog"]) == pytest.approx({"precision": 0.5, "recall": 0.5, "f1": 0.5})
    assert plain(result["per_class"]["ship"]) == pytest.approx({"precision": 0.5, "recall": 1.0, "f1": 2 / 3})
    assert result["macro_f1"] == pytest.approx((0.8 + 0.5 + 2 / 3) / 3)
    assert result["loss"] == pytest.approx(-(4 * np.log(0.8) + 2 * np.log(0.1)) / 6)
    assert result["accuracy_ci_low"] < 4 / 6 < result["accuracy_ci_high"]


def test_predicting_one_class_only_gives_numbers_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = score(sure_of([0, 0, 0]), np.array([0, 1, 2]), CLASSES, SEED)
    assert plain(result["per_class"]["dog"]) == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert "precision_ci_low" not in result["per_class"]["dog"]  # nothing was predicted to be a dog
    assert "precision_ci_low" in result["per_class"]["cat"]
    json.dumps(result, allow_nan=False)
    assert result["macro_f1"] == pytest.approx(0.5 / 3)


def test_certainty_in_the_wrong_class_gives_a_finite_loss():
    assert np.isfinite(score(sure_of([1, 0, 2], chance=1.0), np.array([0, 1, 2]), CLASSES, SEED)["loss"])


def test_a_class_without_images_is_named():
    with pytest.raises(DataError, match="no image of class 'ship'"):
        score(sure_of([0, 1]), np.array([0, 1]), CLASSES, SEED)


def test_wilson_interval_of_published_examples():
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


@pytest.mark.parametrize(
    ("counts", "interval"),
    [
        # Newcombe 1998, Statistics in Medicine 17:873, table II, method 10
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((6, 7, 2, 7), (0.0582, 0.8062)),
        ((5, 56, 0, 29), (-0.0381, 0.1926)),
        ((0, 10, 0, 20), (-0.1611, 0.2775)),
        ((10, 10, 0, 10), (0.6075, 1.0)),
    ],
)
def test_newcombe_interval_of_published_examples(counts: tuple[int, int, int, int], interval: tuple[float, float]):
    assert newcombe_interval(*counts) == pytest.approx(interval, abs=5e-5)


def test_precision_and_recall_have_the_intervals_of_their_counts():
    labels = np.array([0, 0, 0, 1, 1, 2])
    cat = score(sure_of([0, 0, 1, 1, 2, 2]), labels, CLASSES, SEED)["per_class"]["cat"]
    assert (cat["precision_ci_low"], cat["precision_ci_high"]) == wilson_interval(2, 2)
    assert (cat["recall_ci_low"], cat["recall_ci_high"]) == wilson_interval(2, 3)


def slow_f1(labels: np.ndarray, predicted: np.ndarray, classes: int) -> list[float]:
    pairs = [(labels == label, predicted == label) for label in range(classes)]
    return [2 * (actual & said).sum() / (actual.sum() + said.sum()) for actual, said in pairs]


def test_the_macro_interval_is_that_of_resampled_images_where_there_are_many():
    chances, labels = drawn_answers(300, 4)
    predicted = chances.argmax(1)
    assert slow_f1(labels, predicted, 4) == pytest.approx(
        [f1_score(labels == label, predicted == label) for label in range(4)]
    )
    ours = macro_f1_interval(confusion_counts(labels, predicted, 4), SEED, draws=10000)
    samples = (np.random.default_rng([1, draw]).integers(0, 300, 300) for draw in range(2000))
    theirs = [np.mean(slow_f1(labels[sample], predicted[sample], 4)) for sample in samples]
    assert ours == pytest.approx(tuple(np.quantile(theirs, [0.025, 0.975])), abs=0.012)


@pytest.mark.parametrize(("images", "right"), [(10, 1.0), (10, 0.9), (30, 0.99), (100, 0.97)])
def test_f1_intervals_hold_the_true_value_also_where_no_error_is_seen(images: int, right: float):
    """Three classes of so many images, errors spread evenly: F1 of the population equals `right`."""
    generator, inside, whole, cases = np.random.default_rng(0), 0, 0, 400
    for case in range(cases):
        rates = np.full((3, 3), (1 - right) / 2) + np.eye(3) * (right - (1 - right) / 2)
        counts = np.array([generator.multinomial(images, row) for row in rates])
        low, high = f1_interval(counts[0, 0], counts[0].sum() + counts[:, 0].sum() - counts[0, 0])
        inside += low <= right <= high
        low, high = macro_f1_interval(counts, case, draws=400)
        whole += low <= right <= high
        assert low < high
    assert inside / cases > 0.93
    assert whole / cases > 0.93


def test_without_an_error_the_interval_still_has_a_width():
    result = score(sure_of([0, 1, 2] * 10), np.array([0, 1, 2] * 10), CLASSES, SEED)
    assert result["macro_f1"] == result["macro_f1_ci_high"] == 1
    assert 0.8 < result["macro_f1_ci_low"] < 0.98
    assert result["per_class"]["cat"]["f1_ci_low"] < 0.9


@pytest.mark.parametrize(("fixed", "broken"), [(0, 0), (9, 1), (5, 5), (0, 4), (300, 200)])
def test_a_paired_interval_leaves_out_zero_where_mcnemar_finds_a_difference(fixed: int, broken: int):
    before, after = np.zeros(1000, bool), np.zeros(1000, bool)
    after[:fixed] = before[fixed : fixed + broken] = True
    gained, low, high = paired_difference(before, after)
    assert gained == pytest.approx((fixed - broken) / 1000)
    assert low <= gained <= high
    p = binomtest(fixed, fixed + broken).pvalue if fixed + broken else 1
    assert (low > 0 or high < 0) == (p < 0.05)


def test_the_paired_interval_is_newcombes():
    """Of his paper's table III, method 10: 36 right both times, 12 and 2 only once, none never."""
    before, after = (np.repeat(kinds, [36, 12, 2]) for kinds in ([True, False, True], [True, True, False]))
    assert paired_difference(before, after) == pytest.approx((0.2, 0.0569, 0.3404), abs=1e-4)


def test_intervals_are_around_their_figures_and_depend_on_the_seed_alone():
    chances, labels = drawn_answers(200, 3)
    result, again, other = (score(chances, labels, CLASSES, seed) for seed in (0, 0, 1))
    assert result["macro_f1_ci_low"] < result["macro_f1"] < result["macro_f1_ci_high"]
    assert result == again
    assert result["macro_f1_ci_low"] != other["macro_f1_ci_low"]
    assert result["macro_f1"] == other["macro_f1"]


@pytest.mark.parametrize("classes", [3, 10])
def test_figures_are_those_of_scikit_learn(classes: int):
    chances, labels = drawn_answers(500, classes)
    result = score(chances, labels, [f"class {label}" for label in range(classes)], SEED)
    whole_sum: Any = False  # typed as a string only
    assert result["top2_accuracy"] == pytest.approx(top_k_accuracy_score(labels, chances, k=2))
    assert result["brier"] == pytest.approx(brier_score_loss(labels, chances, scale_by_half=whole_sum))
    assert result["loss"] == pytest.approx(log_loss(labels, chances))
    assert result["macro_f1"] == pytest.approx(f1_score(labels, chances.argmax(1), average="macro"))


def test_brier_score_by_a_loop():
    chances, labels = drawn_answers(20, 3)
    slow = [sum((chances[i, k] - (k == labels[i])) ** 2 for k in range(3)) for i in range(20)]
    assert brier_score(chances, labels) == pytest.approx(sum(slow) / 20)
    assert brier_score(np.eye(3)[[1, 2, 0]], np.array([0, 1, 2])) == 2


def test_the_first_of_the_best_classes_is_the_prediction_even_in_a_tie():
    chances = np.full((3, 3), 1 / 3)
    labels = np.array([0, 1, 2])
    assert top_accuracy(chances, labels, 1) == (chances.argmax(1) == labels).mean()
    assert top_accuracy(chances, labels, 2) == pytest.approx(2 / 3)


def test_two_classes_and_no_errors_give_numbers_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = score(sure_of([0, 1] * 20, classes=2, chance=1.0), np.array([0, 1] * 20), CLASSES[:2], SEED)
    assert result["accuracy"] == result["macro_f1"] == result["top2_accuracy"] == 1
    assert result["loss"] == pytest.approx(0)
    assert result["brier"] == 0
    assert result["macro_f1_ci_low"] < result["macro_f1_ci_high"] == 1


def test_the_gap_between_rigid_and_organic_classes():
    labels = np.array([0, 0, 1, 1, 2, 2, 2])
    predicted = np.array([0, 1, 1, 0, 2, 2, 2])
    gap = group_gap(labels, predicted, [2])
    assert gap["rigid_accuracy"] == 1
    assert gap["organic_accuracy"] == 0.5
    assert gap["gap"] == 0.5
    assert (gap["gap_ci_low"], gap["gap_ci_high"]) == newcombe_interval(3, 3, 2, 4)
    assert group_gap(labels, predicted, []) == group_gap(labels, predicted, [0, 1, 2]) == {}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["ship", "boat"], r"groups\.rigid: no class 'boat'; the classes are cat, dog, ship"),
        (["dog", "dog"], r"groups\.rigid: 'dog' is named twice"),
    ],
)
def test_names_that_are_no_classes_are_refused(names: list[str], told: str):
    assert class_labels(["ship", "cat"], CLASSES, "groups.rigid") == [2, 0]
    with pytest.raises(ParameterError, match=told):
        class_labels(names, CLASSES, "groups.rigid")
