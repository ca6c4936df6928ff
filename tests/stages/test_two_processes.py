"""Stages in two processes, started as `NPROC=2 dvc repro` starts them: the results of one, and its saved state."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
import psutil
import pytest
import yaml

from stages import embed, fine_tune
from tests.stages.conftest import FILES, Arena, outputs_in
from transfer.data.features import load_features
from transfer.network.tensors import load_tensors
from transfer.runtime.files import ROOT

ENDS_WITHIN_S = 30

Begin = Callable[[ModuleType, dict], subprocess.Popen[str]]

pytestmark = pytest.mark.slow  # it starts ten processes


def command_of(arena: Arena, stage: ModuleType, content: dict) -> list[str]:
    settings = arena.file("two.yaml")
    settings.write_text(yaml.safe_dump(json.loads(json.dumps(content))))
    files = {**FILES[stage], **outputs_in("two", stage)}
    options = [f"--{name.replace('_', '-')}={arena.file(path)}" for name, path in files.items()]
    return [sys.executable, "-m", stage.__name__, f"--params={settings}", *options]


@pytest.fixture
def begin(arena: Arena) -> Iterator[Begin]:
    """Starts a stage on the arena's files, with its outputs in `two/`."""
    started: list[subprocess.Popen[str]] = []

    def start(stage: ModuleType, content: dict) -> subprocess.Popen[str]:
        command = command_of(arena, stage, content)
        variables = {"NPROC": "2", "OMP_NUM_THREADS": "1", "TRANSFER_STATE": str(arena.file("two_state"))}
        pipe = subprocess.PIPE
        started.append(
            subprocess.Popen(command, cwd=ROOT, env=os.environ | variables, stdout=pipe, stderr=pipe, text=True)
        )
        return started[-1]

    yield start
    for process in started:
        process.terminate()
        process.communicate()


@pytest.fixture
def agents(arena: Arena) -> Iterator[Callable[[dict], list[psutil.Popen]]]:
    """Starts a fine_tune on the arena's files by two agents of torchrun, as on machines that share a disk."""
    started: list[psutil.Popen] = []

    def start(content: dict) -> list[psutil.Popen]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        address = f"127.0.0.1:{port}"
        torchrun = ["torch.distributed.run", "--nnodes=1:2", "--max-restarts=3", "--local-addr=127.0.0.1"]
        meeting = ["--rdzv-backend=c10d", f"--rdzv-endpoint={address}", "--rdzv-conf=last_call_timeout=20"]
        stage = command_of(arena, fine_tune, content)[1:]
        variables = {"OMP_NUM_THREADS": "1", "TRANSFER_STATE": str(arena.file("elastic_state"))}
        for name in ("here", "there"):
            with arena.file(f"{name}.log").open("w") as log:
                command = [sys.executable, "-m", *torchrun, *meeting, *stage]
                started.append(psutil.Popen(command, cwd=ROOT, env=os.environ | variables, stdout=log, stderr=log))
            while not any(end.laddr.port == port for end in started[0].net_connections()):
                assert started[0].poll() is None  # the one that holds the meeting place has to be the one that stays
                time.sleep(0.1)
        return started

    yield start
    for agent in started:
        if agent.is_running():
            agent.terminate()
        agent.wait()


def parameters(arena: Arena, **changes: object) -> dict:
    """For a run in which rounding stays small: SGD, and batches that two can share."""
    train = arena.parameters["train"]
    tuned = {**train["fine_tune"], "optimizer": "sgd", "ema_decay": 0.5, **changes}
    mix = {"mixup_alpha": 0.4, "cutmix_alpha": 1.0, "probability": 0.5, "final_share_without": 0.5}
    augment = {**train["augment"], "contrast": 0.2, "mix": mix}
    return {**arena.parameters, "train": {**train, "batch_size": 14, "fine_tune": tuned, "augment": augment}}


def test_two_processes_embed_and_fine_tune_to_what_one_does(arena: Arena, begin: Begin) -> None:
    process = begin(embed, arena.parameters)
    assert (process.communicate(timeout=300)[1], process.returncode) == ("", 0)
    for name in ("train_features", "val_features"):
        one, two = (load_features(arena.file(files[name])) for files in (FILES[embed], outputs_in("two", embed)))
        np.testing.assert_allclose(one.plain, two.plain, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(one.mirrored, two.mirrored, rtol=1e-4, atol=1e-5)

    single, several = outputs_in("one", fine_tune), outputs_in("two", fine_tune)
    arena.run(fine_tune, parameters(arena), **{**FILES[fine_tune], **single})
    process = begin(fine_tune, parameters(arena))
    assert (process.communicate(timeout=300)[1], process.returncode) == ("", 0)
    one, two = (load_tensors(arena.file(files["model"]))[0] for files in (single, several))
    before = load_tensors(arena.file(FILES[fine_tune]["backbone"]))[0]
    # In single precision a network of random weights turns rounding into more than can be compared: another number of
    # threads changes its weights as much. tests/transfer/devices/test_processes.py compares them in double precision.
    assert two.keys() == one.keys()
    for name in ("running_mean", "running_var"):  # of what all processes' images are, before anything is learned
        was, ours, theirs = before[f"bn1.{name}"], two[f"backbone.bn1.{name}"], one[f"backbone.bn1.{name}"]
        assert float((ours - theirs).norm()) < 0.02 * float((theirs - was).norm())
    curves = [np.loadtxt(arena.file(files["curves"]), skiprows=2) for files in (single, several)]
    np.testing.assert_allclose(curves[1][:, :3], curves[0][:, :3], rtol=0.01)  # epoch, rate, loss
    assert json.loads(arena.file(several["metrics"]).read_text())["epochs"] == 2
    assert len(arena.file("two_state/timings.tsv").read_text().splitlines()) == 2  # each stage once


def test_sigterm_saves_and_the_next_run_ends_when_a_process_is_killed(arena: Arena, begin: Begin) -> None:
    for path in outputs_in("two", fine_tune).values():
        arena.file(path).unlink(missing_ok=True)
    content = parameters(arena, epochs=1000, patience=0)
    saved = arena.file("two_state")

    launcher = begin(fine_tune, content)
    while not list(saved.glob("fine_tune-*/state.pt")):
        assert launcher.poll() is None
        time.sleep(0.1)
    launcher.send_signal(signal.SIGTERM)
    errors = launcher.communicate(timeout=ENDS_WITHIN_S)[1]
    assert (errors, launcher.returncode) == ("error: fine_tune: stopped; run it again to go on\n", 143)

    launcher = begin(fine_tune, content)
    assert launcher.stdout is not None
    assert launcher.stdout.readline().startswith("fine_tune: going on from epoch ")
    first, second = sorted(psutil.Process(launcher.pid).children(), key=lambda process: process.create_time())
    second.kill()
    errors = launcher.communicate(timeout=ENDS_WITHIN_S)[1]
    assert (errors, launcher.returncode) == ("error: process 1 of 2 was ended by SIGKILL\n", 137)
    assert not first.is_running()
    assert not [path for path in outputs_in("two", fine_tune).values() if arena.file(path).exists()]


def test_when_a_machine_vanishes_the_rest_goes_on_from_the_last_epoch(arena: Arena, agents) -> None:
    here, there = agents(parameters(arena, epochs=40, patience=0))
    while not list(arena.file("elastic_state").glob("fine_tune-*/state.pt")):
        assert here.poll() is None
        time.sleep(0.1)
    assert "going on" not in arena.file("here.log").read_text()
    (worker,) = there.children()
    for process in (there, worker):
        process.kill()
    assert here.wait(timeout=200) == 0
    assert "fine_tune: going on from epoch " in arena.file("here.log").read_text()
    assert json.loads(arena.file(outputs_in("two", fine_tune)["metrics"]).read_text())["epochs"] == 40
