"""Run named DVC experiments, several at a time, each in a workspace of its own; what is there already is kept."""

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands.overrides import as_set_params
from commands.revisions import experiments

LOCKED = "Unable to acquire lock"  # DVC's words when two experiments begin or end at the same moment
STARTED = "Reproducing experiment"  # and these, once it has a workspace of its own
STARTING = threading.Lock()
PAUSE_S = 5
ATTEMPTS = 20


@dataclass(frozen=True)
class Trial:
    """An experiment's name, its parameters as nested overrides, and what follows them for `dvc exp run`."""

    name: str
    overrides: dict[str, Any]
    more: tuple[str, ...] = ()


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of every command that runs trials: --jobs and -S."""
    parser.add_argument("--jobs", type=int, default=1, help="experiments at the same time (default %(default)s)")
    parser.add_argument("-S", "--set-param", action="append", default=[], metavar="KEY=VALUE", help="for all of them")


def shared_parameters(arguments: argparse.Namespace) -> tuple[str, ...]:
    """What -S gives to all trials, for `dvc exp run`; shares the cores between those that run at the same time."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // arguments.jobs, 1)))
    return tuple(part for value in arguments.set_param for part in ("-S", value))


def experiment_command(trial: Trial) -> list[str]:
    """`dvc exp run` in a workspace of its own. Later `-S` win over earlier ones."""
    return ["dvc", "exp", "run", "--temp", "--name", trial.name, *as_set_params(trial.overrides), *trial.more]


def experiment_environment(root: Path, name: str) -> dict[str, str]:
    """Variables with which an experiment keeps its resume state where it finds it again."""
    return {**os.environ, "TRANSFER_STATE": str(root / "state" / name)}


def run_trial(root: Path, trial: Trial) -> str | None:
    """Run an experiment with its output in state/NAME.log, and give the line of its error, or None if it succeeded.

    One that finds DVC locked by another waits and tries again: DVC's run cache keeps the stages that were done.
    """
    log = root / "state" / f"{trial.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE_S * bool(attempt))
        returncode = _run(root, trial, log)
        if not returncode:
            return None
        text = log.read_text(encoding="utf-8", errors="replace")
        if LOCKED not in text:
            return error_line(text) or f"`dvc exp run` ended with {returncode}; see {log}"
    return f"DVC stayed locked by another process through {ATTEMPTS} attempts; run the same command again"


def _run(root: Path, trial: Trial, log: Path) -> int:
    """Run an experiment to its end. None starts while another does: DVC writes parameters to the workspace's
    params.yaml for a moment, from where the other would take them."""
    with STARTING, log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            experiment_command(trial),
            cwd=root,
            env={**experiment_environment(root, trial.name), "PYTHONUNBUFFERED": "1"},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        while process.poll() is None and STARTED not in log.read_text(encoding="utf-8", errors="replace"):
            time.sleep(0.1)
    return process.wait()


def error_line(text: str) -> str | None:
    """The one line in which a run's log says why it failed: a stage's own, or the last of DVC's; None if none does."""
    lines = text.splitlines()
    own = [line for line in lines if line.startswith("error: ")]
    return next(reversed(own or [line for line in lines if line.startswith("ERROR: ")]), None)


def run_trials(root: Path, trials: Sequence[Trial], jobs: int) -> Iterator[tuple[Trial, str | None]]:
    """Run those that are not there yet, `jobs` at a time, giving each as it ends with the line of its error, if any."""
    there = experiments(root)
    with ThreadPoolExecutor(jobs) as pool:
        running = {}
        for trial in trials:
            if trial.name in there:
                yield trial, None
            else:
                running[pool.submit(run_trial, root, trial)] = trial
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            sys.exit("error: stopped; the same command goes on with what is left")
