"""Where a model comes from, as its file says."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from transfer.network.tensors import DESCRIBED


@dataclass(frozen=True)
class Provenance:
    """What a file was made of and by: the stage, the MD5 of each of its input files by name, and `record_digest`.

    `revision` is the commit of the code, ending in `-dirty` if code or parameters differed from it; None
    where there was none.
    """

    __pydantic_config__ = DESCRIBED
    stage: str
    inputs: dict[str, str]
    lock_sha256: str
    revision: str | None = None


def record_digest(files: Iterable[str], parameters: Mapping[str, Any]) -> str:
    """SHA-256 over the digests of files, in any order, and parameters, nested or with dotted names.

    A whole number is the same whether it is written as 1 or as 1.0.
    """
    flat = dict(_leaves(parameters))
    return hashlib.sha256(json.dumps([sorted(files), flat], sort_keys=True).encode()).hexdigest()


def _leaves(parameters: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in parameters.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
