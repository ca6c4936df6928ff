"""ImageNet backbones of torchvision: which weights there are, and whether a file really holds them."""

import errno
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from transfer.network.tensors import DESCRIBED, check_tensors, described, load_tensors, save_tensors
from transfer.runtime.errors import WeightsError


@dataclass(frozen=True)
class Preprocessing:
    """What a network expects of its input: RGB in [0, 1], less `mean`, divided by `std`, a channel."""

    __pydantic_config__ = DESCRIBED
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channels: str = "RGB"


@dataclass(frozen=True)
class PublishedWeights:
    """An entry of a torchvision weights enum; `sha256_start` is the first digits of the file's SHA-256."""

    name: str
    url: str
    sha256_start: str
    preprocessing: Preprocessing


def published_weights(architecture: str, name: str) -> PublishedWeights:
    """Look up weights by name in the architecture's torchvision enum; DEFAULT is the enum's best.

    Raises WeightsError naming what there is to choose from.
    """
    architectures = torchvision.models.list_models(module=torchvision.models)
    if architecture not in architectures:
        raise WeightsError(f"backbone.name = {architecture!r}: torchvision classifies with {', '.join(architectures)}")
    entries = torchvision.models.get_model_weights(architecture)
    if name not in entries.__members__:
        raise WeightsError(f"backbone.weights = {name!r}: {architecture} has {', '.join(entries.__members__)}")
    entry = entries[name]
    transform = entry.transforms()
    return PublishedWeights(
        name=entry.name,
        url=entry.url,
        sha256_start=entry.url.rsplit("-", 1)[-1].removesuffix(".pth"),
        preprocessing=Preprocessing(tuple(transform.mean), tuple(transform.std)),
    )


def empty_model(architecture: str) -> nn.Module:
    """The architecture without memory for its weights (on the meta device): shapes only."""
    with torch.device("meta"):
        return torchvision.models.get_model(architecture, weights=None)


def read_state_dict(path: Path, architecture: str) -> dict[str, Tensor]:
    """Read a downloaded .pth, refusing anything but tensors, and check it against the architecture.

    Raises WeightsError naming the first tensor that is missing, unknown or of another shape or type.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # a damaged pickle ends in any kind of error: an empty stack, a missing argument ...
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # EINVAL: an impossible offset
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path}: not a file of plain weights ({reason}); nothing in it was executed") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: holds no state dict of tensors; save `model.state_dict()`")
    check_tensors(path, architecture, state, empty_model(architecture).state_dict())
    return dict(state)


@dataclass(frozen=True)
class Backbone:
    """Pretrained weights under torchvision's names, with the preprocessing they were trained with."""

    __pydantic_config__ = DESCRIBED
    architecture: str
    state: dict[str, Tensor]
    preprocessing: Preprocessing


def save_backbone(path: Path, backbone: Backbone) -> None:
    """Write a backbone as safetensors."""
    about = {"architecture": backbone.architecture, "preprocessing": asdict(backbone.preprocessing)}
    save_tensors(path, backbone.state, about)


def architecture_in(path: Path, name: str) -> nn.Module:
    """`empty_model(name)`, or WeightsError if torchvision has none of that name."""
    try:
        return empty_model(name)
    except ValueError:
        raise WeightsError(f"{path}: made for {name!r}, which torchvision does not have") from None


def load_backbone(path: Path) -> Backbone:
    """Read what `save_backbone` wrote. Raises WeightsError if the file holds anything else."""
    state, about = load_tensors(path)
    backbone = described(path, Backbone, about, state=state)
    check_tensors(path, backbone.architecture, state, architecture_in(path, backbone.architecture).state_dict())
    return backbone
