"""The stages of a network, as its paper counts them: which of them each parameter is in."""

import re
from itertools import groupby
from typing import Any

from torch import nn

# What names begin with in each stage, by the class of the network, which torchvision and timm call alike. Where stages
# begin by scaling down (ConvNeXt, Swin), that is a part of them; a norm behind the last one is a part of that.
STEMS = {
    "ResNet": ("conv1|bn1", r"layer1\.", r"layer2\.", r"layer3\.", r"layer4\."),
    "ConvNeXt": (
        r"features\.0\.|stem",
        r"features\.1\.|stages\.0\.",
        r"features\.[23]\.|stages\.1\.",
        r"features\.[45]\.|stages\.2\.",
        r"features\.[67]\.|stages\.3\.|norm|classifier|head",
    ),
    "SwinTransformer": (
        r"features\.0\.|patch_embed",
        r"features\.1\.|layers\.0\.",
        r"features\.[23]\.|layers\.1\.",
        r"features\.[45]\.|layers\.2\.",
        r"features\.[67]\.|layers\.3\.|norm|head",
    ),
    "EfficientNet": (
        r"features\.0\.|conv_stem|bn1",
        *(rf"features\.{place + 1}\.|blocks\.{place}\." for place in range(7)),
        r"features\.8\.|conv_head|bn2",
    ),
}
BLOCK = re.compile(r"(?:encoder\.layers\.encoder_layer_|blocks\.)(\d+)\.")
BEHIND = re.compile(r"encoder\.ln|norm\.|fc_norm|head|attn_pool")


def stage_numbers(network: nn.Module) -> dict[str, int]:
    """The stage of each parameter by its name, from 0, the stem, without gaps. Each transformer block is one."""
    found = _found(network)
    order = {number: place for place, number in enumerate(sorted(set(found.values())))}
    return {name: order[number] for name, number in found.items()}


def _found(network: nn.Module) -> dict[str, int]:
    """Stages in their order, with gaps where a network has fewer than its family, as small EfficientNets have."""
    names = [name for name, _ in network.named_parameters()]
    kind = type(network).__name__
    patterns = STEMS.get(kind.replace("SwinTransformerV2", "SwinTransformer"), ())
    found = {name: place for name in names for place, stem in enumerate(patterns) if re.match(stem, name)}
    if len(found) == len(names):
        return found
    if kind.startswith("VisionTransformer"):
        blocks = {name: int(match[1]) + 1 for name in names if (match := BLOCK.match(name))}
        last = max(blocks.values())
        return {name: blocks.get(name, last if BEHIND.match(name) else 0) for name in names}
    try:
        return _by_matcher(network, names) if hasattr(network, "group_matcher") else _by_parts(network, names)
    except AssertionError:  # RDNet's description knows no stages
        return _by_parts(network, names)


def _by_matcher(network: nn.Module, names: list[str]) -> dict[str, int]:
    """By timm's own description; what that leaves out, such as a head's norm, is in the last stage."""
    from timm.models._manipulate import group_with_matcher

    anything = "?"
    matcher = network.group_matcher(coarse=True)  # type: ignore[operator]
    objects = ((name, None) for name in [*names, anything])
    numbers: Any = group_with_matcher(objects, matcher, reverse=True)
    left_out = numbers[anything]
    return {name: min(numbers[name], max(left_out - 1, 0)) for name in names}


def _by_parts(network: nn.Module, names: list[str]) -> dict[str, int]:
    """By the parts of the network; parameters of none of them, such as a class token, are in the stem."""
    owners = dict(network.named_parameters())
    parts = {id(parameter): place for place, part in enumerate(parts_of(network)) for parameter in part.parameters()}
    return {name: parts.get(id(owners[name]), 0) for name in names}


def parts_of(module: nn.Module) -> list[nn.Module]:
    """The parts of a network that hold parameters, first to last.

    Neighbours that have no parts of their own, such as conv1 and bn1, are one. Where there are only one or two, as in
    networks of `features` and a classifier, their parts are taken.
    """
    parts = [child for child in module.children() if any(True for _ in child.parameters())]
    if len(parts) <= 2:
        return [inner for part in parts for inner in parts_of(part) or [part]]
    found: list[nn.Module] = []
    for simple, neighbours in groupby(parts, key=lambda part: not any(True for _ in part.children())):
        group = list(neighbours)
        found += [nn.ModuleList(group)] if simple else group
    return found
