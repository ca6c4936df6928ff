"""The loss of a training whose learning rate rises from step to step (Smith 2017, arXiv:1506.01186)."""

import math
from dataclasses import dataclass

import numpy as np
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from transfer.runtime.progress import Progress
from transfer.training.loop import Run
from transfer.training.optimization import Schedule
from transfer.training.plan import Plan, Task

LOWEST, HIGHEST = 1e-7, 1e-1
PAST = 0.9  # weight of earlier steps in the smoothed loss
DIVERGED = 2.0  # times the lowest smoothed loss, from which the training is over


@dataclass(frozen=True)
class LrRange:
    """Learning rates (steps,), and the loss at each, smoothed over the steps before it."""

    rates: np.ndarray
    losses: np.ndarray

    @property
    def steepest(self) -> float:
        """The rate at which the loss falls fastest over the logarithm of the rate."""
        return float(self.rates[np.gradient(self.losses, np.log(self.rates)).argmin()])

    @property
    def lowest(self) -> float:
        """The rate with the lowest loss, which is already too high for a whole training."""
        return float(self.rates[self.losses.argmin()])


def measure_lr_range(
    model: nn.Module, task: Task, optimizer: Optimizer, lr: float, batch_size: int, steps: int, seed: int
) -> LrRange:
    """Train `model` in place for `steps`, two or more, the rate rising from LOWEST to HIGHEST, until the loss diverges.

    `optimizer` holds the rates of its groups at `lr`; all rise in proportion.
    """
    rates = np.geomspace(LOWEST, HIGHEST, steps)
    rise = LambdaLR(optimizer, lambda step: rates[min(step, steps - 1)] / lr)
    run = Run(model, task, Plan(1, batch_size, 0, 0.0, seed), optimizer, Schedule(optimizer, rise))
    model.train()
    task.begin_epoch(1)
    order, size, mean, losses = run.order(), min(batch_size, task.count), 0.0, list[float]()
    for step in Progress(range(steps), desc="find-lr", unit="step"):
        run.step_in_epoch = step % run.steps
        start = run.step_in_epoch * size
        run.train_step(order[start : start + size])
        mean = PAST * mean + (1 - PAST) * float(run.losses[run.step_in_epoch])
        smoothed = mean / (1 - PAST ** (step + 1))
        if not math.isfinite(smoothed) or (losses and smoothed > DIVERGED * min(losses)):
            break
        losses.append(smoothed)
    return LrRange(rates[: len(losses)], np.array(losses))
