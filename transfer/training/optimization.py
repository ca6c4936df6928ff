"""Optimizers over parameter groups, and their learning rates over a run."""

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
)


def parameter_groups(module: nn.Module, lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups of a module's trainable parameters: weights, and biases and norms, which are not decayed."""
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in trainable if parameter.ndim > 1]
    plain = [parameter for parameter in trainable if parameter.ndim <= 1]
    groups = [
        {"params": decayed, "lr": lr, "weight_decay": weight_decay},
        {"params": plain, "lr": lr, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def peak_rates(groups: Iterable[dict[str, Any]]) -> list[float]:
    """The learning rate of each group, as OneCycleLR wants them."""
    return [group["lr"] for group in groups]


def build_optimizer(name: str, groups: list[dict[str, Any]], momentum: float) -> torch.optim.Optimizer:
    """`adamw` (Loshchilov and Hutter 2019), whose first decay rate is `momentum`, or `sgd` with Nesterov momentum.

    Both update all parameters in one kernel instead of one operation after the other.
    """
    if name == "adamw":
        return torch.optim.AdamW(groups, betas=(momentum, 0.999), fused=True)
    if name == "sgd":
        return torch.optim.SGD(groups, momentum=momentum, nesterov=True, fused=True)
    raise ValueError(f"no optimizer {name!r}")


ScheduleName = Literal["onecycle", "cosine", "plateau", "constant"]


def epochs_without_gain(schedule: ScheduleName, patience: int) -> int:
    """The patience of a run: none where the rate anneals to its end, which an early stop would cut off."""
    return patience if schedule in ("plateau", "constant") else 0


class Schedule:
    """A schedule of torch's that steps after each batch, or after each epoch's validation, or none."""

    def __init__(
        self, optimizer: Optimizer, per_batch: LRScheduler | None = None, per_epoch: ReduceLROnPlateau | None = None
    ) -> None:
        self.optimizer, self.per_batch, self.per_epoch = optimizer, per_batch, per_epoch

    def after_batch(self) -> None:
        if self.per_batch is not None:
            self.per_batch.step()

    def after_epoch(self, val_loss: float) -> None:
        if self.per_epoch is not None:
            self.per_epoch.step(val_loss)

    def lr(self) -> float:
        """The first group's rate now."""
        return float(self.optimizer.param_groups[0]["lr"])

    def state_dict(self) -> dict[str, Any]:
        return {
            name: part.state_dict() for name in ("per_batch", "per_epoch") if (part := getattr(self, name)) is not None
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in state.items():
            getattr(self, name).load_state_dict(part)


def build_schedule(
    name: ScheduleName, optimizer: Optimizer, steps: int, warm_up_fraction: float, plateau_patience: int
) -> Schedule:
    """A schedule over `steps` batches for an optimizer whose groups hold their peak rates.

    `onecycle` (Smith and Topin 2018) rises for `warm_up_fraction` of the run from a 25th of the peak and falls
    along a cosine to nearly nothing. `cosine` rises linearly from a hundredth, then falls along a cosine to
    zero. `plateau` divides the rate by ten when `plateau_patience` epochs, one or more, have not lowered the
    validation loss. `constant` leaves it as it is.
    """
    steps = max(steps, 1)
    if name == "onecycle":
        # torch divides by the steps of the rise but the first, which may be none: then the run begins at its peak.
        rise = warm_up_fraction * (1 - 1e-9) if warm_up_fraction * steps == 1 else warm_up_fraction
        cycle = OneCycleLR(optimizer, peak_rates(optimizer.param_groups), steps, pct_start=rise, cycle_momentum=False)
        return Schedule(optimizer, cycle)
    if name == "cosine":
        warm_up = min(round(warm_up_fraction * steps), steps - 1)
        if not warm_up:
            return Schedule(optimizer, CosineAnnealingLR(optimizer, steps))
        rise = LinearLR(optimizer, start_factor=0.01, total_iters=warm_up)
        fall = CosineAnnealingLR(optimizer, steps - warm_up)
        return Schedule(optimizer, SequentialLR(optimizer, [rise, fall], milestones=[warm_up]))
    if name == "plateau":
        # torch's patience counts the epochs that it ignores, and its threshold ignores small gains.
        plateau = ReduceLROnPlateau(optimizer, factor=0.1, patience=plateau_patience - 1, threshold=0)
        return Schedule(optimizer, per_epoch=plateau)
    return Schedule(optimizer)
