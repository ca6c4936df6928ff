"""Baselines on features: what they find where the classes lie apart, and where there is nothing to find."""

import numpy as np
import pytest

from transfer.network.baselines import NEIGHBOURS, PENALTIES, linear_probe, nearest_neighbours

BASELINES = [nearest_neighbours, linear_probe]


def clouds(count: int, apart: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (count, 8) around three directions, and which."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=count)
    return (apart * np.eye(8)[labels] + rng.normal(size=(count, 8))).astype(np.float32), labels


@pytest.mark.parametrize("baseline", BASELINES)
def test_classes_that_lie_apart_are_told_apart(baseline) -> None:
    found = baseline(*clouds(300, 8, 0), *clouds(100, 8, 1))
    assert found.accuracy > 0.97
    assert found.chosen in (*NEIGHBOURS, *PENALTIES)


@pytest.mark.parametrize("baseline", BASELINES)
def test_nothing_is_found_in_noise(baseline) -> None:
    assert baseline(*clouds(300, 0, 0), *clouds(1000, 0, 1)).accuracy == pytest.approx(1 / 3, abs=0.06)


def test_the_vote_is_that_of_the_nearest_by_angle() -> None:
    train, labels = np.array([[1, 0], [2, 0.1], [0, 1]], np.float32), np.array([0, 0, 1])
    assert nearest_neighbours(train, labels, np.array([[9, 1], [0.1, 5]], np.float32), np.array([0, 1])).accuracy == 1


def test_fewer_images_than_neighbours_are_enough() -> None:
    assert nearest_neighbours(*clouds(4, 8, 0), *clouds(10, 8, 1)).chosen == 1
