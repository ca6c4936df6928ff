"""How every stage starts: read the command line, check the parameters, turn errors into one line.

A stage script holds a model of its parameters, a `main(parameters, files)` and a call of `run`.
"""

import argparse
import atexit
import gc
import io
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Never, TextIO, cast

from transfer.runtime.errors import InterruptedRunError, PipelineError
from transfer.runtime.options import FILES
from transfer.runtime.parameters import Group, load_parameters, told


def run(
    main: Callable[[Any, argparse.Namespace], None],
    parameters: type[Group],
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
) -> Never:
    """Run a stage from the command line and exit: 0, 1 on an error told in one line, 128 + n on signal n.

    `inputs` and `outputs` become required options `--NAME PATH`, given to `main` as paths with
    `params` (the parameter file) and `state` (an ignored folder for what outlives a killed run).
    """
    print_any_letter()
    sys.stdout, sys.stderr = (cast(TextIO, Unread(stream)) for stream in (sys.stdout, sys.stderr))
    module = sys.modules["__main__"]
    name = Path(str(module.__file__)).stem
    about = f"parameters, explained in params.yaml:\n{told(parameters)}\n\n"
    about += f"`dvc repro {name}` runs it with the files that dvc.yaml names."
    parser = argparse.ArgumentParser(f"python -m stages.{name}", description=module.__doc__, epilog=about)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    for option in [*inputs, *outputs]:
        kind = "reads" if option in inputs else "writes"
        parser.add_argument(
            f"--{option.replace('_', '-')}", type=Path, required=True, help=f"{kind}: {FILES.get(option, 'a file')}"
        )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameters (default %(default)s)")
    files = parser.parse_args()
    # An experiment in a temporary workspace, which is deleted, keeps its state elsewhere.
    files.state = Path(os.environ.get("TRANSFER_STATE") or "state")
    signal.signal(signal.SIGTERM, _raise_interrupted)
    gc.freeze()  # what was imported stays
    gc.enable()
    started = time.monotonic()
    status, message = 0, ""
    try:
        main(load_parameters(parameters, files.params), files)
        _note_time(files.state, f"{name} {getattr(files, outputs[0])}", time.monotonic() - started)
    except SystemExit as error:
        status = int(error.code or 0)
    except KeyboardInterrupt:
        status, message = 128 + signal.SIGINT, f"{name}: stopped"
    except Exception as error:
        status, message = _told(name, error)
    leave(status, message)


def print_any_letter() -> None:
    """Let what is printed hold any letter, also where the locale's encoding has no place for it, as Latin-1 for 猫."""
    if isinstance(sys.__stdout__, io.TextIOWrapper):  # colorama, which DVC brings, may stand before it
        sys.__stdout__.reconfigure(errors="backslashreplace")


class Unread:
    """A stream that goes on when nobody reads it any more, as after `| head`: what a stage is for are its files."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text, or lose it if nobody reads."""
        with self._or_lost():
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Pass on what was written, or lose it if nobody reads."""
        with self._or_lost():
            self._stream.flush()

    @contextmanager
    def _or_lost(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def leave(status: int, message: str = "") -> Never:
    """End this process at once, after what was registered with atexit, and with one line if there is a `message`.

    The interpreter would first take every module apart: with torch a quarter of a short stage's time, and after
    Ctrl-C on a busy machine half a minute.
    """
    if message:
        print("error: " + " ".join(message.split()), file=sys.stderr)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # nobody reads any more
            stream.flush()
    os._exit(status)


def _told(name: str, error: Exception) -> tuple[int, str]:
    """The exit status and the line for an error; a bug shows its traceback here instead."""
    match error:
        case InterruptedRunError():
            return 128 + error.signal_number, str(error)
        case PipelineError():
            return 1, str(error)
        case MemoryError():
            return 1, f"{name}: out of memory ({error}); use fewer images, or a smaller batch_size or resize.size_px"
        case OSError():
            return 1, f"{error.filename or name}: {error.strerror or error}; check the path, the rights and the disk"
    traceback.print_exception(error)
    return 1, ""


def _raise_interrupted(number: int, _frame: object) -> Never:
    raise InterruptedRunError("stopped", number)


def _note_time(state: Path, what: str, seconds: float) -> None:
    state.mkdir(parents=True, exist_ok=True)
    with (state / "timings.tsv").open("a", encoding="utf-8") as stream:
        stream.write(f"{what}\t{seconds:.1f}\n")
