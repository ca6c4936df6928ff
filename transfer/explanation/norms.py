"""Norms whose scale is held fixed while a decision is traced back.

A layer norm's output does not depend on the length of its input, so its gradient has no part along the input itself:
of the very direction by which a network tells an object there is nothing left in the gradient, and heat maps of
vision transformers lay anywhere. Ali et al. 2022 (XAI for Transformers, ICML) hold the scale fixed; so does this.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class FixedNorms(TorchFunctionMode):
    """Within it layer, group and RMS norms give what they give, and their gradient is that of a constant scale."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        arguments: Sequence[Any] = (),
        named: Mapping[str, Any] | None = None,
    ) -> Any:
        replaced = {F.layer_norm: _layer_norm, F.group_norm: _group_norm, F.rms_norm: _rms_norm}
        return replaced.get(function, function)(*arguments, **(named or {}))


def _scale(centered: Tensor, eps: float) -> Tensor:
    return (centered.square().mean(-1, keepdim=True) + eps).rsqrt().detach()


def _layer_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    parts = x.flatten(-len(shape))
    centered = parts - parts.mean(-1, keepdim=True)
    return _affine((centered * _scale(centered, eps)).reshape(x.shape), weight, bias)


def _rms_norm(x: Tensor, shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    parts = x.flatten(-len(shape))
    return _affine((parts * _scale(parts, torch.finfo(x.dtype).eps if eps is None else eps)).reshape(x.shape), weight)


def _group_norm(
    x: Tensor, groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    parts = x.reshape(len(x), groups, -1)
    centered = parts - parts.mean(-1, keepdim=True)
    of_channels = [each if each is None else each.reshape(-1, *[1] * (x.ndim - 2)) for each in (weight, bias)]
    return _affine((centered * _scale(centered, eps)).reshape(x.shape), *of_channels)


def _affine(normed: Tensor, weight: Tensor | None, bias: Tensor | None = None) -> Tensor:
    scaled = normed if weight is None else normed * weight
    return scaled if bias is None else scaled + bias
