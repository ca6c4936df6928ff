"""Pretrained backbones, without their classifiers, on disk and in a network."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from transfer.network.architectures import empty_network, is_known, outline
from transfer.network.published import Preprocessing
from transfer.network.tensors import DESCRIBED, check_tensors, described, load_tensors, save_tensors
from transfer.runtime.errors import WeightsError

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Backbone:
    """Pretrained weights under their library's names, less the classifier, and their preprocessing.

    `size_px` is that of the images where the network has weights for each place in them; None of other networks.
    """

    __pydantic_config__ = DESCRIBED
    architecture: str
    state: dict[str, Tensor]
    preprocessing: Preprocessing
    size_px: int | None = None


def save_backbone(path: Path, backbone: Backbone) -> None:
    """Write a backbone as safetensors."""
    about = {"architecture": backbone.architecture, "preprocessing": asdict(backbone.preprocessing)}
    sized = {} if backbone.size_px is None else {"size_px": backbone.size_px}
    save_tensors(path, backbone.state, about | sized)


def load_backbone(path: Path) -> Backbone:
    """Read what `save_backbone` wrote. Raises WeightsError if the file holds anything else."""
    state, about = load_tensors(path)
    backbone = described(path, Backbone, about, state=state)
    check_known(path, backbone.architecture)
    expected = outline(backbone.architecture, backbone.size_px)[0].state_dict()
    check_tensors(path, backbone.architecture, state, expected)
    return backbone


def check_known(path: Path, architecture: str) -> None:
    """Raise WeightsError if a file is made for an architecture that there is not."""
    if not is_known(architecture):
        raise WeightsError(f"{path}: made for {architecture!r}, which neither torchvision nor timm has")


def load_into(model: M, state: Mapping[str, Tensor]) -> M:
    """Give a model these tensors, which are not copied; returns it in channels-last layout."""
    versioned = OrderedDict(state)
    setattr(versioned, "_metadata", getattr(model.state_dict(), "_metadata"))  # noqa: B009,B010  MNASNet insists on it
    model.load_state_dict(versioned, assign=True)
    return model.to(memory_format=torch.channels_last)


def network_with(backbone: Backbone) -> tuple[nn.Module, int]:
    """The backbone's network, with copies of its tensors because training would else change the caller's; features."""
    network, features = empty_network(backbone.architecture, backbone.size_px)
    names = network.state_dict()
    state = {name: tensor.clone() for name, tensor in backbone.state.items() if name in names}
    return load_into(network, state), features
