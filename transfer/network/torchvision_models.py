"""Torchvision's classification networks: which weights are published, and how files of them are loaded."""

import re
from collections import OrderedDict
from collections.abc import Mapping

import torchvision
from torch import Tensor, nn
from torchvision.models.vision_transformer import interpolate_embeddings

from transfer.network.published import Preprocessing, PublishedWeights
from transfer.runtime.errors import WeightsError

# As torchvision builds these for its weights, less the extra heads that only training from scratch uses.
INCEPTION = {"aux_logits": False, "transform_input": True, "init_weights": False}
OPTIONS = {"googlenet": INCEPTION, "inception_v3": INCEPTION}
# Those heads' tensors.
AUXILIARY = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}


def names() -> list[str]:
    """All classification models."""
    return torchvision.models.list_models(module=torchvision.models)


def published(architecture: str, weights: str) -> PublishedWeights:
    """An entry of the architecture's weights enum; DEFAULT is the enum's best. Raises WeightsError."""
    entries = torchvision.models.get_model_weights(architecture)
    if weights not in entries.__members__:
        raise WeightsError(f"backbone.weights = {weights!r}: {architecture} has {', '.join(entries.__members__)}")
    entry = entries[weights]
    transform = entry.transforms()
    return PublishedWeights(
        architecture=architecture,
        name=entry.name,
        url=entry.url,
        sha256_start=entry.url.rsplit("-", 1)[-1].removesuffix(".pth"),
        preprocessing=Preprocessing(tuple(transform.mean), tuple(transform.std)),
        size_px=transform.crop_size[0],
        interpolation=transform.interpolation.value,
        crop=transform.crop_size[0] / transform.resize_size[0],
    )


def patch_px(architecture: str) -> int | None:
    """Side of a vision transformer's patches; None of other networks."""
    return int(architecture.rsplit("_", 1)[-1]) if architecture.startswith("vit_") else None


def last_layer(model: nn.Module) -> str:
    """Name of the layer that a head replaces: the last linear one, or convolution, as SqueezeNets classify with one."""
    return [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]


def build(architecture: str, size_px: int | None) -> tuple[nn.Module, int, tuple[str, ...]]:
    """The network without its classifier, its features, and what the names of the classifier's tensors begin with."""
    options = {"image_size": size_px} if size_px and patch_px(architecture) else OPTIONS.get(architecture, {})
    model = torchvision.models.get_model(architecture, weights=None, **options)
    replaced = last_layer(model)
    features = model.get_parameter(f"{replaced}.weight").shape[1]
    model.set_submodule(replaced, nn.Identity())
    return model, features, (f"{replaced}.", *AUXILIARY.get(architecture, ()))


def load(architecture: str, size_px: int | None, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the network holds once torchvision has loaded `state`; a transformer's positions fit `size_px` (None: 224).

    Raises RuntimeError or ValueError, as torch does, if they do not fit.
    """
    network, _, classifier = build(architecture, size_px)
    metadata = getattr(state, "_metadata", {})
    # In module names of the first DenseNets there were dots.
    named = {re.sub(r"(denselayer\d+\.(norm|conv))\.([12]\.)", r"\1\3", name): state[name] for name in state}
    kept = OrderedDict((name, tensor) for name, tensor in named.items() if not name.startswith(classifier))
    # Of the metadata only the network's own version: that of layers would forbid the older files they still read.
    version = metadata.get("", {"version": getattr(network, "_version", None)})
    setattr(kept, "_metadata", {"": version})  # noqa: B010
    positions, patch = kept.get("encoder.pos_embedding"), patch_px(architecture)
    if patch and positions is not None and positions.ndim == 3:
        kept["encoder.pos_embedding"] = positions.float()
        interpolate_embeddings(size_px or 224, patch, kept)
    network.load_state_dict(kept)
    return dict(network.state_dict())
