"""jobs/: an experiment whose machine is taken away goes on in another clone; their parsers read the files."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.pipeline.workspace import ROOT, command, commit, copy_repository, dvc, git, mark_installed, stages_run

READ_BY_SKYPILOT = """
import sys, sky
task = sky.Task.from_yaml(sys.argv[1])
task.validate_name()
assert "jobs/experiment.sh" in task.run and list(task.storage_mounts) == ["/state"], task
"""


def clone(folder: Path, name: str) -> Path:
    git(folder, "clone", "--quiet", "origin.git", name)
    mark_installed(folder / name)
    return folder / name


def test_an_experiment_goes_on_in_another_clone_when_its_machine_is_taken_away(
    finished: Path, tmp_path: Path, killer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_repository(finished)
    dvc(finished, "remote", "add", "--default", "store", str(tmp_path / "store"))
    commit(finished, "A repository with a remote")
    git(tmp_path, "clone", "--quiet", "--bare", str(finished), "origin.git")
    monkeypatch.setenv("STATE", str(tmp_path / "a bucket"))
    job = ("jobs/experiment.sh", "lower", "-S", "train.lr=1e-5", "fine_tune")

    deaths = {"PYTHONPATH": str(killer), "KILL_STAGE": "fine_tune", "KILL_FILE": "state.pt", "KILL_POINT": "rename"}
    with monkeypatch.context() as patched:
        for name, value in {**deaths, "KILL_COUNT": "2", "KILL_BYTES": "1"}.items():
            patched.setenv(name, value)
        died = command(clone(tmp_path, "first"), *job, check=False)
    assert died.returncode != 0
    assert stages_run(died.stdout)[-1] == "fine_tune"
    shutil.rmtree(tmp_path / "first")

    done = command(clone(tmp_path, "second"), *job)
    assert stages_run(done.stdout) == ["fine_tune"]  # all before it is in the cache that outlived the machine
    assert re.search(r"fine_tune: going on from epoch 2, step 0", done.stdout + done.stderr)
    git(finished, "remote", "add", "origin", str(tmp_path / "origin.git"))
    dvc(finished, "exp", "pull", "origin", "lower")
    dvc(finished, "exp", "apply", "lower")
    models = [folder / "models/model.safetensors" for folder in (finished, tmp_path / "second")]
    assert models[0].read_bytes() == models[1].read_bytes()


@pytest.mark.series  # fetches SkyPilot and the schemas of Kubernetes
@pytest.mark.parametrize(
    ("package", "check"),
    [
        ("skypilot", ["python", "-c", READ_BY_SKYPILOT, "jobs/sky.yaml"]),
        ("kubernetes-validate", ["kubernetes-validate", "--strict", "jobs/kubernetes.yaml"]),
    ],
)
def test_their_own_parsers_read_the_files(package: str, check: list[str]) -> None:
    uv = shutil.which("uv") or str(ROOT / ".uv/bin/uv")
    command(ROOT, uv, "run", "--quiet", "--no-project", "--python", sys.executable, "--with", package, *check)
