"""Tensors on disk: one safetensors file with a digest of its own, and a description of what it holds."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from transfer.errors import WeightsError
from transfer.files import whole


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and values, whatever the order of the mapping."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write tensors with `about`, a JSON-able description that `load_tensors` returns with them."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # One metadata key only: safetensors writes several in no fixed order.
    text = json.dumps({"sha256": digest(plain), **about}, sort_keys=True, allow_nan=False)
    with whole(path) as partial:
        save_file(plain, partial, metadata={"about": text})


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote.

    Raises WeightsError if the file is missing, truncated or altered: safetensors itself would not
    notice a flipped bit in the values, the digest does.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            about = json.loads((stream.metadata() or {}).get("about", "{}"))
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file; run the stage that writes it first") from None
    except (SafetensorError, ValueError) as error:
        raise WeightsError(f"{path}: damaged ({error}); run the stage that writes it again") from None
    if about.pop("sha256", None) != digest(tensors):
        raise WeightsError(f"{path}: its values do not match its digest; run the stage that writes it again")
    return tensors, about
