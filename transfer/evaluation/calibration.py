"""Whether probabilities mean what they say, and what is gained by leaving out unsure answers."""

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.metrics import log_loss

from transfer.evaluation.scores import brier_score

BINS = 15
WIDEST = 20.0  # temperatures tried: 1/20 to 20, since the best one is 0 or infinite if all answers are right or wrong
CURVE_POINTS = 100


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, np.finfo(float).tiny))


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that gives probabilities (N, classes) the lowest log loss (Guo et al. 2017)."""
    logs, rows = _log(probabilities), np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(logs / np.exp(log_temperature), axis=1)[rows, labels].mean())

    edge = np.log(WIDEST)
    found: Any = minimize_scalar(loss, bounds=(-edge, edge), method="bounded", options={"xatol": 1e-8})
    return float(np.exp(found.x))


def scale(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (N, classes) whose logarithms were divided by a temperature: above 1 they are less sure."""
    return softmax(_log(probabilities) / temperature, axis=1)


def confidence_bins(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> list[dict[str, float]]:
    """Mean confidence, accuracy and number of images in each bin that has any.

    Bins are of equal width over the highest probability of each image, closed on the right.
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    bin_of = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence)
    return [
        {
            "confidence": float(confidence[inside].mean()),
            "accuracy": float(right[inside].mean()),
            "images": int(inside.sum()),
        }
        for inside in (bin_of == place for place in np.unique(bin_of))
    ]


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error: how far accuracy is from confidence in a bin, on average (Naeini et al. 2015)."""
    rows = confidence_bins(probabilities, labels, bins)
    return sum(row["images"] * abs(row["accuracy"] - row["confidence"]) for row in rows) / len(labels)


def calibration_by_chance(probabilities: np.ndarray, seed: int, bins: int = BINS, draws: int = 500) -> float:
    """The calibration error that exact probabilities (N, classes) stay below in 95 of 100 draws of as many labels.

    With few images the error is above zero even so, and no finding (consistency resampling, Bröcker & Smith 2007).
    """
    confidence = probabilities.max(1)
    bin_of = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence)
    inside = (bin_of[:, None] == np.arange(bins)).astype(np.float32)
    rng = np.random.default_rng(seed)
    surplus = [((rng.random(len(confidence)) < confidence) - confidence) @ inside for _ in range(draws)]
    return float(np.quantile(np.abs(surplus).sum(1) / len(confidence), 0.95))


def reliability(labels: np.ndarray, **views: np.ndarray) -> list[dict[str, Any]]:
    """The rows of a reliability diagram for probabilities (N, classes) by the name of their view."""
    return [{"view": name, **row} for name, seen in views.items() for row in confidence_bins(seen, labels)]


def risks(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Share of wrong answers (N,) among the surest 1, 2, ... N images (Geifman & El-Yaniv 2017).

    Their mean is the area under the risk-coverage curve. Images that are equally sure share their errors
    evenly, so that their order does not matter.
    """
    confidence, place = np.unique(-probabilities.max(1), return_inverse=True)
    wrong = np.bincount(place, probabilities.argmax(1) != labels, len(confidence))
    together = np.bincount(place)
    return np.cumsum(np.repeat(wrong / together, together)) / np.arange(1, len(labels) + 1)


def accuracy_at(risk: np.ndarray, percent: int) -> float:
    """The accuracy on the surest `percent` of images, rounded up to whole images, from their risk (N,)."""
    return 1 - float(risk[-(-percent * len(risk) // 100) - 1])


def selective_figures(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Area under the curve of risk and coverage, and accuracy on the 80 % of answers with the highest confidence."""
    risk = risks(probabilities, labels)
    return {"aurc": float(risk.mean()), "accuracy_at_80": accuracy_at(risk, 80)}


def risk_coverage(risk: np.ndarray) -> list[dict[str, float]]:
    """The risk-coverage curve at about a hundred even steps of coverage."""
    answered = np.unique(np.ceil(np.linspace(0, len(risk), CURVE_POINTS + 1)[1:]).astype(int))
    return [{"coverage": int(count) / len(risk), "risk": float(risk[count - 1])} for count in answered]


def calibration(probabilities: np.ndarray, labels: np.ndarray, temperature: float, seed: int) -> dict[str, float]:
    """How well probabilities (N, classes) are calibrated before and after a temperature is applied.

    `ece_by_chance` is what exact probabilities stay below (`calibration_by_chance`).
    """
    scaled = scale(probabilities, temperature)
    return {
        "temperature": temperature,
        "ece": calibration_error(probabilities, labels),
        "ece_by_chance": calibration_by_chance(probabilities, seed),
        "ece_scaled": calibration_error(scaled, labels),
        "ece_scaled_by_chance": calibration_by_chance(scaled, seed),
        "loss_scaled": float(log_loss(labels, scaled, labels=np.arange(scaled.shape[1]))),
        "brier_scaled": brier_score(scaled, labels),
    }
