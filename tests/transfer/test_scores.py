"""Scores: Wilson's interval by its formula, figures counted by hand, degenerate predictions without warnings."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.errors import DataError
from transfer.scores import score, wilson_interval

CLASSES = ("cat", "dog", "ship")


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


def test_figures_are_those_counted_by_hand():
    #        truth: cat cat cat dog dog ship; one cat is taken for a dog, one dog for a ship
    labels = np.array([0, 0, 0, 1, 1, 2])
    result = score(sure_of([0, 0, 1, 1, 2, 2]), labels, CLASSES)
    assert result["accuracy"] == pytest.approx(4 / 6)
    assert result["per_class"]["cat"] == pytest.approx({"precision": 1.0, "recall": 2 / 3, "f1": 0.8})
    assert result["per_class"]["dog"] == pytest.approx({"precision": 0.5, "recall": 0.5, "f1": 0.5})
    assert result["per_class"]["ship"] == pytest.approx({"precision": 0.5, "recall": 1.0, "f1": 2 / 3})
    assert result["macro_f1"] == pytest.approx((0.8 + 0.5 + 2 / 3) / 3)
    assert result["loss"] == pytest.approx(-(4 * np.log(0.8) + 2 * np.log(0.1)) / 6)
    assert result["accuracy_ci_low"] < 4 / 6 < result["accuracy_ci_high"]


def test_predicting_one_class_only_gives_numbers_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = score(sure_of([0, 0, 0]), np.array([0, 1, 2]), CLASSES)
    assert result["per_class"]["dog"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert result["macro_f1"] == pytest.approx(0.5 / 3)


def test_certainty_in_the_wrong_class_gives_a_finite_loss():
    assert np.isfinite(score(sure_of([1, 0, 2], chance=1.0), np.array([0, 1, 2]), CLASSES)["loss"])


def test_a_class_without_images_is_named():
    with pytest.raises(DataError, match="no image of class 'ship'"):
        score(sure_of([0, 1]), np.array([0, 1]), CLASSES)
