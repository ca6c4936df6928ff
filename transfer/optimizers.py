"""Optimizers over parameter groups with differential learning rates."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


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


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load a saved state and lay its tensors out as their parameters are.

    The fused kernels read a parameter and its averages side by side in memory, whatever their strides say, so
    an average in another memory format than its parameter's would be added to the wrong weights without an error.
    """
    optimizer.load_state_dict(state)
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)
