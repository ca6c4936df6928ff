"""Run named DVC experiments, several at a time, each in a workspace of its own; none that is there is run again."""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from commands.overrides import set_params, users_set_params
from commands.revisions import experiments
from transfer.runtime.parameters import read_mapping


@dataclass(frozen=True)
class Trial:
    """An experiment's name, its values by dotted name, and what follows them for `dvc exp run`."""

    name: str
    values: dict[str, Any]
    more: tuple[str, ...] = ()


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of every command that runs trials: --jobs and -S."""
    parser.add_argument("--jobs", type=int, default=1, help="experiments at the same time (default %(default)s)")
    add_set_param(parser, "for all of them")


def add_set_param(parser: argparse.ArgumentParser, help_text: str) -> None:
    parser.add_argument("-S", "--set-param", action="append", default=[], metavar="KEY=VALUE", help=help_text)


def shared_parameters(arguments: argparse.Namespace) -> tuple[str, ...]:
    """What -S gives to all trials, for `dvc exp run`; shares the cores between those that run at the same time."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // arguments.jobs, 1)))
    return tuple(users_set_params(arguments.set_param, read_mapping(Path("params.yaml"))))


def start(root: Path, trial: Trial, output: IO[str] | None = None) -> subprocess.Popen[bytes]:
    """Start an experiment in a workspace of its own. Later `-S` win.

    It keeps its resume state in state/NAME, where it finds it again.
    """
    options = ["--name", trial.name, *set_params(trial.values), *trial.more]
    command = [sys.executable, "-m", "commands.own_experiment", *options]
    variables = {"TRANSFER_STATE": str((root / "state" / trial.name).resolve()), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, cwd=root, env=os.environ | variables, stdout=output, stderr=output)


def run_trial(root: Path, trial: Trial) -> str | None:
    """Run an experiment with its output in state/NAME.log, and give the line of its error, or None if it succeeded."""
    log = root / "state" / f"{trial.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as output:
        returncode = start(root, trial, output).wait()
    if trial.name in experiments(root):
        return None
    text = log.read_text(encoding="utf-8", errors="replace")
    return error_line(text) or f"`dvc exp run` ended with {returncode}; see {log}"


def error_line(text: str) -> str | None:
    """The one line in which a run's log says why it failed: a stage's own, or the last of DVC's; None if none does."""
    lines = text.splitlines()
    own = [line for line in lines if line.startswith("error: ")]
    return next(reversed(own or [line for line in lines if line.startswith("ERROR: ")]), None)


def run_trials(root: Path, trials: Sequence[Trial], jobs: int) -> dict[str, str]:
    """Run those that are not there yet, `jobs` at a time, and print how each ends; the errors of those that failed."""
    there, failed = experiments(root), {}
    with ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(run_trial, root, trial): trial.name for trial in trials if trial.name not in there}
        try:
            for future in as_completed(running):
                if error := future.result():
                    failed[running[future]] = error
                print(f"{running[future]}: {error or 'done'}", flush=True)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            sys.exit("error: stopped; the same command goes on with what is left")
    return failed
