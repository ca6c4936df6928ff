"""The leaderboard of real experiments and commits, one of which failed in DVC's queue."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands.leaderboard import read_parameters
from commands.revisions import WORKSPACE
from commands.run_chart import positions
from tests.commands.toy import command, commit, git, make

pytestmark = pytest.mark.slow  # real experiments, one of which fails in the queue

ROOT = Path(__file__).resolve().parent.parent.parent
LONGEST_QUEUE_S = 300  # a bound for a worker that hangs


def leaderboard(folder: Path) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "commands.leaderboard"]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(program, cwd=folder, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """main has the rate 0.25; the experiments `high` 0.75, `low` 0.125, applied on the branch `kept`, and `bad` -1."""
    tmp = tmp_path_factory.mktemp("board")
    folder = tmp / "repository"
    make(folder, tmp / "store")
    for name, rate in (("high", "0.75"), ("low", "0.125")):
        command(folder, "dvc", "exp", "run", "--quiet", "--temp", "--name", name, "-S", f"train.lr={rate}")
    command(folder, "dvc", "exp", "run", "--queue", "--name", "bad", "-S", "train.lr=-1")
    command(folder, "dvc", "queue", "start")
    started = time.monotonic()
    while "Failed" not in command(folder, "dvc", "queue", "status") and time.monotonic() - started < LONGEST_QUEUE_S:
        time.sleep(1)
    git(folder, "checkout", "--quiet", "-b", "kept")
    command(folder, "dvc", "exp", "apply", "low")
    commit(folder, "A low rate | kept")
    return folder


def test_runs_are_sorted_by_validation_accuracy_and_failures_say_why(repository: Path) -> None:
    done = leaderboard(repository)
    assert done.returncode == 0, done.stderr
    table = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    first, kept = (git(repository, "rev-parse", "--short", name).strip() for name in ("main", "kept"))
    assert table == [
        ["run", "val accuracy", "test accuracy", "test macro F1", "train.lr"],
        ["---"] * 5,
        ["high", "75.0 %", "25.0 %", "0.5000", "0.75"],  # by test accuracy it would be the last
        [f"{first} The first run", "25.0 %", "75.0 %", "0.5000", "0.25"],
        [f"low, {kept} A low rate \\| kept", "12.5 %", "87.5 %", "0.5000", "0.125"],
        ["experiment", "train.lr", "error"],
        ["---", "---", "---"],
        ["bad", "-1", "error: train.lr = -1: must be greater than 0"],
    ]
    assert (repository / "leaderboard/leaderboard.md").read_text(encoding="utf-8") in done.stdout


def test_the_page_needs_no_network_and_shows_the_same(repository: Path) -> None:
    leaderboard(repository)
    page = (repository / "leaderboard/leaderboard.html").read_text(encoding="utf-8")
    assert re.findall(r"https?:|src=|url\((?!#)|@import|<script", page) == []
    assert page.count("<svg") == 1
    shown = ("high", "low", "87.5 %", "train.lr = -1: must be", "A low rate | kept")
    assert [text for text in shown if text not in page] == []


def test_small_rates_are_numbers_whose_order_is_theirs(tmp_path: Path) -> None:
    """DVC writes 0.00001 as 1e-05, which YAML 1.1 reads as text, which would stand above 0.001 on the axis."""
    rates = []
    for text in ("1e-05", "0.001", "0.0001"):
        (tmp_path / "params.yaml").write_text(f"train:\n  lr: {text}\n  layers: [4, 2]\n", encoding="utf-8")
        parameters = read_parameters(tmp_path, WORKSPACE)
        assert parameters["train.layers"] == "[4, 2]"
        rates.append(parameters["train.lr"])
    heights, ticks = positions(rates)
    assert heights.round(9).tolist() == [0, 1, 0.5]
    assert [text for _, text in ticks] == ["1e-05", "0.0001", "0.001"]


def test_where_nothing_was_trained_is_one_line(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    command(tmp_path, "dvc", "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--message", "Nothing yet")
    done = leaderboard(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: no experiment and no commit with a dvc.lock; ")
