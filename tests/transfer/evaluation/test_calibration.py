"""Calibration: figures of scikit-learn and of slow loops, a temperature that is known, answers without errors."""

import warnings

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from transfer.evaluation.calibration import (
    accuracy_at,
    calibration,
    calibration_by_chance,
    calibration_error,
    confidence_bins,
    fit_temperature,
    reliability,
    risk_coverage,
    risks,
    scale,
)


def drawn(images: int = 4000, classes: int = 5, temperature: float = 1.0, seed: int = 0):
    """Probabilities (N, C) and labels (N,) drawn from them at a temperature, at which they are calibrated."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (images, classes))
    truth = softmax(logits / temperature, axis=1)
    labels = np.array([generator.choice(classes, p=row) for row in truth])
    return softmax(logits, axis=1), labels


@pytest.mark.parametrize("temperature", [0.6, 1.0, 2.5])
def test_the_temperature_is_the_one_of_lowest_loss(temperature: float):
    probabilities, labels = drawn(temperature=temperature)
    found = fit_temperature(probabilities, labels)

    def loss(tried: float) -> float:
        return log_loss(labels, softmax(np.log(probabilities) / tried, axis=1))

    best: float = minimize_scalar(loss, bracket=(temperature / 3, temperature, 3 * temperature)).x  # type: ignore[attr-defined]
    assert found == pytest.approx(best, rel=1e-4)
    assert found == pytest.approx(temperature, rel=0.1)


def test_exact_probabilities_stay_below_what_chance_gives_in_nineteen_of_twenty_draws():
    errors, limits = [], []
    for seed in range(200):
        probabilities, labels = drawn(300, temperature=1.0, seed=seed)
        errors.append(calibration_error(probabilities, labels))
        limits.append(calibration_by_chance(probabilities, seed=0))
    assert np.mean(errors) > 0.02  # with so few images, and nothing wrong
    assert 0.90 <= np.mean(np.array(errors) <= limits) <= 0.99


def test_a_temperature_corrects_calibration_and_changes_no_answer():
    probabilities, labels = drawn(10000, temperature=2.0)
    figures = calibration(probabilities, labels, fit_temperature(probabilities, labels), seed=0)
    scaled = scale(probabilities, figures["temperature"])
    assert figures["ece"] > 0.1
    assert figures["ece_scaled"] < 0.02
    assert figures["loss_scaled"] == pytest.approx(log_loss(labels, scaled))
    assert figures["loss_scaled"] < log_loss(labels, probabilities)
    np.testing.assert_array_equal(scaled.argmax(1), probabilities.argmax(1))
    np.testing.assert_allclose(scale(probabilities, 1.0), probabilities)


@pytest.mark.parametrize("wrong", [False, True])
def test_answers_all_right_or_all_wrong_give_a_finite_temperature(wrong: bool):
    labels = np.array([0, 1, 2, 0])
    sure = np.eye(3)[(labels + wrong) % 3]  # zeros, whose logarithm is infinite
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = calibration(sure, labels, fit_temperature(sure, labels), seed=0)
    assert all(np.isfinite(value) for value in figures.values())
    assert 1 / 20 <= figures["temperature"] <= 20
    if wrong:
        assert figures["temperature"] == pytest.approx(20, rel=1e-3)


def test_bins_are_those_of_scikit_learn():
    probabilities, labels = drawn(700)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    accuracies, means = calibration_curve(right, confidence, n_bins=15)
    rows = confidence_bins(probabilities, labels)
    np.testing.assert_allclose([row["accuracy"] for row in rows], accuracies)
    np.testing.assert_allclose([row["confidence"] for row in rows], means)
    assert sum(row["images"] for row in rows) == 700
    views = reliability(labels, raw=probabilities, scaled=scale(probabilities, 2.0))
    assert [{"view": "raw", **row} for row in rows] == views[: len(rows)]
    assert {row["view"] for row in views[len(rows) :]} == {"scaled"}


def test_the_calibration_error_by_a_loop():
    probabilities, labels = drawn(300)
    total = 0.0
    for place in range(15):
        inside = [i for i in range(300) if place / 15 < probabilities[i].max() <= (place + 1) / 15]
        hits = sum(probabilities[i].argmax() == labels[i] for i in inside)
        total += abs(hits - sum(probabilities[i].max() for i in inside))
    assert calibration_error(probabilities, labels) == pytest.approx(total / 300)


def test_risks_by_a_loop():
    probabilities, labels = drawn(200)
    order = sorted(range(200), key=lambda i: -probabilities[i].max())
    wrong = [probabilities[i].argmax() != labels[i] for i in order]
    slow = [sum(wrong[: k + 1]) / (k + 1) for k in range(200)]
    risk = risks(probabilities, labels)
    np.testing.assert_allclose(risk, slow)
    assert accuracy_at(risk, 80) == pytest.approx(1 - slow[159])
    assert risk[-1] == pytest.approx((probabilities.argmax(1) != labels).mean())


def test_the_order_of_equally_sure_images_does_not_matter():
    chances = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 2)
    labels = np.array([1, 0, 0, 0, 1, 0])
    turned = [3, 2, 1, 0, 5, 4]
    np.testing.assert_allclose(risks(chances, labels), [0.25, 0.25, 0.25, 0.25, 0.3, 1 / 3])
    np.testing.assert_allclose(risks(chances[turned], labels[turned]), risks(chances, labels))


@pytest.mark.parametrize(("images", "rows"), [(1, 1), (30, 30), (1000, 100), (1234, 100)])
def test_the_curve_ends_with_all_images(images: int, rows: int):
    probabilities, labels = drawn(images)
    risk = risks(probabilities, labels)
    curve = risk_coverage(risk)
    assert len(curve) == rows
    assert curve[-1] == {"coverage": 1.0, "risk": risk[-1]}
    for row in curve:
        assert row["risk"] == risk[round(row["coverage"] * images) - 1]
    assert 0 <= accuracy_at(risk, 80) <= 1
