"""A run killed by SIGKILL at any point of its saving and training goes on to the bits of an undisturbed one."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.transfer.training.test_loop import Run

pytestmark = pytest.mark.slow  # twelve processes that are killed

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = "tests.transfer.training.killed_run"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, object]:
    run = Run(tmp_path_factory.mktemp("undisturbed"))
    return run, run.fit()


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize(
    "point",
    ["before the write", "inside the write", "before the rename", "between epochs", "in validation", "in a step"],
)
def test_a_killed_run_ends_with_the_same_bits(tmp_path, undisturbed, point: str, count: int):
    command = [sys.executable, "-m", PROGRAM, str(tmp_path), point, str(count)]
    died = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    saved_epochs = 0 if (state := Run(tmp_path).saved.load()) is None else len(state["history"])
    if "write" in point or "rename" in point:
        assert saved_epochs == count
    else:  # the last save is written as training goes on, and may have been cut off
        assert saved_epochs in ({0} if point == "in a step" else {count, max(count - 1, 0)})
    resumed = Run(tmp_path)
    run, fitted = undisturbed
    assert resumed.fit() == fitted
    assert resumed.told == run.told
    assert resumed.bits() == run.bits()
