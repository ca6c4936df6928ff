"""Leases on pretend GPUs, taken by real processes: none is had twice, and a dead holder has none."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from transfer.devices.leases import leased
from transfer.runtime.errors import ParameterError
from transfer.runtime.files import ROOT

# Tells what it has, then waits for a line before it lets go; `start` gives it the number it wants.
HOLDER = """
import os, sys
from transfer.devices.leases import leased
with leased(int(sys.argv[1])):
    print("has", os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    sys.stdin.readline()
"""
# Notes when it has a GPU and when no more, many times.
WORKER = """
import os, sys, time
from transfer.devices.leases import leased
for _ in range(5):
    with leased(int(sys.argv[1])):
        with open(sys.argv[2], "a") as log:
            print(os.getpid(), time.monotonic(), os.environ["CUDA_VISIBLE_DEVICES"], end=" ", file=log)
            time.sleep(0.02)
            print(time.monotonic(), file=log)
"""
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(autouse=True)
def _pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # for this process; the others take it from TMPDIR
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TRANSFER_GPUS", "0,1")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def begin(script: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", script, *map(str, arguments)]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def release(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=30)
    assert process.returncode == 0


def test_each_process_has_a_gpu_of_its_own_and_a_third_waits(start: Start) -> None:
    first, second = start(HOLDER, 1), start(HOLDER, 1)
    assert sorted([line_of(first), line_of(second)]) == ["has 0", "has 1"]
    third = start(HOLDER, 1)
    assert line_of(third) == "waiting for 1 of the GPUs 0,1"
    release(second)
    assert line_of(third) in ("has 0", "has 1")


def test_a_killed_holder_has_let_go(start: Start) -> None:
    holder = start(HOLDER, 2)
    assert line_of(holder) == "has 0,1"
    waiting = start(HOLDER, 2)
    assert line_of(waiting) == "waiting for 2 of the GPUs 0,1"
    holder.send_signal(signal.SIGKILL)
    assert line_of(waiting) == "has 0,1"


def test_no_gpu_is_ever_had_by_two(start: Start, tmp_path: Path) -> None:
    """Processes that want one and processes that want both, in turns: none starves, and none overlap."""
    log = tmp_path / "log"
    workers = [start(WORKER, wanted, log) for wanted in (1, 1, 2, 2)]
    assert [worker.wait(timeout=120) for worker in workers] == [0] * 4
    had: dict[str, list[tuple[float, float]]] = {"0": [], "1": []}
    lines = [line.split() for line in log.read_text().splitlines()]
    assert len(lines) == 20
    for _, since, names, until in lines:
        for name in names.split(","):
            had[name].append((float(since), float(until)))
    for spans in had.values():
        spans.sort()
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


def test_more_than_there_are_is_one_line() -> None:
    with (
        pytest.raises(ParameterError, match=r"^NPROC = 3: more than the GPUs to lease, 0,1; see TRANSFER_GPUS$"),
        leased(3),
    ):
        pass


def test_a_choice_of_the_user_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    with leased(1):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "7"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("listed", "expected"), [("GPU-a\nGPU-b", "GPU-a"), ("GPU-a", None)])
def test_by_default_several_gpus_of_the_machine_are_leased(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: str, expected: str | None
) -> None:
    """A program of NVIDIA's name that lists them; one GPU alone may be shared."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{listed}\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("TRANSFER_GPUS")
    with leased(1):
        assert os.environ.get("CUDA_VISIBLE_DEVICES") == expected
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_an_empty_list_leases_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFER_GPUS", "")
    with leased(1):
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
