"""ImageNet backbones of torchvision: which weights there are, and the networks that they fit."""

import difflib
import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import torch
import torchvision
from torch import Tensor, nn

from transfer.network.tensors import DESCRIBED, check_tensors, described, load_tensors, save_tensors
from transfer.runtime.errors import WeightsError

M = TypeVar("M", bound=nn.Module)
# As torchvision builds these for its weights, less the extra heads that only training from scratch uses.
INCEPTION = {"aux_logits": False, "transform_input": True, "init_weights": False}
OPTIONS = {"googlenet": INCEPTION, "inception_v3": INCEPTION}


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
        close = difflib.get_close_matches(architecture, architectures, n=1) or ["resnet50"]
        raise WeightsError(
            f"backbone.name = {architecture!r}: torchvision has no such classification model; did you mean {close[0]}?"
        )
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


def last_layer(model: nn.Module) -> str:
    """Name of the layer that a head replaces: the last linear one, or convolution, as SqueezeNets classify with one."""
    return [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]


def build_network(architecture: str, size_px: int | None = None) -> tuple[nn.Module, int, str]:
    """The architecture with random weights and without its classifier: module, features, the name of what it lacks.

    Images (batch, 3, H, W) -> pooled features (batch, features). `size_px` is that of the images where the network
    has weights for each place in them (ViT); None: torchvision's own, 224.
    """
    options = {"image_size": size_px} if size_px and patch_px(architecture) else OPTIONS.get(architecture, {})
    with torch.random.fork_rng(devices=[]):  # its weights are replaced; the caller's random numbers stay as they are
        model = torchvision.models.get_model(architecture, weights=None, **options)
    replaced = last_layer(model)
    features = model.get_parameter(f"{replaced}.weight").shape[1]
    model.set_submodule(replaced, nn.Identity())
    return model, features, replaced


def patch_px(architecture: str) -> int | None:
    """Side of a vision transformer's patches; None of other networks."""
    return int(architecture.rsplit("_", 1)[-1]) if architecture.startswith("vit_") else None


def image_px(architecture: str, state: Mapping[str, Tensor]) -> int | None:
    """Side of the images that a vision transformer's weights are for; None of other networks."""
    patch, positions = patch_px(architecture), state.get("encoder.pos_embedding")
    if patch is None or positions is None or positions.ndim != 3:
        return None
    return math.isqrt(max(positions.shape[1] - 1, 0)) * patch or None


def check_size(architecture: str, size_px: int) -> None:
    """One pass without values. Raises WeightsError, naming the next size that would do, if the network takes no such
    images.
    """
    patch = patch_px(architecture)
    network = (nn.Identity() if patch else build_network(architecture)[0]).to("meta").eval()

    def takes(size: int) -> bool:
        try:
            with torch.no_grad():
                network(torch.empty(2, 3, size, size, device="meta"))
        except (RuntimeError, AssertionError):
            return False
        return not patch or size % patch == 0

    if not takes(size_px):
        fitting = next((size for size in range(size_px + 1, 300) if takes(size)), 224)
        raise WeightsError(f"resize.size_px = {size_px}: {architecture} takes no images of that size; set {fitting}")


def load_into(model: M, state: Mapping[str, Tensor]) -> M:
    """Give a model these tensors, which are not copied; returns it in channels-last layout."""
    versioned = OrderedDict(state)
    setattr(versioned, "_metadata", getattr(model.state_dict(), "_metadata"))  # noqa: B009,B010  MNASNet insists on it
    model.load_state_dict(versioned, assign=True)
    return model.to(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Backbone:
    """Pretrained weights under torchvision's names, less the classifier, and their preprocessing."""

    __pydantic_config__ = DESCRIBED
    architecture: str
    state: dict[str, Tensor]
    preprocessing: Preprocessing


def save_backbone(path: Path, backbone: Backbone) -> None:
    """Write a backbone as safetensors."""
    about = {"architecture": backbone.architecture, "preprocessing": asdict(backbone.preprocessing)}
    save_tensors(path, backbone.state, about)


def network_in(path: Path, architecture: str, size_px: int | None) -> nn.Module:
    """`build_network`'s module, or WeightsError if torchvision has none of that name and size."""
    try:
        return build_network(architecture, size_px)[0]
    except (ValueError, AssertionError):
        raise WeightsError(f"{path}: made for {architecture!r}, which torchvision does not have") from None


def load_backbone(path: Path) -> Backbone:
    """Read what `save_backbone` wrote. Raises WeightsError if the file holds anything else."""
    state, about = load_tensors(path)
    backbone = described(path, Backbone, about, state=state)
    network = network_in(path, backbone.architecture, image_px(backbone.architecture, state))
    check_tensors(path, backbone.architecture, state, network.state_dict())
    return backbone
