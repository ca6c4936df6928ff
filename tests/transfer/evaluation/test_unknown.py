"""Thresholds, separations and distances against their definitions, and what the unknown sets look like."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from transfer.evaluation.neighbours import neighbour_distances, unit
from transfer.evaluation.unknown import NEVER_SURE, UNKNOWN, confidence_threshold, separation


def both(confidence: list[float]) -> np.ndarray:
    """Probabilities of two classes, the first the more probable."""
    return np.array([[value, 1 - value] for value in confidence])


@pytest.mark.parametrize(
    ("confidence", "labels", "risk", "threshold", "coverage"),
    [
        ([0.9, 0.8, 0.7, 0.6], [0, 0, 1, 0], 0.0, 0.8, 0.5),  # up to the first error
        ([0.9, 0.8, 0.7, 0.6], [0, 0, 1, 0], 0.25, 0.6, 1.0),  # later right answers make up for it
        ([0.9, 0.8, 0.8, 0.6], [0, 0, 1, 1], 0.2, 0.9, 0.25),  # equally sure ones come together
        ([0.9, 0.8], [1, 0], 0.4, NEVER_SURE, 0.0),  # the surest is wrong
        ([0.6, 0.9, 0.7, 0.8], [0, 0, 1, 0], 0.0, 0.8, 0.5),  # in any order
    ],
)
def test_the_threshold_is_the_lowest_of_the_stated_risk(confidence, labels, risk, threshold, coverage):
    assert confidence_threshold(both(confidence), np.array(labels), risk) == (threshold, coverage)


def test_separation_is_the_area_and_the_rate_at_95_percent():
    known, unknown = np.arange(100) / 100, np.array([0.5, 0.94, 0.95, 2.0])
    figures = separation(known, unknown, "x")
    assert figures["auroc_x"] == pytest.approx(np.mean([(u > known).mean() + (u == known).mean() / 2 for u in unknown]))
    assert figures["fpr95_x"] == 0.75  # 95 of 100 are up to 0.94, and `higher` takes 0.95


def test_distances_are_one_less_the_cosine_of_the_kth_neighbour():
    random = np.random.default_rng(0)
    features, reference = random.normal(size=(30, 5)), unit(random.normal(size=(40, 5)))
    found, _ = NearestNeighbors(n_neighbors=4, metric="cosine").fit(reference).kneighbors(features)
    np.testing.assert_allclose(neighbour_distances(features, reference, 4), found[:, 3], atol=1e-6)
    furthest = 1 - (unit(features) @ reference.T).min(1)
    np.testing.assert_allclose(neighbour_distances(features, reference, 99), furthest, atol=1e-6)
    assert neighbour_distances(features[:0], reference, 4).shape == (0,)


@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize("side", [9, 32])
def test_sets_are_as_many_images_by_seed(name, side):
    known = np.random.default_rng(1).integers(0, 256, (6, side, side, 3), np.uint8)
    made, again = (UNKNOWN[name](known, np.random.default_rng(0)) for _ in range(2))
    assert made.dtype == np.uint8
    assert len(made) == len(known)
    np.testing.assert_array_equal(made, again)
    assert len(np.unique(made.reshape(6, -1), axis=0)) == 6


def test_shuffled_images_keep_their_tiles():
    known = np.repeat(np.repeat(np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1), 5, 1), 5, 2).repeat(3, 3)
    (made,) = UNKNOWN["shuffled"](known, np.random.default_rng(0))
    assert not np.array_equal(made, known[0])
    np.testing.assert_array_equal(np.sort(made[::5, ::5, 0].ravel()), np.arange(16))
    np.testing.assert_array_equal(np.repeat(np.repeat(made[::5, ::5], 5, 0), 5, 1), made)
