"""Where to compute: the best device that is there, never a choice that a parameter makes."""

import platform
import re
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch


def best_device() -> torch.device:
    """CUDA, else Apple MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def mixed_precision(device: torch.device) -> AbstractContextManager:
    """bfloat16 autocast on CUDA; full precision elsewhere, where it is no faster."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def describe(device: torch.device) -> str:
    """A name for logs, such as `NVIDIA H200` or `CPU, 2 threads`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type.upper()}, {torch.get_num_threads()} threads"


def hardware(device: torch.device) -> str:
    """The product's name, such as `NVIDIA H200` or `AMD EPYC`: the GPU's, or else the processor's."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    listed = Path("/proc/cpuinfo")  # Linux has it; elsewhere Python's own answer is the name
    named = re.search(r"^model name\s*:\s*(.+)$", listed.read_text() if listed.exists() else "", flags=re.MULTILINE)
    return named[1] if named else platform.processor() or platform.machine()
