"""Where to compute: the best device that is there, never a choice that a parameter makes."""

import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from transfer.runtime.errors import DeviceError


def best_device() -> torch.device:
    """CUDA, else Apple MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def choose_algorithms(device: torch.device, deterministic: bool) -> None:
    """Let torch choose algorithms that give the same bits each time on `device`, or the fastest.

    On the CPU they are the same, and nothing is set: the mode would only fill each new tensor with NaN first.
    An operation that has no such algorithm on CUDA warns instead of failing.
    """
    if device.type == "cpu":
        return
    if deterministic:  # cuBLAS reads this when it starts
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    # Such filling costs 7 % of a step (measured on the CPU); no operation here reads what it did not write.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    torch.backends.cudnn.benchmark = not deterministic


def batch_size_for(batch_size: int | None, size_px: int, device: torch.device) -> int:
    """Images a batch without gradients: those given, or for null what is fast for images of `size_px` on `device`.

    A processor is fastest where a batch stays in its caches: on two cores of an EPYC, ResNet-50 in bfloat16 answers
    245 images a second of 128 px in batches of 50, and 140 in batches of 250.
    """
    return batch_size or (256 if device.type == "cuda" else max(800_000 // size_px**2, 8))


@contextmanager
def fitting_in_memory(batch_size: int, item: str) -> Iterator[None]:
    """Raise DeviceError, one line, where a batch of `item`, such as `images of 224 px`, does not fit in memory."""
    try:
        yield
    except torch.OutOfMemoryError:
        name = describe(best_device())
        raise DeviceError(
            f"out of memory on {name} with batches of {batch_size} {item}; "
            "set a smaller batch_size of this stage, or a smaller resize.size_px"
        ) from None


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
