"""A run killed by SIGKILL at any point of its saving and training goes on to the bits of an undisturbed one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.transfer.training.test_loop import Run

pytestmark = pytest.mark.slow  # twelve processes that are killed

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = "tests.transfer.training.killed_run"


def train(folder: Path, point: str = "never", count: int = 0) -> subprocess.CompletedProcess[str]:
    """All in processes, as under DVC: in pytest's own, earlier tests decide how many threads add up a sum."""
    command = [sys.executable, "-m", PROGRAM, str(folder), point, str(count)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    done = train(tmp_path_factory.mktemp("undisturbed"))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize(
    "point",
    ["before the write", "inside the write", "before the rename", "between epochs", "in validation", "in a step"],
)
def test_a_killed_run_ends_with_the_same_bits(tmp_path, undisturbed: str, point: str, count: int):
    died = train(tmp_path, point, count)
    assert died.returncode == -signal.SIGKILL, died.stderr
    saved_epochs = 0 if (state := Run(tmp_path).saved.load()) is None else len(state["history"])
    if "write" in point or "rename" in point:
        assert saved_epochs == count
    else:  # the last save is written as training goes on, and may have been cut off
        assert saved_epochs in ({0} if point == "in a step" else {count, max(count - 1, 0)})
    resumed = train(tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.splitlines()[-1] == undisturbed  # the lines before tell of its own epochs only
