"""Stages in several processes: signals, exit statuses and error lines are one process's, and so are the results."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml

from stages import embed, fine_tune
from tests.stages.conftest import FILES, Arena
from transfer.data.features import load_features
from transfer.devices.launch import processes_wanted
from transfer.network.tensors import load_tensors
from transfer.runtime.errors import ParameterError
from transfer.runtime.files import ROOT

ENDS_WITHIN_S = 30

# Runs a program in two processes as a stage that was told NPROC=2 does.
LAUNCHER = (
    "import sys; from transfer.devices.launch import launch; sys.exit(launch([sys.executable, '-c', sys.argv[1]], 2))"
)
# The second process says a word on stdout, which is not shown; the first says what both were told.
TELLS = """
import os, sys
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "OMP_NUM_THREADS")
print(*(os.environ[name] for name in names), flush=True)
sys.stderr.write(os.environ["RANK"] + " ")
"""
# The first process ends on a signal as a trainer does, the second would go on for ever and hears no signal.
WAITS = """
import os, signal, sys, time
first = os.environ["RANK"] == "0"
def stop(number, frame):
    print("error: stopped", file=sys.stderr)
    sys.exit(128 + number)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, stop if first else signal.SIG_IGN)
if first:
    print("at work", flush=True)
time.sleep(600)
"""
FAILS = "import os, sys, time; os.environ['RANK'] == '1' and sys.exit('error: it broke'); time.sleep(600)"

STAGE = """
import os, time
from pathlib import Path

import torch

from transfer.devices.launch import run_on_devices
from transfer.runtime.parameters import Group
from transfer.runtime.errors import DataError
from transfer.devices.processes import gather, leave_to_first, rank


class Parameters(Group):
    pass


def main(parameters, files):
    if {error}:
        raise DataError("this is wrong")
    total = int(gather(torch.ones(1)).sum())
    leave_to_first()
    Path("written").write_text(f"{{total}} by {{os.environ['RANK']}}")


run_on_devices(main, Parameters, outputs=["note"], parallel=True)
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **variables}
        pipe = subprocess.PIPE
        command = [sys.executable, *arguments]
        started.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_the_second_process_is_told_who_it_is_and_says_nothing(start: Start) -> None:
    told, heard = start("-c", LAUNCHER, TELLS).communicate(timeout=60)
    assert told == "0 0 2 2 1\n"
    assert sorted(heard.split()) == ["0", "1"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_the_first_ones_to_answer_and_ends_all(start: Start, number: signal.Signals, status: int) -> None:
    launcher = start("-c", LAUNCHER, WAITS)
    assert launcher.stdout is not None
    assert launcher.stdout.readline() == "at work\n"
    processes = psutil.Process(launcher.pid).children()
    launcher.send_signal(number)
    _, heard = launcher.communicate(timeout=ENDS_WITHIN_S)
    assert (launcher.returncode, heard) == (status, "error: stopped\n")
    assert [process for process in processes if process.is_running()] == []


def test_a_process_that_fails_ends_all_with_its_line_and_status(start: Start) -> None:
    launcher = start("-c", LAUNCHER, FAILS)
    _, heard = launcher.communicate(timeout=ENDS_WITHIN_S)
    assert (launcher.returncode, heard) == (1, "error: it broke\n")


@pytest.mark.parametrize(
    ("variables", "error", "status", "line", "written"),
    [
        ({"NPROC": "2"}, "False", 0, "", "2 by 0"),
        ({"NPROC": "2"}, "True", 1, "error: this is wrong\n", None),
        ({"NPROC": "2"}, "rank() == 1", 1, "error: this is wrong\n", None),
        ({"NPROC": "two"}, "False", 1, "error: NPROC = 'two': not a number of processes, from 1 on\n", None),
    ],
    ids=["works", "fails everywhere", "fails in one", "no number"],
)
def test_a_stage_in_two_processes_writes_once_and_fails_in_one_line(
    start: Start, tmp_path: Path, variables: dict[str, str], error: str, status: int, line: str, written: str | None
) -> None:
    (tmp_path / "stage.py").write_text(STAGE.format(error=error))
    (tmp_path / "params.yaml").write_text("{}")
    stage = start("stage.py", "--state", "state", "--note", "note", **variables)
    _, heard = stage.communicate(timeout=120)
    assert (stage.returncode, heard) == (status, line)
    assert ((tmp_path / "written").read_text() if written else None) == written
    notes = (tmp_path / "state/timings.tsv").read_text().splitlines() if written else []
    assert len(notes) == bool(written)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "²"])
def test_what_is_no_number_of_processes_is_one_line(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("NPROC", text)
    with pytest.raises(ParameterError, match=r"^NPROC = .*: not a number of processes, from 1 on$"):
        processes_wanted()


def parameters(arena: Arena, **changes: object) -> dict:
    """For a run in which rounding stays small: SGD, and batches that two can share."""
    train = arena.parameters["train"]
    tuned = {**train["fine_tune"], "optimizer": "sgd", "ema_decay": 0.5, **changes}
    mix = {"mixup_alpha": 0.4, "cutmix_alpha": 1.0, "probability": 0.5, "last_epochs_without": 1}
    augment = {**train["augment"], "contrast": 0.2, "mix": mix}
    return {**arena.parameters, "train": {**train, "batch_size": 14, "fine_tune": tuned, "augment": augment}}


def command(arena: Arena, stage: str, files: dict[str, str], content: dict, **outputs: str) -> list[str]:
    """The stage's command line on the arena's files."""
    settings = arena.file("several.yaml")
    settings.write_text(yaml.safe_dump(json.loads(json.dumps(content))))
    options = [f"--{name.replace('_', '-')}={arena.file(path)}" for name, path in {**files, **outputs}.items()]
    return ["-m", f"stages.{stage}", f"--params={settings}", f"--state={arena.file('several')}", *options]


def test_two_processes_embed_and_fine_tune_to_what_one_does(arena: Arena, start: Start) -> None:
    """Started as `NPROC=2 dvc repro` starts them; the features are those of one process."""
    outputs = {"train_features": "two_train.npz", "val_features": "two_val.npz"}
    process = start(*command(arena, "embed", FILES[embed], arena.parameters, **outputs), NPROC="2")
    assert (process.communicate(timeout=300)[1], process.returncode) == ("", 0)
    for split in ("train", "val"):
        one, two = (load_features(arena.file(name)) for name in (f"{split}_features.npz", f"two_{split}.npz"))
        np.testing.assert_allclose(one.plain, two.plain, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(one.mirrored, two.mirrored, rtol=1e-4, atol=1e-5)

    outputs = {"model": "two.safetensors", "metrics": "two.json", "curves": "two.tsv"}
    arena.run(fine_tune, parameters(arena), **{**FILES[fine_tune], **{key: f"one_{key}" for key in outputs}})
    process = start(*command(arena, "fine_tune", FILES[fine_tune], parameters(arena), **outputs), NPROC="2")
    assert (process.communicate(timeout=300)[1], process.returncode) == ("", 0)
    one, two = (load_tensors(arena.file(name))[0] for name in ("one_model", "two.safetensors"))
    before = load_tensors(arena.file("backbone.safetensors"))[0]
    # In single precision a network of random weights turns rounding into more than can be compared: another number of
    # threads changes its weights as much. tests/transfer/devices/test_processes.py compares them in double precision.
    assert two.keys() == one.keys()
    for name in ("running_mean", "running_var"):  # of what all processes' images are, before anything is learned
        was, ours, theirs = before[f"bn1.{name}"], two[f"backbone.bn1.{name}"], one[f"backbone.bn1.{name}"]
        assert float((ours - theirs).norm()) < 0.02 * float((theirs - was).norm())
    curves = [np.loadtxt(arena.file(name), skiprows=1) for name in ("one_curves", "two.tsv")]
    np.testing.assert_allclose(curves[1][:, :3], curves[0][:, :3], rtol=0.01)  # epoch, rate, training loss
    assert json.loads(arena.file("two.json").read_text())["epochs"] == 2
    assert len((arena.file("several") / "timings.tsv").read_text().splitlines()) == 2  # each stage once


def test_a_process_that_is_killed_ends_the_training_with_one_line(arena: Arena, start: Start) -> None:
    outputs = {"model": "ended.safetensors", "metrics": "ended.json", "curves": "ended.tsv"}
    content = parameters(arena, epochs=1000, patience=0)
    launcher = start(*command(arena, "fine_tune", FILES[fine_tune], content, **outputs), NPROC="2")
    state = arena.file("several")
    while not list(state.glob("fine_tune-*/state.pt")):
        assert launcher.poll() is None
        time.sleep(0.1)
    first, second = sorted(psutil.Process(launcher.pid).children(), key=lambda process: process.create_time())
    second.kill()
    heard = launcher.communicate(timeout=ENDS_WITHIN_S)[1]
    assert launcher.returncode == 128 + signal.SIGKILL
    assert re.fullmatch(r"error: process 1 of 2 was ended by SIGKILL\n", heard)
    assert not first.is_running()
    assert list(arena.folder.glob("ended*")) == []
