"""Weights files as they are in the world: any container and wrapping that holds a network of torchvision's."""

import argparse
import errno
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models.vision_transformer import interpolate_embeddings

from transfer.network.backbones import build_network, image_px, patch_px
from transfer.network.tensors import check_tensors
from transfer.runtime.errors import WeightsError

# Where training scripts put a state dict; an average of the weights comes first, as that is what they evaluate.
WRAPPERS = ("model_ema", "state_dict_ema", "teacher", "state_dict", "model")
PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.")
# Heads that torchvision trains networks with and removes afterwards.
AUXILIARY = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}


def read_state_dict(path: Path, architecture: str, size_px: int | None = None) -> dict[str, Tensor]:
    """Read the architecture's weights, float32 and without its classifier, from a .pth or .safetensors file.

    What torchvision itself would load is loaded. A vision transformer's positions are interpolated to images of
    `size_px` (None: 224). Raises WeightsError naming the first tensor that does not fit.
    """
    content = _read(path)
    network, _, head = build_network(architecture, size_px)
    state, taken = _unwrapped(content)
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: holds no state dict of tensors; save `model.state_dict()`")
    if taken:
        print(f"{path}: taking {', '.join(taken)}")
    metadata = getattr(state, "_metadata", {})
    ignored = (f"{head}.", *AUXILIARY.get(architecture, ()))
    # In module names of the first DenseNets there were dots.
    named = {re.sub(r"(denselayer\d+\.(norm|conv))\.([12]\.)", r"\1\3", name): state[name] for name in state}
    state = OrderedDict((name, tensor) for name, tensor in named.items() if not name.startswith(ignored))
    # Of the metadata only the network's own version: that of layers would forbid the older files they still read.
    version = metadata.get("", {"version": getattr(network, "_version", None)})
    setattr(state, "_metadata", {"": version})  # noqa: B010
    expected = network.state_dict()
    _check_values(path, architecture, state, expected)
    try:
        if (patch := patch_px(architecture)) and image_px(architecture, state):
            state["encoder.pos_embedding"] = state["encoder.pos_embedding"].float()
            interpolate_embeddings(size_px or 224, patch, state)
        network.load_state_dict(state)
    except (RuntimeError, ValueError) as error:
        counts = {name: tensor for name, tensor in expected.items() if name.endswith("num_batches_tracked")}
        check_tensors(path, architecture, {**counts, **state}, expected)
        raise WeightsError(f"{path}: not weights of {architecture}: {' '.join(str(error).split())}") from None
    return dict(network.state_dict())


def _read(path: Path) -> Any:
    """The content of a safetensors file, or of a .pth with nothing but plain data in it."""
    with path.open("rb") as stream:
        is_safetensors = stream.read(9)[8:] == b"{"
    try:
        if is_safetensors:
            return load_file(path)
        with torch.serialization.safe_globals([argparse.Namespace]):  # training scripts add their options
            return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # a damaged pickle ends in any kind of error: an empty stack, a missing argument ...
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # EINVAL: an impossible offset
            raise
        # Of torch's page of text the cause, without the advice to load the file unsafely.
        text = str(error).rpartition("WeightsUnpickler error: ")[2]
        cause = re.search(".+GLOBAL.+", text) or re.search(".+", text)
        reason = cause[0].split(". ")[0].rstrip(".") if cause else type(error).__name__
        raise WeightsError(f"{path}: not a file of plain weights ({reason}); nothing in it was executed") from None


def _unwrapped(content: Any) -> tuple[Mapping[str, Any], list[str]]:
    """The state dict in a file's content, under the network's own names, and what was chosen on the way to it."""
    taken = []
    while isinstance(content, Mapping):
        wrapper = next((name for name in WRAPPERS if isinstance(content.get(name), Mapping)), None)
        if wrapper is None:
            break
        taken.append(repr(wrapper))
        content = content[wrapper]
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        return {}, []
    # Tensors without the prefix, such as a loss's or a projection's, are not of the network.
    while prefix := next((start for start in PREFIXES if any(name.startswith(start) for name in content)), None):
        taken.append(f"the tensors under {prefix}")
        metadata = getattr(content, "_metadata", {})
        content = OrderedDict((k.removeprefix(prefix), v) for k, v in content.items() if k.startswith(prefix))
        inner = {k.removeprefix(prefix): v for k, v in metadata.items() if k.startswith(prefix)}
        setattr(content, "_metadata", {"": metadata[prefix[:-1]], **inner} if prefix[:-1] in metadata else {})  # noqa: B010
    return content, taken


def _check_values(path: Path, architecture: str, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Refuse what torch would copy into a network but is no weight: integers, complex numbers, sparse tensors."""
    for name, tensor in state.items():
        real = tensor.is_floating_point() or not expected.get(name, tensor).is_floating_point()
        if not real or tensor.layout != torch.strided:
            raise WeightsError(
                f"{path}: not weights of {architecture}: {name} is {list(tensor.shape)} of {tensor.dtype} "
                f"({tensor.layout}) in the file; save dense floating-point tensors"
            )
