"""Run a command and watch it: seconds, and the most memory that it and its children held together."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.peers.measure import STARTED
from transfer.runtime.errors import DataError

ROOT = Path(__file__).resolve().parent.parent
LOOK_EVERY_S = 0.5
LINES_SHOWN = 8


@dataclass(frozen=True)
class Finished:
    """`peak_bytes` sums the processes' shares: pages that several of them use are counted once."""

    seconds: float
    peak_bytes: int


def run_watched(command: Sequence[str], threads: int, cwd: Path = ROOT, look_every_s: float = LOOK_EVERY_S) -> Finished:
    """Run `command` with `threads` compute threads. Raises DataError with the end of its output if it fails."""
    environment = {
        **os.environ,
        STARTED: str(time.time()),
        "OMP_NUM_THREADS": str(threads),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    output: list[str] = []
    reader = threading.Thread(target=lambda: output.extend(process.stdout or ()), daemon=True)
    reader.start()
    peak = 0
    while process.poll() is None:
        peak = max(peak, memory_of(process.pid))
        try:
            process.wait(look_every_s)
        except subprocess.TimeoutExpired:
            continue
    seconds = time.perf_counter() - started
    reader.join(LOOK_EVERY_S)
    if process.returncode:
        raise DataError(f"{' '.join(command)}: ended with {process.returncode}: {''.join(output[-LINES_SHOWN:])}")
    return Finished(seconds, peak)


def memory_of(pid: int) -> int:
    """Bytes that a process and its children hold: their proportional shares on Linux, else resident sizes."""
    total = 0
    try:
        top = psutil.Process(pid)
        processes = [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in processes:
        try:
            full = process.memory_full_info()
        except psutil.Error:  # it has just ended
            continue
        total += getattr(full, "pss", full.rss)
    return total
