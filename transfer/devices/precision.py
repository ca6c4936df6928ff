"""In which precision the network computes: what the hardware does natively, or what a parameter says."""

import platform
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

import torch

from transfer.runtime.errors import ParameterError

Precision = Literal["float32", "bfloat16", "float16"]
PrecisionChoice = Literal["auto", "float32", "bfloat16", "float16"]
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # of x86 and, the last, of ARM
AMPERE = (8, 0)  # the first CUDA capability with bfloat16; before it, torch only emulates it


def resolve_precision(choice: PrecisionChoice, device: torch.device) -> Precision:
    """The precision that `auto` stands for on a device, or the one that was chosen.

    Raises ParameterError for float16 on a processor, which has no fast float16.
    """
    if choice == "float16" and device.type == "cpu":
        raise ParameterError("train.precision = 'float16': too slow on a processor; set auto, float32 or bfloat16")
    if choice != "auto":
        return choice
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(device) >= AMPERE else "float16"
    return "bfloat16" if device.type == "cpu" and processor_flags() & BFLOAT16_FLAGS else "float32"


def processor_flags() -> set[str]:
    """What Linux says that the processor can do; nothing where it does not say."""
    listed = Path("/proc/cpuinfo")
    if platform.system() != "Linux" or not listed.exists():
        return set()
    lines = listed.read_text(encoding="utf-8", errors="replace").splitlines()
    flags = (line for line in lines if line.lower().startswith(("flags", "features")))
    return set(next(flags, "").partition(":")[2].split())


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager:
    """Let torch compute in a precision where that is safe; float32 changes nothing."""
    return torch.autocast(device.type, getattr(torch, precision), enabled=precision != "float32")
