"""Killed at any point and run again with `dvc repro`, the pipeline ends with the bytes of an undisturbed run.

Each point is met by an audit hook in the stage's own process, so nothing depends on timing.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.contract import read_declared
from tests.pipeline.workspace import ROOT, dvc, read_yaml, stages_run, write_yaml

STATUSES = {"before": (-9, 137), "inside": (-25, 153), "rename": (-9, 137), "forget": (-9, 137), "term": (143,)}
STATE = "state.pt"
RESULTS = {  # of each trainer, in the order in which they are written
    "train_head": ("head.safetensors", "train_head.json", "train_head.tsv"),
    "fine_tune": ("model.safetensors", "fine_tune.json", "fine_tune.tsv"),
}
OTHERS = [
    f"{name}@val" if "matrix" in stage else name
    for name, stage in read_yaml(ROOT / "dvc.yaml")["stages"].items()
    if name not in RESULTS
]


def files_in(path: Path) -> dict[str, bytes]:
    paths = [path] if path.is_file() else path.rglob("*")
    return {str(file.relative_to(path.parent)): file.read_bytes() for file in paths if file.is_file()}


def outputs_of(workspace: Path) -> dict[str, dict[str, bytes]]:
    """The outputs of all stages that are there, with the content of their files."""
    names = [name for stage in read_declared(workspace).values() for name in stage.outs]
    return {name: files_in(workspace / name) for name in names if (workspace / name).exists()}


def forget(workspace: Path, stage: str) -> None:
    """Make DVC run a stage as if it never had: neither its lock nor its run cache knows it."""
    lock = read_yaml(workspace / "dvc.lock")
    del lock["stages"][stage]
    write_yaml(workspace / "dvc.lock", lock)
    shutil.rmtree(workspace / ".dvc/cache/runs")


class Victim:
    """A stage of a finished workspace that DVC has to run again, and that can be made to die."""

    def __init__(self, workspace: Path, killer: Path, stage: str) -> None:
        self.workspace, self.killer, self.stage = workspace, killer, stage
        self.wanted, self.lock = outputs_of(workspace), read_yaml(workspace / "dvc.lock")
        self.names = self.names_there()
        self.outs = sorted(read_declared(workspace)[stage].outs)
        forget(workspace, stage)

    def names_there(self) -> set[str]:
        """All files but git's and DVC's own."""
        paths = (path.relative_to(self.workspace) for path in self.workspace.rglob("*") if path.is_file())
        return {str(path) for path in paths if path.parts[0] not in (".git", ".dvc")}

    def files(self) -> dict[str, bytes]:
        """The files of the stage's outputs, those in folders too."""
        return {path: content for name in self.outs for path, content in self.wanted[name].items()}

    def die(self, file: str, point: str, count: int = 1) -> None:
        """Let `dvc repro` fail as the stage dies at a point; no output may be there in part."""
        sizes = [len(content) for path, content in self.files().items() if Path(path).name == file]
        variables = {
            "PYTHONPATH": self.killer,
            "KILL_STAGE": self.stage.partition("@")[0],
            "KILL_FILE": file,
            "KILL_POINT": point,
            "KILL_COUNT": count,
            "KILL_BYTES": max(sizes, default=4000) // 2,
        }
        with pytest.MonkeyPatch.context() as patched:
            for name, value in variables.items():
                patched.setenv(name, str(value))
            died = dvc(self.workspace, "repro", check=False)
        assert died.returncode != 0, died.stdout
        (status,) = re.findall(r"exited with (-?\d+)", died.stderr)
        assert int(status) in STATUSES[point]
        assert "Traceback" not in died.stderr
        for name, files in outputs_of(self.workspace).items():
            assert {path: self.wanted[name][path] for path in files} == files

    def run_again(self) -> str:
        """What an undisturbed `dvc repro` prints, whose results must be those of the run before the death."""
        again = dvc(self.workspace, "repro").stdout
        assert stages_run(again) == [self.stage]
        assert outputs_of(self.workspace) == self.wanted
        assert read_yaml(self.workspace / "dvc.lock") == self.lock
        assert self.names_there() == self.names
        return again


@pytest.fixture
def victim(finished: Path, killer: Path) -> Callable[[str], Victim]:
    return lambda stage: Victim(finished, killer, stage)


@pytest.mark.parametrize(
    ("stage", "file", "point", "count"),
    [
        ("fine_tune", STATE, "inside", 2),
        pytest.param("train_head", STATE, "rename", 2, marks=pytest.mark.series),
        pytest.param("fine_tune", "model.safetensors", "inside", 1, marks=pytest.mark.series),
    ],
)
def test_a_killed_trainer_goes_on_to_the_same_bytes(
    victim: Callable[[str], Victim], stage: str, file: str, point: str, count: int
) -> None:
    killed = victim(stage)
    killed.die(file, point, count)
    # The last epoch's state is written while the results are, and may be killed with them.
    epoch = "2" if file == STATE else "[23]"
    assert re.search(f"{stage}: going on from epoch {epoch}, step 0", killed.run_again())


def test_a_trainer_asked_to_stop_saves_first_and_goes_on_to_the_same_bytes(victim: Callable[[str], Victim]) -> None:
    """SIGTERM comes as the first epoch is saved, in the background, so that the second has begun when it is obeyed."""
    stopped = victim("fine_tune")
    stopped.die(STATE, "term")
    assert re.search(r"fine_tune: going on from epoch 2, step [1-9]", stopped.run_again())


@pytest.mark.series  # fifteen runs of DVC and the stage
@pytest.mark.parametrize("stage", RESULTS)
def test_a_trainer_killed_again_and_again_ends_with_the_same_bytes(
    victim: Callable[[str], Victim], stage: str, record_property: Callable[[str, object], None]
) -> None:
    killed = victim(stage)
    points = [(STATE, point, 1) for point in ("before", "inside", "rename")]
    points += [(STATE, "before", 2), (STATE, "inside", 1), (STATE, "rename", 1)]  # the first epoch is saved by now
    points += [(file, point, 1) for file in RESULTS[stage] for point in ("before", "inside", "rename")]
    points += [(f"{stage}-*", "forget", 1)]
    for point in points:
        killed.die(*point)
    assert re.search(f"{stage}: going on from epoch [23], step 0", killed.run_again())
    record_property("kills survived", len(points))


@pytest.mark.parametrize(
    "stage", [name if name == "resize@val" else pytest.param(name, marks=pytest.mark.series) for name in OTHERS]
)
def test_a_stage_killed_inside_each_of_its_outputs_leaves_none_in_part(
    victim: Callable[[str], Victim], stage: str, record_property: Callable[[str, object], None]
) -> None:
    """Many runs of DVC where a stage has many outputs, hence slow but for one."""
    killed = victim(stage)
    for path in killed.files():
        killed.die(Path(path).name, "inside")
    killed.run_again()
    record_property("kills survived", len(killed.files()))
