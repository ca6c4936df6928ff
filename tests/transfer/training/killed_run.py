"""Train as test_loop does and die by SIGKILL at a given point: `python killed_run.py FOLDER POINT COUNT`.

COUNT says how many times the point is passed unharmed. The point "never" trains to the end and prints what came out.
"""

import hashlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import transfer.runtime.files
from tests.transfer.training.test_loop import Run
from transfer.training.state import STATE_FILE, SavedState


def dies_after(count: int, function: Callable[..., Any], last_act: Callable[..., None] | None = None) -> Any:
    """`function` that kills the process instead of doing its work for the time after `count` times."""
    left = [count]

    def wrapped(*arguments: Any, **options: Any) -> Any:
        if left[0] == 0:
            if last_act is not None:
                last_act(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return function(*arguments, **options)

    return wrapped


def write_half(saved: SavedState, state: memoryview) -> None:
    saved.folder.mkdir(exist_ok=True)
    (saved.folder / f".{STATE_FILE}.partial").write_bytes(state[: len(state) // 2])


def main(folder: Path, point: str, count: int) -> None:
    run = Run(folder)
    task = run.task
    if point == "before the write":
        SavedState._write = dies_after(count, SavedState._write)
    elif point == "inside the write":
        SavedState._write = dies_after(count, SavedState._write, write_half)
    elif point == "before the rename":  # a save syncs its file, renames it and syncs the folder
        transfer.runtime.files.sync = dies_after(2 * count, transfer.runtime.files.sync)
    elif point == "between epochs":
        run.on_epoch = dies_after(count, run.on_epoch)
    elif point == "in validation":
        run.task = replace(task, validate=dies_after(count, task.validate))
    elif point == "in a step":
        run.task = replace(task, draw=dies_after(count, task.draw))
    fitted = run.fit()
    print(fitted, run.told, hashlib.sha256(b"".join(run.bits())).hexdigest())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
