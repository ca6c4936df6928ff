"""How a stage that computes on a device starts: with a lease on GPUs, and with NPROC as so many processes.

docs/parallel.md says how it is used, docs/decisions/parallel.md why it is done this way.
"""

import ctypes
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Never

from transfer.devices.leases import leased
from transfer.devices.processes import join
from transfer.runtime.command import run
from transfer.runtime.errors import InterruptedRunError, ParameterError, PipelineError
from transfer.runtime.files import whole
from transfer.runtime.parameters import Group

FOLDER = "TRANSFER_LAUNCHER"  # the variable that names the launcher's folder, of errors by rank, FIRST and STORE
PARENT = "TRANSFER_LAUNCHER_ID"  # the variable with the launcher's process ID
FIRST = "first"  # the file with the first process's ID, to which signals are passed on
STORE = "store"  # the file in which the processes meet
PR_SET_PDEATHSIG = 1  # of prctl(2)
TURN_S = 5  # longer than it takes to see that a process has ended, and to end the others

Main = Callable[[Any, Namespace], None]


def run_on_devices(
    main: Main,
    parameters: type[Group],
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    parallel: bool = False,
) -> Never:
    """As `transfer.runtime.command.run`; a `parallel` stage runs in NPROC processes, or in those of torchrun."""

    def placed(values: Any, files: Namespace) -> None:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            _run_as_one_of_many(main, values, files, parallel)
            return
        count = process_count() if parallel else 1
        with leased(count):
            if count == 1:
                main(values, files)
            else:
                sys.exit(_launch(count))

    run(placed, parameters, inputs, outputs)


def process_count() -> int:
    """How many processes the environment asks for. Raises ParameterError if NPROC is no such number."""
    text = os.environ.get("NPROC", "1")
    if not text.isdecimal() or int(text) < 1:
        raise ParameterError(f"NPROC = {text!r}: not a number of processes, from 1 on")
    return int(text)


def _launch(count: int) -> int:
    """Start this stage in `count` processes and wait: the exit status, which is that of the first failure.

    When one fails, torch's agent ends the others. Only that one's error is shown.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    logging.disable()  # the agent's own reports of a failure
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(cores // count, 1)))
    os.environ.setdefault("GLOO_SOCKET_IFNAME", socket.if_nameindex()[0][1])  # the loopback
    with tempfile.TemporaryDirectory(prefix="transfer-") as folder:
        os.environ |= {FOLDER: folder, PARENT: str(os.getpid())}
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                signal.signal(number, _pass_on)
        try:
            elastic_launch(_plan(count, folder), sys.executable)(*sys.orig_argv[1:])
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            own = Path(folder, str(rank))
            text = own.read_text("utf-8") if own.exists() else ""
            if not text and failure.exitcode < 0:
                text = f"error: process {rank} of {count} was ended by {failure.signal_name()}\n"
            sys.stderr.write(text)
            return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
    return 0


def _plan(count: int, folder: str) -> Any:
    """What torch's agent is asked for. Its processes meet in a file: a TCP store would listen on every interface."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.launcher.api import LaunchConfig

    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    return LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        logs_specs=DefaultLogsSpecs(os.devnull),
        run_id="transfer",
        rdzv_backend="c10d",
        rdzv_endpoint=str(Path(folder, "agent")),
        rdzv_configs={"store_type": "file"},
        local_addr="localhost",
        max_restarts=0,
        signals_to_handle="SIGQUIT",  # other signals go to the first alone, so that it can end its step and save
    )


def _pass_on(number: int, _frame: object) -> None:
    first = Path(os.environ[FOLDER], FIRST)
    if not first.exists():
        raise InterruptedRunError("stopped", number)
    with suppress(ProcessLookupError):
        os.kill(int(first.read_text()), number)


def _run_as_one_of_many(main: Main, values: Any, files: Namespace, parallel: bool) -> None:
    first, folder = os.environ["RANK"] == "0", os.environ.get(FOLDER)
    if folder:
        _end_with_launcher()
    if not parallel:  # started by torchrun all the same
        return main(values, files) if first else sys.exit(0)
    if not first:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # The first process decides when to stop. torchrun's agent tells all of them, ours the first alone.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL if folder else signal.SIG_IGN)
    elif folder:
        with whole(Path(folder, FIRST)) as partial:
            partial.write_text(str(os.getpid()))
    try:
        join(Path(folder, STORE) if folder else None)
        main(values, files)
    except (Exception, KeyboardInterrupt) as error:
        if folder:  # the launcher shows the error of the process that failed first
            own = Path(folder, os.environ["RANK"])
            sys.stderr = own.open("w", 1, "utf-8", "backslashreplace")
        # Any other error may only follow from another process's end: that process must leave first.
        if not isinstance(error, PipelineError | OSError | MemoryError | KeyboardInterrupt):
            time.sleep(TURN_S)
        raise


def _end_with_launcher() -> None:
    """On Linux: end this process when the launcher ends, however that comes about. The last checkpoint stays."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(os.environ[PARENT]):  # it ended before
        os._exit(1)
