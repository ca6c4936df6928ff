"""A stage in several processes: signals, exit statuses and error lines are those of one process."""

import ipaddress
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from transfer.devices.launch import FOLDER, PARENT, process_count
from transfer.runtime.errors import ParameterError
from transfer.runtime.files import ROOT

pytestmark = pytest.mark.slow  # each test starts processes

ENDS_WITHIN_S = 60  # on a machine that is busy with other work; a second on an idle one

# What each process does in its turn; the second one's line on stdout is not shown.
STAGE = """
import os, signal, sys, time
from pathlib import Path

import torch

from transfer.devices.launch import run_on_devices
from transfer.devices.processes import gather, leave_to_first, rank
from transfer.runtime.errors import DataError
from transfer.runtime.parameters import Group


class Parameters(Group):
    pass


def main(parameters, files):
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "OMP_NUM_THREADS")
    print(*(os.environ[name] for name in names), flush=True)
    {action}
    total = int(gather(torch.ones(1)).sum())
    leave_to_first()
    Path("written").write_text(f"{{total}} by {{os.environ['RANK']}}")


run_on_devices(main, Parameters, outputs=["note"], parallel=True)
"""
FAILS = "raise DataError('this is wrong')"

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
        process.communicate(timeout=ENDS_WITHIN_S)


def start_stage(start: Start, folder: Path, action: str, count: str) -> subprocess.Popen[str]:
    (folder / "stage.py").write_text(STAGE.format(action=action))
    (folder / "params.yaml").write_text("{}")
    return start("stage.py", "--note", "note", NPROC=count)


def test_a_stage_in_two_processes_speaks_and_writes_once(start: Start, tmp_path: Path) -> None:
    told, errors = start_stage(start, tmp_path, "", "2").communicate(timeout=120)
    assert (told, errors) == ("0 0 2 2 1\n", "")
    assert (tmp_path / "written").read_text() == "2 by 0"
    assert len((tmp_path / "state/timings.tsv").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("action", "count", "status", "line"),
    [
        (FAILS, "2", 1, "this is wrong"),
        (f"if rank() == 1: {FAILS}", "2", 1, "this is wrong"),
        ("if rank() == 1: os.kill(os.getpid(), signal.SIGKILL)", "2", 137, "process 1 of 2 was ended by SIGKILL"),
        ("", "two", 1, "NPROC = 'two': not a number of processes, from 1 on"),
    ],
    ids=["both", "one", "killed", "no number"],
)
def test_whatever_fails_is_one_line_and_its_status(
    start: Start, tmp_path: Path, action: str, count: str, status: int, line: str
) -> None:
    stage = start_stage(start, tmp_path, action, count)
    assert (stage.communicate(timeout=120)[1], stage.returncode) == (f"error: {line}\n", status)
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("ready", [False, True], ids=["at the start", "at work"])
def test_ctrl_c_is_the_first_ones_to_answer_and_ends_all(start: Start, tmp_path: Path, ready: bool) -> None:
    launcher = start_stage(start, tmp_path, "time.sleep(600)", "2")
    assert launcher.stdout is not None
    processes = []
    while len(processes) < 2:
        processes = psutil.Process(launcher.pid).children()
        time.sleep(0.01)
    if ready:
        assert launcher.stdout.readline()
    launcher.send_signal(signal.SIGINT)
    errors = launcher.communicate(timeout=ENDS_WITHIN_S)[1]
    assert (errors, launcher.returncode) == ("error: stage: stopped\n" if ready else "error: stopped\n", 130)
    assert psutil.wait_procs(processes, timeout=ENDS_WITHIN_S)[1] == []


def working(launcher: subprocess.Popen[str]) -> list[psutil.Process]:
    """The launcher and its two processes, once they have met."""
    assert launcher.stdout is not None
    assert launcher.stdout.readline()
    first = psutil.Process(launcher.pid)
    return [first, *first.children(recursive=True)]


def test_no_process_outlives_a_killed_launcher(start: Start, tmp_path: Path) -> None:
    launcher = start_stage(start, tmp_path, "time.sleep(600)", "2")
    _, *processes = working(launcher)
    assert len(processes) == 2
    launcher.kill()
    assert psutil.wait_procs(processes, timeout=ENDS_WITHIN_S)[1] == []


def test_a_process_whose_launcher_is_gone_does_not_begin(start: Start, tmp_path: Path) -> None:
    variables = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", FOLDER: str(tmp_path), PARENT: "1"}
    (tmp_path / "params.yaml").write_text("{}")
    (tmp_path / "stage.py").write_text(STAGE.format(action=""))
    assert start("stage.py", "--note", "note", **variables).communicate(timeout=120) == ("", "")


def test_nothing_listens_to_other_machines(start: Start, tmp_path: Path) -> None:
    launcher = start_stage(start, tmp_path, "time.sleep(600)", "2")
    heard = [connection.laddr.ip for process in working(launcher) for connection in process.net_connections()]
    assert heard  # gloo's own
    assert {ip for ip in heard if not ipaddress.ip_address(ip.removeprefix("::ffff:")).is_loopback} == set()
    launcher.send_signal(signal.SIGINT)
    launcher.communicate(timeout=ENDS_WITHIN_S)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "²"])
def test_what_is_no_number_of_processes_is_one_line(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("NPROC", text)
    with pytest.raises(ParameterError, match=r"^NPROC = .*: not a number of processes, from 1 on$"):
        process_count()
