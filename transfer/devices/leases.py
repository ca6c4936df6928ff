"""GPUs that stages at work at the same time lease from each other, by file locks: DVC's queue assigns none."""

import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from transfer.runtime.errors import ParameterError
from transfer.runtime.locks import HeldError, locked

VISIBLE = "CUDA_VISIBLE_DEVICES"
GPUS = "TRANSFER_GPUS"
POLL_S = 0.5


def gpus() -> list[str]:
    """What there is to lease: what TRANSFER_GPUS lists, or else all of NVIDIA's if they are more than one.

    None where CUDA_VISIBLE_DEVICES is set: then somebody has chosen already. CUDA is not started to find out.
    """
    if VISIBLE in os.environ:
        return []
    if (listed := os.environ.get(GPUS)) is not None:
        return [name.strip() for name in listed.split(",") if name.strip()]
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    names = found.stdout.split() if found.returncode == 0 else []
    return names if len(names) > 1 else []


def leases_folder() -> Path:
    """Where the locks are: one folder a machine and user."""
    return Path(tempfile.gettempdir(), f"transfer-gpus-{os.getuid()}")


@contextmanager
def leased(count: int) -> Iterator[None]:
    """Have `count` GPUs for this process and its children, waiting for them, and name them in CUDA_VISIBLE_DEVICES.

    The kernel lets go of them however this process ends. Raises ParameterError if there never are so many.
    """
    if not (names := gpus()):
        yield
        return
    if count > len(names):
        raise ParameterError(f"NPROC = {count}: more than the GPUs to lease, {','.join(names)}; see {GPUS}")
    leases_folder().mkdir(mode=0o700, exist_ok=True)
    with ExitStack() as held:
        os.environ[VISIBLE] = ",".join(_take(count, names, held))
        try:
            yield
        finally:
            del os.environ[VISIBLE]


def _take(count: int, names: list[str], held: ExitStack) -> list[str]:
    taken: list[str] = []
    turn = False
    with ExitStack() as waiting:
        for attempt in itertools.count():
            # One process at a time collects, so that no two wait for what the other has.
            if turn := turn or _lock("turn", waiting):
                for name in names:
                    if len(taken) < count and name not in taken and _lock(name, held):
                        taken.append(name)
            if len(taken) == count:
                break
            if attempt == 1:  # the first may only have met another process's turn
                print(f"waiting for {count} of the GPUs {','.join(names)}", flush=True)
            time.sleep(POLL_S)
    return taken


def _lock(name: str, held: ExitStack) -> bool:
    try:
        held.enter_context(locked(leases_folder() / f"{name.replace('/', '_')}.lock"))
    except HeldError:
        return False
    return True
