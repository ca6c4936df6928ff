"""`make clean-state`: states of unfinished runs are listed and removed, except one that a process is at work on."""

import subprocess
import sys
from pathlib import Path

from transfer.training.state import SavedState, only_one

ROOT = Path(__file__).resolve().parent.parent.parent


def states(folder: Path, *options: str) -> str:
    command = [sys.executable, "-m", "commands.states", "--state", str(folder), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def saved(folder: Path, fingerprint: str) -> SavedState:
    state = SavedState(folder, "fine_tune", fingerprint)
    with state:
        state.save({"epoch": 1})
    return state


def test_states_at_any_depth_are_listed_and_stay(tmp_path: Path) -> None:
    here, recipe = saved(tmp_path, "aaa"), saved(tmp_path / "laptop", "bbb")
    told = states(tmp_path)
    assert str(here.folder) in told
    assert str(recipe.folder) in told
    assert "removed" not in told
    assert here.load() == recipe.load() == {"epoch": 1}


def test_they_are_removed_on_request_but_for_the_one_in_use(tmp_path: Path) -> None:
    old, running = saved(tmp_path, "aaa"), saved(tmp_path, "bbb")
    (tmp_path / "timings.tsv").write_text("embed\t1.0\n", encoding="utf-8")
    with only_one(running.folder):
        told = states(tmp_path, "--remove").splitlines()
    assert told[0].startswith(str(old.folder))
    assert told[0].endswith("removed")
    assert "is at work on it" in told[1]
    assert not old.folder.exists()
    assert running.load() == {"epoch": 1}
    assert (tmp_path / "timings.tsv").exists()
    assert states(tmp_path, "--remove").endswith("removed\n")
    assert states(tmp_path) == f"{tmp_path}: no state of an unfinished run\n"
