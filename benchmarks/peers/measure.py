"""How a peer is measured: seconds from the start of its process, seconds and accuracy of each phase, one JSON."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.settings import Settings, read_settings
from transfer.runtime.files import write_json

STARTED = "BENCHMARK_STARTED"  # set by whoever starts the process, seconds since the epoch


class Stopwatch:
    """Times two phases. What happens before the first, imports and data and model, is the start-up."""

    def __init__(self, result: Path) -> None:
        self._result = result
        self._startup_s = 0.0
        self._began = 0.0
        self._epoch_ends: list[float] = []
        self._phases: list[dict[str, Any]] = []

    def start(self) -> None:
        """A phase begins; the first one ends the start-up."""
        if not self._phases:
            self._startup_s = time.time() - float(os.environ[STARTED])
        self._began, self._epoch_ends = time.perf_counter(), []

    def end_epoch(self) -> None:
        """An epoch of the phase is trained and validated."""
        self._epoch_ends.append(time.perf_counter() - self._began)

    def stop(self, val_accuracy: float) -> None:
        """A phase ends, with this accuracy on the validation images; after the second the figures are written."""
        phase = {"seconds": time.perf_counter() - self._began, "epoch_ends": self._epoch_ends}
        self._phases.append({**phase, "val_accuracy": float(val_accuracy)})
        if len(self._phases) == 2:
            write_json(self._result, {"startup_s": self._startup_s, "phases": self._phases})


def begin() -> tuple[Settings, Stopwatch]:
    """Settings and stopwatch from the command line: `python -m benchmarks.peers.NAME SETTINGS RESULT [bfloat16]`."""
    settings, result, *precision = sys.argv[1:]
    return replace(read_settings(Path(settings)), bfloat16=precision == ["bfloat16"]), Stopwatch(Path(result))
