"""How a stage that computes on a device starts: with a lease on GPUs, and with NPROC as so many processes.

docs/parallel.md says how it is used, docs/decisions/parallel.md why it is done this way.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Never

from transfer.devices.leases import leased
from transfer.devices.processes import RENDEZVOUS, join
from transfer.runtime.command import run
from transfer.runtime.errors import ParameterError, PipelineError
from transfer.runtime.parameters import Group

POLL_S = 0.1
TURN_S = 5  # longer than it takes to see that a process has ended, and to end the others
LONGEST_END_S = 30

Main = Callable[[Any, Namespace], None]


def run_on_devices(
    main: Main,
    parameters: type[Group],
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    parallel: bool = False,
) -> Never:
    """As `transfer.runtime.command.run`; a `parallel` stage runs in NPROC processes, or in those that torchrun started."""

    def placed(values: Any, files: Namespace) -> None:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            _run_as_one_of_many(main, values, files, parallel)
            return
        count = processes_wanted() if parallel else 1
        with leased(count) as locks:
            if count == 1:
                main(values, files)
            else:
                sys.exit(launch([sys.executable, *sys.orig_argv[1:]], count, locks))

    run(placed, parameters, inputs, outputs)


def processes_wanted() -> int:
    """How many processes the environment asks for. Raises ParameterError if NPROC is no such number."""
    text = os.environ.get("NPROC", "1")
    if not text.isdecimal() or int(text) < 1:
        raise ParameterError(f"NPROC = {text!r}: not a number of processes, from 1 on")
    return int(text)


def _run_as_one_of_many(main: Main, values: Any, files: Namespace, parallel: bool) -> None:
    first = os.environ["RANK"] == "0"
    if not parallel:  # started by torchrun all the same
        return main(values, files) if first else sys.exit(0)
    if not first:  # the first process decides when to stop
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        join()
        main(values, files)
    except SystemExit:
        raise
    except BaseException as error:
        # Whoever started these processes ends all of them as soon as one has ended. So the first one speaks at once
        # of what a user can do something about; and who only misses the others never comes to speak.
        known = isinstance(error, PipelineError | OSError | MemoryError | KeyboardInterrupt)
        time.sleep(TURN_S * ((not first) + (not known)))
        signal.alarm(LONGEST_END_S)  # for a library that waits for the others even now
        raise


def launch(command: Sequence[str], count: int, locks: Sequence[int] = ()) -> int:
    """Run `command` in `count` processes of this machine, as torchrun would: the first failure's exit status, or 0.

    When one fails the others are ended at once. Signals are passed on to the first process alone. `locks` are file
    descriptors that all of them inherit.
    """
    processes: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def pass_on(number: int, _frame: object) -> None:
        if processes:
            processes[0].send_signal(number)
        else:
            early.append(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    with tempfile.TemporaryDirectory(prefix="transfer-") as folder:
        try:
            for rank in range(count):
                processes.append(_start(command, rank, count, Path(folder), locks))
            for number in early:
                pass_on(number, None)
            return _wait_for(processes)
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _start(
    command: Sequence[str], rank: int, count: int, folder: Path, locks: Sequence[int]
) -> subprocess.Popen[bytes]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    variables = {
        "OMP_NUM_THREADS": str(max(cores // count, 1)),
        "GLOO_SOCKET_IFNAME": socket.if_nameindex()[0][1],  # the loopback: nobody else needs to reach them
        **os.environ,
        **{"RANK": str(rank), "LOCAL_RANK": str(rank)},
        **{"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)},
        RENDEZVOUS: f"file://{folder}/rendezvous",
    }
    return subprocess.Popen(
        command,
        env=variables,
        stdout=None if rank == 0 else subprocess.DEVNULL,
        pass_fds=locks,
        process_group=0,  # a terminal's Ctrl-C comes here alone
    )


def _wait_for(processes: Sequence[subprocess.Popen[bytes]]) -> int:
    while True:
        statuses = [process.poll() for process in processes]
        for rank, status in enumerate(statuses):
            if status is not None and status < 0:
                name = signal.Signals(-status).name
                print(f"error: process {rank} of {len(processes)} was ended by {name}", file=sys.stderr)
                return 128 - status
            if status:
                return status
        if all(status == 0 for status in statuses):
            return 0
        time.sleep(POLL_S)
