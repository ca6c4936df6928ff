"""State of an unfinished run, from which a killed one goes on to the same bits."""

import hashlib
import io
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from transfer.devices.processes import is_first
from transfer.runtime.errors import TrainingError
from transfer.runtime.files import whole
from transfer.runtime.locks import HeldError, locked

STATE_FILE = "state.pt"
DIGEST_BYTES = 32


class SavedState:
    """One run's state in `folder/<name>-<fingerprint>`, replaced whole at each save.

    The fingerprint stands for everything the run's result depends on, so that a run with other
    parameters, data or code never sees this state.

    A save is written in the background, as training goes on; whoever saves does so within
    `with saved:`, which ends when the last one is on disk. A save that failed raises its OSError
    at the next one or at that end, unless another error ended it.
    """

    def __init__(self, folder: Path, name: str, fingerprint: str, every_s: float = 300) -> None:
        self.folder = folder / f"{name}-{fingerprint}"
        self.name = name
        self.every_s = every_s
        self._saved_at = time.monotonic()
        self._writer = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def __enter__(self) -> "SavedState":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        with suppress(*([] if error is None else [OSError])):  # the error that is there already is the one to tell
            self.wait()

    def wait(self) -> None:
        """Let the save that is being written, if any, end. Raises its OSError if it failed."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def others(self) -> list[Path]:
        """Folders of unfinished runs of the same name with another fingerprint."""
        states = sorted(self.folder.parent.glob(f"{self.name}-*/{STATE_FILE}"))
        return [state.parent for state in states if state.parent != self.folder]

    def load(self) -> Any | None:
        """What the last complete save held, or None. A damaged state counts as none."""
        self.wait()
        try:
            content = memoryview((self.folder / STATE_FILE).read_bytes())
        except FileNotFoundError:
            return None
        digest, state = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        # torch's own reader notices no flipped bit.
        if hashlib.sha256(state).digest() != digest:
            return None
        return torch.load(io.BytesIO(state), weights_only=True)

    def save(self, content: Any) -> None:
        """Replace the saved state by `content`, nested dicts, lists and tensors, which may change once this returns."""
        self.wait()
        buffer = io.BytesIO()
        torch.save(content, buffer)
        self._writing = self._writer.submit(self._write, buffer.getbuffer())
        self._saved_at = time.monotonic()

    def _write(self, state: memoryview) -> None:
        with whole(self.folder / STATE_FILE) as partial, partial.open("wb") as stream:
            stream.write(hashlib.sha256(state).digest())
            stream.write(state)

    def due(self) -> bool:
        """Whether `every_s` seconds have passed since the last save."""
        return time.monotonic() - self._saved_at > self.every_s

    def discard(self) -> None:
        """Forget the state of a run that is finished, whether or not it could be written."""
        with suppress(OSError):
            self.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class StopRequest:
    """Within `with StopRequest() as stop`, SIGINT and SIGTERM set `stop.signal` instead of ending the process.

    What the process was started deaf to, as a script's job in the background is to SIGINT, stays without effect.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    def __enter__(self) -> "StopRequest":
        numbers = (signal.SIGINT, signal.SIGTERM) if is_first() else ()
        heard = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._note) for number in heard}
        return self

    def _note(self, number: int, _frame: Any) -> None:
        self.signal = number

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


@contextmanager
def only_one(output: Path) -> Iterator[None]:
    """Let one process at a time work on `output`. Raises TrainingError naming the process that does already.

    DVC's own lock does not cover a trainer that outlived the `dvc repro` which started it. Of processes that
    work together the first has the lock.
    """
    if not is_first():
        yield
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    lock = output.with_name(f".{output.name}.lock")
    with ExitStack() as held:
        try:
            held.enter_context(locked(lock))
        except HeldError as holder:
            raise TrainingError(f"{output}: process {holder} is at work on it; wait for it or end it") from None
        yield


def seed_step(seed: int, step: int) -> None:
    """Set torch's generators from the run's seed and the step's number alone.

    So a step draws the same numbers whether the run came to it in one go or was resumed, and no
    generator's state has to be saved.
    """
    mixed = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9) % (1 << 63)
    torch.manual_seed(mixed)
