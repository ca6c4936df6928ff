"""The learning-rate range test: too low changes nothing, between learns, too high diverges and ends it."""

from pathlib import Path

import numpy as np

from tests.transfer.training.test_loop import Run
from transfer.training.lr_range import HIGHEST, LOWEST, LrRange, measure_lr_range

STEPS = 60


def measured(folder: Path, lr: float) -> LrRange:
    run = Run(folder, lr=lr)
    return measure_lr_range(run.model, run.task, run.optimizer, 1.0, 64, STEPS, seed=3)


def test_the_loss_falls_where_the_rate_is_neither_too_low_nor_too_high(tmp_path: Path) -> None:
    found = measured(tmp_path, lr=100.0)
    assert np.allclose(found.rates, np.geomspace(LOWEST, HIGHEST, STEPS)[: len(found.rates)])
    low = found.losses[found.rates < 1e-6]
    assert low.max() - low.min() < 0.1
    assert found.losses.min() < 0.8 * low.mean()
    assert 1e-5 < found.steepest < found.lowest


def test_it_is_the_same_each_time(tmp_path: Path) -> None:
    assert np.array_equal(measured(tmp_path, 100.0).losses, measured(tmp_path, 100.0).losses)


def test_it_ends_when_the_loss_diverges(tmp_path: Path) -> None:
    """Groups of the optimizer keep their proportion: a rate is so many times `lr` of it."""
    found = measured(tmp_path, lr=1e6)
    assert 2 <= len(found.rates) < STEPS
    assert found.rates[-1] < 0.01
    assert np.isfinite(found.losses).all()
