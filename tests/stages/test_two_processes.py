"""Stages in two processes, started as `NPROC=2 dvc repro` starts them: the results of one, and its saved state."""

import json
import os
import signal
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


@pytest.fixture
def begin(arena: Arena) -> Iterator[Begin]:
    """Starts a stage on the arena's files, with its outputs in `two/`."""
    started: list[subprocess.Popen[str]] = []

    def start(stage: ModuleType, content: dict) -> subprocess.Popen[str]:
        settings = arena.file("two.yaml")
        settings.write_text(yaml.safe_dump(json.loads(json.dumps(content))))
        files = {**FILES[stage], **outputs_in("two", stage)}
        options = [f"--{name.replace('_', '-')}={arena.file(path)}" for name, path in files.items()]
        command = [sys.executable, "-m", stage.__name__, f"--params={settings}", *options]
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
