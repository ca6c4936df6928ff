"""Weights files as they are in the world: any container and wrapping of a network of torchvision's or timm's."""

import argparse
import errno
import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from transfer.network.architectures import fitted, outline
from transfer.network.tensors import check_tensors
from transfer.runtime.errors import WeightsError

# Where training scripts put a state dict; an average of the weights comes first, as that is what they evaluate.
WRAPPERS = ("model_ema", "state_dict_ema", "ema", "teacher", "state_dict", "model", "net")
PREFIXES = ("module.", "model.", "backbone.")
COMPILED = "_orig_mod."  # by torch.compile, of a network or of any part of it
LONGEST_REASON = 200


def read_state_dict(path: Path, architecture: str, size_px: int | None = None) -> dict[str, Tensor]:
    """Read the architecture's weights, float32 and without its classifier, from a .pth or .safetensors file.

    What torchvision or timm itself would load is loaded. A transformer's positions are interpolated to images of
    `size_px` (None: those it was published for). Raises WeightsError naming the first tensor that does not fit.
    """
    content = _read(path)
    network, _, classifier = outline(architecture, size_px)
    state, taken = _unwrapped(content, set(network.state_dict()))
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: holds no state dict of tensors; save `model.state_dict()`")
    if taken:
        print(f"{path}: taking {', '.join(taken)}")
    expected = network.state_dict()
    _check_values(path, architecture, {k: v for k, v in state.items() if not k.startswith(classifier)}, expected)
    try:
        loaded = fitted(architecture, size_px, state)
    except (RuntimeError, ValueError) as error:
        told = str(error)
        misfits = [name for name in [*expected, *state] if f'"{name}"' in told or f"size mismatch for {name}:" in told]
        found, wanted = ({name: of[name] for name in misfits if name in of} for of in (state, expected))
        check_tensors(path, architecture, found, wanted)
        why = " ".join(told.split())[:LONGEST_REASON]
        raise WeightsError(f"{path}: not weights of {architecture}: {why}") from None
    check_tensors(path, architecture, loaded, expected)  # the first MNASNets change the network that loads them
    return loaded


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


def _unwrapped(content: Any, names: Collection[str]) -> tuple[Mapping[str, Any], list[str]]:
    """The state dict in a file's content, under the network's own `names`, and what was chosen on the way to it."""
    taken = []
    while isinstance(content, Mapping):
        wrapper = next((name for name in WRAPPERS if isinstance(content.get(name), Mapping)), None)
        if wrapper is None:
            break
        taken.append(repr(wrapper))
        content = content[wrapper]
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        return {}, []
    if any(COMPILED in name for name in content):
        taken.append(f"names without {COMPILED}")
        content = _renamed(content, lambda name: name.replace(COMPILED, "").removesuffix(COMPILED[:-1]).rstrip("."))
    # Tensors without the prefix, such as a loss's or a projection's, are not of the network.
    own = tuple(prefix for prefix in PREFIXES if not any(name.startswith(prefix) for name in names))
    while prefix := next((start for start in own if any(name.startswith(start) for name in content)), None):
        taken.append(f"the tensors under {prefix}")
        content = _renamed(content, partial(_below, prefix=prefix))
    return content, taken


def _below(name: str, prefix: str) -> str | None:
    return name.removeprefix(prefix) if name.startswith(prefix) else "" if f"{name}." == prefix else None


def _renamed(state: Mapping[str, Any], rename: Callable[[str], str | None]) -> OrderedDict[str, Any]:
    """The tensors whose new name is not None, under it, with the versions of their modules."""
    metadata = getattr(state, "_metadata", {})
    content = OrderedDict((new, value) for name, value in state.items() if (new := rename(name)))
    versions = {new: value for name, value in metadata.items() if (new := rename(name)) is not None}
    setattr(content, "_metadata", versions)  # noqa: B010
    return content


def _check_values(path: Path, architecture: str, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Refuse what torch would copy into a network but is no weight: integers, complex or sparse numbers, NaN."""
    for name, tensor in state.items():
        real = tensor.is_floating_point() or not expected.get(name, tensor).is_floating_point()
        if not real or tensor.layout != torch.strided:
            what = f"{list(tensor.shape)} of {tensor.dtype} ({tensor.layout}) in the file; save dense floating-point"
            raise WeightsError(f"{path}: not weights of {architecture}: {name} is {what} tensors")
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise WeightsError(
                f"{path}: not weights of {architecture}: {name} holds NaN or infinity; give another file"
            )
