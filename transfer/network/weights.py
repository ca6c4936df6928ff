"""Weights files as they are in the world: any container and wrapping of a network of torchvision's or timm's."""

import argparse
import datetime
import errno
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from transfer.network.architectures import fitted, outline
from transfer.network.checkpoints import find_state
from transfer.network.tensors import check_tensors
from transfer.runtime.errors import WeightsError


def _dictionary(*_factory: object) -> dict[Any, Any]:
    """What a defaultdict is read as, because torch fills no other."""
    return {}


# What training scripts save beside the tensors, by the names it has in pickles: plain data, whose making runs no code
# of the file's.
NUMBERS = dict.fromkeys(type(np.dtype(kind)) for kind in f"?{np.typecodes['AllInteger']}efd")
PATHS = {"PosixPath": PurePosixPath, "WindowsPath": PureWindowsPath}
PLAIN: list[Any] = [
    *(argparse.Namespace, datetime.datetime, datetime.date, datetime.timedelta, datetime.timezone),
    *(list, dict, int, float, str, np.dtype, *NUMBERS, (_dictionary, "collections.defaultdict")),
    *((np.float64().__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((kind, f"{module}.{name}") for module in ("pathlib", "pathlib._local") for name, kind in PATHS.items()),
    *((kind, f"{module}.Pure{name}") for module in ("pathlib", "pathlib._local") for name, kind in PATHS.items()),
]
LONGEST_REASON = 200


def read_state_dict(path: Path, architecture: str, size_px: int | None = None) -> dict[str, Tensor]:
    """Read the architecture's weights, float32 and without its classifier, from a .pth or .safetensors file.

    What torchvision or timm itself would load is loaded. A transformer's positions are interpolated to images of
    `size_px` (None: those it was published for). Raises WeightsError naming the first tensor that does not fit.
    """
    content = _read(path)
    network, _, classifier = outline(architecture, size_px)
    expected = network.state_dict()
    state, taken = find_state(content, set(expected))
    if not state:
        raise WeightsError(f"{path}: holds no state dict of tensors; save `model.state_dict()`")
    if taken:
        print(f"{path}: taking {taken}")
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
        with torch.serialization.safe_globals(PLAIN):
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
