"""How a peer is measured: seconds from the start of its process, seconds and accuracy of each phase, one JSON."""

import os
import sys
import time
from pathlib import Path

from benchmarks.settings import Settings, read_settings
from transfer.files import write_json

STARTED = "BENCHMARK_STARTED"  # set by whoever starts the process, seconds since the epoch


class Stopwatch:
    """Times two phases. What happens before the first, imports and data and model, is the start-up."""

    def __init__(self, result: Path) -> None:
        self._result = result
        self._startup_s = 0.0
        self._began = 0.0
        self._phases: list[dict[str, float]] = []

    def start(self) -> None:
        """A phase begins; the first one ends the start-up."""
        if not self._phases:
            self._startup_s = time.time() - float(os.environ[STARTED])
        self._began = time.perf_counter()

    def stop(self, val_accuracy: float) -> None:
        """A phase ends, with this accuracy on the validation images; after the second the figures are written."""
        self._phases.append({"seconds": time.perf_counter() - self._began, "val_accuracy": float(val_accuracy)})
        if len(self._phases) == 2:
            write_json(self._result, {"startup_s": self._startup_s, "phases": self._phases})


def begin() -> tuple[Settings, Stopwatch]:
    """Settings and stopwatch from the command line: `python -m benchmarks.peers.NAME SETTINGS RESULT`."""
    settings, result = map(Path, sys.argv[1:])
    return read_settings(settings), Stopwatch(result)
