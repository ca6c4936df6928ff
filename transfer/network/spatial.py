"""Where a network of each family keeps its spatial features, and in which form: maps, channels last, or tokens."""

import math
import re
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torchvision.models import SwinTransformer, VisionTransformer


@dataclass(frozen=True)
class Layout:
    """Form of a family's features, how many tokens come first that stand for no place, and the layers to explain.

    `layers` matches their names; None: all whose output is a map. Of a transformer they are the norms before the
    blocks' attention: after the last one often only the class token is read, and a gradient reaches no other.
    """

    form: Literal["channels first", "channels last", "tokens"]
    prefix: int = 0
    layers: re.Pattern[str] | None = None


NORMS = re.compile(r"(.+\.)?(blocks|layers)\.[^.]+\.(norm1|ln_1)")
LATE = ("Cait", "Xcit")  # whose class token joins after the blocks


def layout_of(model: nn.Module) -> Layout:
    """How the network in a model, or the model itself, keeps its features."""
    network = getattr(model, "backbone", model)
    if isinstance(network, VisionTransformer):
        return Layout("tokens", 1, NORMS)
    if isinstance(network, SwinTransformer) or getattr(network, "output_fmt", None) == "NHWC":
        return Layout("channels last")
    kind = type(network).__name__
    if kind.startswith("Levit"):
        return Layout("tokens", 0, re.compile(r"(.+\.)?stages\.\d+"))
    patches = getattr(network, "patch_embed", getattr(network, "stem", None))
    if hasattr(network, "blocks") and hasattr(patches, "num_patches"):
        return Layout("tokens", 0 if kind in LATE else getattr(network, "num_prefix_tokens", 0), NORMS)
    return Layout("channels first")


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
