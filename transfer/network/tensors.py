"""Tensors on disk: one safetensors file with a digest of its own, and a description of what it holds."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from transfer.runtime.errors import WeightsError
from transfer.runtime.files import whole

T = TypeVar("T")
DESCRIBED = ConfigDict(extra="forbid", arbitrary_types_allowed=True)  # of dataclasses that `described` makes


def digest(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> str:
    """SHA-256 over names, types, shapes, values and description, whatever the order of the mappings."""
    # There and back, because JSON turns keys into text, which sorts otherwise than numbers.
    plain = json.loads(json.dumps(about, allow_nan=False))
    total = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write tensors with `about`, a JSON-able description that `load_tensors` returns with them.

    Raises OSError if the disk does not take them.
    """
    plain = _apart(tensors)
    # One metadata key only: safetensors writes several in no fixed order.
    text = json.dumps({"sha256": digest(plain, about), **about}, sort_keys=True, allow_nan=False)
    # Not `save_file`: it writes to a temporary file of its own, which stays behind when the process is killed.
    with whole(path) as partial:
        partial.write_bytes(save(plain, metadata={"about": text}))


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous copies on the CPU, no two in the same memory, which safetensors refuses."""
    plain: dict[str, Tensor] = {}
    used: set[int] = set()
    for name, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        if own.untyped_storage().data_ptr() in used:
            own = own.clone()
        used.add(own.untyped_storage().data_ptr())
        plain[name] = own
    return plain


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote.

    Raises WeightsError if the file is missing, truncated or altered: safetensors itself would not
    notice a flipped bit in the values or the description, the digest does.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            about = json.loads((stream.metadata() or {}).get("about", "{}"))
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file; run the stage that writes it first") from None
    except (SafetensorError, ValueError) as error:
        raise WeightsError(f"{path}: damaged ({error}); run the stage that writes it again") from None
    if not isinstance(about, dict) or about.pop("sha256", None) != digest(tensors, about):
        raise WeightsError(f"{path}: its content does not match its digest; run the stage that writes it again")
    return tensors, about


def described(path: Path, kind: type[T], about: Mapping[str, Any], **more: Any) -> T:
    """Make a dataclass of what a file says of itself and `more`: exactly its fields, of their types.

    Raises WeightsError naming what the file holds instead.
    """
    try:
        return TypeAdapter(kind).validate_python({**about, **more})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise WeightsError(
            f"{path}: holds no {kind.__name__} but something of {', '.join(sorted(about)) or 'no description'} "
            f"({place}: {first['msg']}); give another file or run the stage that writes it again"
        ) from None


def check_tensors(path: Path, of: str, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Raise WeightsError naming the first tensor that is missing, unknown, or of another shape or type."""
    for name in [*wanted, *found]:
        there, should = _form(found.get(name)), _form(wanted.get(name))
        if there != should:
            raise WeightsError(
                f"{path}: not weights of {of}: {name} is {there} in the file, {should} in the architecture"
            )


def _form(tensor: Tensor | None) -> str:
    if tensor is None:
        return "absent"
    usual = tensor.dtype == torch.float32 and tensor.layout == torch.strided
    return f"{list(tensor.shape)}" if usual else f"{list(tensor.shape)} of {tensor.dtype} ({tensor.layout})"
