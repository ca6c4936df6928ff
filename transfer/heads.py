"""The new last layers of a classifier, trained on the features of a frozen backbone."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from transfer.errors import WeightsError
from transfer.provenance import Provenance
from transfer.tensors import DESCRIBED, check_tensors, described, load_tensors, save_tensors


@dataclass(frozen=True)
class HeadShape:
    """Layers of a head: widths of the hidden layers ([] is linear), batch normalisation, dropout share."""

    __pydantic_config__ = DESCRIBED
    features: int
    hidden: tuple[int, ...]
    batch_norm: bool
    dropout: float
    classes: int


def build_head(shape: HeadShape) -> nn.Sequential:
    """Dense layers (batch, features) -> (batch, classes): linear, [batch norm], ReLU, [dropout] each, then linear."""
    layers: list[nn.Module] = []
    width = shape.features
    for hidden in shape.hidden:
        layers.append(nn.Linear(width, hidden))
        if shape.batch_norm:
            layers.append(nn.BatchNorm1d(hidden))
        layers.append(nn.ReLU())
        if shape.dropout:
            layers.append(nn.Dropout(shape.dropout))
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, shape.classes))


@dataclass(frozen=True)
class Head:
    """A trained head: its weights, shape and class names, the epochs it was trained, and where it comes from."""

    __pydantic_config__ = DESCRIBED
    shape: HeadShape
    state: dict[str, Tensor]
    classes: tuple[str, ...]
    epochs: int
    provenance: Provenance


def description(record: Any) -> dict[str, Any]:
    """A record as a file's description, without what there is not."""
    return asdict(record, dict_factory=lambda pairs: {key: value for key, value in pairs if value is not None})


def save_head(path: Path, head: Head) -> None:
    """Write a head as safetensors."""
    parts = {"shape": description(head.shape), "provenance": description(head.provenance)}
    save_tensors(path, head.state, {**parts, "classes": head.classes, "epochs": head.epochs})


def load_head(path: Path) -> Head:
    """Read what `save_head` wrote. Raises WeightsError if the file holds anything else."""
    state, about = load_tensors(path)
    head = described(path, Head, about, state=state)
    check_tensors(path, "such a head", state, empty_head(path, head.shape).state_dict())
    return head


def empty_head(path: Path, shape: HeadShape) -> nn.Module:
    """The head without memory for its weights."""
    try:
        with torch.device("meta"):
            return build_head(shape)
    except (RuntimeError, ValueError) as error:
        raise WeightsError(f"{path}: no head can be {shape} ({error})") from None
