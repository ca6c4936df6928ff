"""Where a network of each family keeps its spatial features, and in which form: maps, channels last, or tokens."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.models import SwinTransformer, VisionTransformer

from transfer.network.depth import stage_numbers


@dataclass(frozen=True)
class Layout:
    """Form of a family's features, how many tokens come first that stand for no place, and the layers to explain.

    `layers` matches their names; None: all whose output is a map. Of a transformer they are the norms before the
    blocks' attention: after the last one often only the class token is read, and a gradient reaches no other.
    """

    form: Literal["channels first", "channels last", "tokens"]
    prefix: int = 0
    layers: re.Pattern[str] | None = None


NORMS = re.compile(r"(.+\.)?(blocks|layers|serial_blocks\d)(\.[^.]+)+\.(norm1|ln_1|norm_out)")
LATE = ("Cait", "Xcit")  # whose class token joins after the blocks
# Families whose blocks are not behind a `patch_embed`, and the attribute with their number of class tokens.
BLOCKS = {
    "MultiScaleVit": "cls_token",
    "NaFlexVit": "num_prefix_tokens",
    "PoolingVisionTransformer": "num_tokens",
    "TNT": "num_prefix_tokens",
    "Twins": "",
}


def layout_of(model: nn.Module) -> Layout:
    """How the network in a model, or the model itself, keeps its features."""
    network = _network_in(model)
    if isinstance(network, VisionTransformer):
        return Layout("tokens", 1, NORMS)
    if isinstance(network, SwinTransformer) or getattr(network, "output_fmt", None) == "NHWC":
        return Layout("channels last")
    kind = type(network).__name__
    if kind.startswith("Levit"):
        return Layout("tokens", 0, re.compile(r"(.+\.)?stages\.\d+"))
    if kind in BLOCKS:
        first = getattr(network, BLOCKS[kind], None)
        return Layout("tokens", first.shape[1] if isinstance(first, Tensor) else first or 0, NORMS)
    patches = getattr(network, "patch_embed", getattr(network, "stem", None))
    if hasattr(network, "blocks") and hasattr(patches, "num_patches"):
        return Layout("tokens", 0 if kind in LATE else getattr(network, "num_prefix_tokens", 0), NORMS)
    return Layout("channels first")


def _network_in(model: nn.Module) -> nn.Module:
    return getattr(model, "backbone", model)


def as_maps(output: object, layout: Layout) -> Tensor | None:
    """A layer's output as maps (batch, channels, h, w), or None if it is none of square maps."""
    if not isinstance(output, Tensor):
        return None
    if layout.form == "tokens":
        if output.ndim != 3:
            return None
        side = math.isqrt(max(output.shape[1] - layout.prefix, 0))
        if side * side != output.shape[1] - layout.prefix or not side:
            return None
        return output[:, layout.prefix :].unflatten(1, (side, side)).permute(0, 3, 1, 2)
    if output.ndim != 4:
        return None
    maps = output.permute(0, 3, 1, 2) if layout.form == "channels last" else output
    return maps if maps.shape[-2] == maps.shape[-1] else None


@dataclass(frozen=True)
class _Ended:
    """A module that has run: the dimensions of its output, its width if it is a map, and the step that made it."""

    name: str
    module: nn.Module
    dimensions: int
    width: int
    step: Any


def maps_of(model: nn.Module, images: Tensor) -> list[tuple[str, int]]:
    """Names and widths of modules whose output is a map, in the order in which they end.

    Parts of a block are left out, because a bottleneck's first convolution still has the width of the block before; a
    Sequential is no block but a row of them. So are attention and position encodings, beside which other ways lead from
    the images to the answer. So is the stem, which sees little more than edges, unless no tokens follow and it is all.
    """
    layout, network = layout_of(model), _network_in(model)
    ended, passed = _run(model, images[:1], layout)
    stages, owners = stage_numbers(network), dict(network.named_parameters())
    deep = {id(owners[name]) for name, stage in stages.items() if stage}
    own = [any(id(weight) in deep for weight in each.module.parameters(recurse=False)) for each in ended]
    body = ended[own.index(True) :] if any(own) else []
    if layout.layers:
        found = [each for each in body if each.width > 1 and layout.layers.fullmatch(each.name)]
    else:
        found = [each for each in body if each.width > 1 and each.step in passed]
        if not found and not any(each.dimensions == 3 for each in body):
            found = [each for each in ended if each.width > 1 and each.step in passed]
    blocks = tuple(f"{each.name}." for each in found if not isinstance(each.module, nn.Sequential))
    return list({each.name: each.width for each in found if not each.name.startswith(blocks)}.items())


def _run(model: nn.Module, images: Tensor, layout: Layout) -> tuple[list[_Ended], set[Any]]:
    """The modules that run on the images, as they end, and the steps by which all comes that the output is made of."""
    names = {module: name for name, module in model.named_modules()}
    ended: list[_Ended] = []

    def note(module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            maps = None if isinstance(module, nn.AdaptiveAvgPool2d) else as_maps(output, layout)  # which may enlarge
            width = 0 if maps is None else maps.shape[-1]
            ended.append(_Ended(names[module], module, output.ndim, width, output.grad_fn))

    hooks = [module.register_forward_hook(note) for module in names]
    try:
        with torch.enable_grad(), frozen(model):  # the second copy is the step in which all ways begin
            return ended, _passed(model(images.clone().requires_grad_().clone()))
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Let no gradient reach the model's weights."""
    wanted = [parameter.requires_grad for parameter in model.parameters()]
    model.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, before in zip(model.parameters(), wanted, strict=True):
            parameter.requires_grad_(before)


def _passed(output: Tensor) -> set[Any]:
    """The steps of the computation that every way from the images to the output passes."""
    found: set[Any] = set()
    waiting = {} if output.grad_fn is None else {output.grad_fn._sequence_nr(): output.grad_fn}
    while waiting:
        step = waiting.pop(max(waiting))  # the latest, so that no other leads back to it
        if not waiting:
            found.add(step)
        inputs: list[Any] = [before for before, _ in step.next_functions if before is not None]
        waiting |= {before._sequence_nr(): before for before in inputs if before.next_functions}
    return found
