"""timm's networks, called timm/NAME or timm/NAME.TAG: which weights are published, and how files of them are loaded."""

import inspect
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import timm
import torch
from huggingface_hub import hf_hub_url
from timm.models import get_arch_pretrained_cfgs, get_pretrained_cfg, split_model_name_tag
from torch import Tensor, nn

from transfer.network.checkpoints import HEADS
from transfer.network.published import Preprocessing, PublishedWeights
from transfer.network.uninitialised import Uninitialised
from transfer.runtime.errors import WeightsError

PREFIX = "timm/"
HUB_FILE = "model.safetensors"


def names() -> list[str]:
    """All networks, without tags."""
    return [f"{PREFIX}{name}" for name in timm.list_models()]


def exists(architecture: str) -> bool:
    return timm.is_model(architecture.removeprefix(PREFIX))


def published(architecture: str, weights: str) -> PublishedWeights:
    """timm's own description of the weights with this tag; DEFAULT is the tag in the name, or else timm's first.

    Raises WeightsError naming the tags that there are.
    """
    name, tag = split_model_name_tag(architecture.removeprefix(PREFIX))
    tags = [split_model_name_tag(full)[1] for full in get_arch_pretrained_cfgs(name)]
    wanted = tag if weights == "DEFAULT" else weights
    if (wanted and wanted not in tags) or (tag and wanted != tag):
        key = "backbone.name" if weights == "DEFAULT" else "backbone.weights"
        given = architecture if weights == "DEFAULT" else weights
        raise WeightsError(f"{key} = {given!r}: {PREFIX}{name} has {', '.join(filter(None, tags)) or 'no weights'}")
    config = get_pretrained_cfg(f"{name}.{wanted}" if wanted else name) or timm.models.PretrainedCfg()
    tag = wanted or config.tag or ""
    if config.hf_hub_id:
        url = hf_hub_url(config.hf_hub_id, config.hf_hub_filename or HUB_FILE)
    else:
        url = config.url if isinstance(config.url, str) else None
    mean, std = ((red, green, blue) for red, green, blue in (config.mean, config.std))
    digits = re.search(r"-([0-9a-f]{8,64})\.\w+$", url or "")
    return PublishedWeights(
        architecture=f"{PREFIX}{name}.{tag}" if tag else f"{PREFIX}{name}",
        name=tag or "DEFAULT",
        url=url,
        sha256_start=digits[1] if digits else "",
        preprocessing=Preprocessing(mean, std),
        size_px=config.input_size[-1],
        interpolation=config.interpolation,
        crop=config.crop_pct,
    )


def is_sized(architecture: str) -> bool:
    """Whether the network has weights for each place in its images, as transformers do."""
    config = get_pretrained_cfg(architecture.removeprefix(PREFIX))
    return config is not None and config.fixed_input_size


def _create(architecture: str, size_px: int | None, classes: int | None, **more: object) -> nn.Module:
    """timm's network; `classes` None: as many as its published weights have. Images of any size where it can."""
    options = {**more, **({} if classes is None else {"num_classes": classes})}
    if size_px and is_sized(architecture):
        options["img_size"] = size_px
    if _can_be_dynamic(architecture):
        options["dynamic_img_size"] = True
    return timm.create_model(architecture.removeprefix(PREFIX), **options)


@cache
def _can_be_dynamic(architecture: str) -> bool:
    with torch.device("meta"), Uninitialised():
        kind = type(timm.create_model(architecture.removeprefix(PREFIX)))
    return any("dynamic_img_size" in inspect.signature(each.__init__).parameters for each in kind.__mro__)


@cache
def _classifier(architecture: str) -> tuple[str, ...]:
    """Names of the tensors that the network has only with its classifier."""
    with torch.device("meta"), Uninitialised():
        whole, body = (set(_create(architecture, None, classes).state_dict()) for classes in (None, 0))
    return tuple(sorted(whole - body))


def build(architecture: str, size_px: int | None) -> tuple[nn.Module, int, tuple[str, ...]]:
    """The network without its classifier, its features, and what the names of the classifier's tensors begin with."""
    network = _create(architecture, size_px, 0)
    features: Any = getattr(network, "head_hidden_size", None) or network.num_features
    return network, int(features), _classifier(architecture)


def load(architecture: str, size_px: int | None, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the network holds once timm has loaded `state`, converting older names and resampling positions.

    Raises RuntimeError, as torch does, if it does not fit.
    """
    with torch.device("meta"), Uninitialised():
        network, _, classifier = build(architecture, size_px)
    floats = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    body = {name: tensor for name, tensor in floats.items() if name not in classifier}
    # Under names of other code the classifier is known only once timm has converted them, if it has timm's classes.
    headless = {name: tensor for name, tensor in floats.items() if not HEADS.fullmatch(name)}
    first: Exception | None = None
    for classes, given in ((0, body), (None, floats), (0, headless)):
        try:
            loaded = _loaded(architecture, size_px, classes, given)
            return {name: loaded[name] for name in network.state_dict()}
        except Exception as error:  # timm's conversions end in any kind where the names are of something else
            first = first or error
    raise RuntimeError(str(first))


def _loaded(architecture: str, size_px: int | None, classes: int | None, state: dict[str, Tensor]) -> dict[str, Tensor]:
    # With as many classes as the configuration says timm insists on every tensor.
    overlay = {"state_dict": dict(state), **({} if classes is None else {"num_classes": classes, "label_offset": 0})}
    network = _create(architecture, size_px, classes, pretrained=True, pretrained_cfg_overlay=overlay)
    return dict(network.state_dict())
