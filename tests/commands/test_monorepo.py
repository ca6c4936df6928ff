"""A project that is a folder of a larger git repository: an old package, and a job that clones the repository."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from commands.predict import PACKAGE, fetched_package
from tests.commands.toy import command, commit, git, make
from transfer.runtime.files import ROOT

FOLDERS = pytest.mark.parametrize("folder", [".", "models/one project"], ids=["root", "sub-directory"])


@FOLDERS
def test_the_package_of_a_revision_comes_from_the_cache(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tmp_path / "repository"
    project = top / folder
    (project / PACKAGE).mkdir(parents=True)
    git(top, "init", "--quiet", "--initial-branch=main")
    command(project, "dvc", "init", "--quiet", *([] if folder == "." else ["--subdir"]))
    (project / PACKAGE / "card.txt").write_text("the first", encoding="utf-8")
    command(project, "dvc", "add", "--quiet", str(PACKAGE))
    commit(top, "The first package")
    shutil.rmtree(project / PACKAGE)
    monkeypatch.chdir(project)
    assert (fetched_package("main", tmp_path) / "card.txt").read_text(encoding="utf-8") == "the first"


@pytest.mark.slow  # a real experiment in a real clone
@FOLDERS
def test_a_slurm_job_runs_in_the_projects_folder(folder: str, tmp_path: Path) -> None:
    top = tmp_path / "repository"
    project = top if folder == "." else top / folder
    make(project, tmp_path / "store", None if folder == "." else top)
    (project / "jobs").mkdir()
    for name in ("experiment.sh", "slurm.sh"):
        shutil.copy2(ROOT / "jobs" / name, project / "jobs" / name)
    (project / "Makefile").write_text("install:\n", encoding="utf-8")
    commit(top, "Jobs")
    git(tmp_path, "clone", "--quiet", "--bare", str(top), "origin.git")
    git(top, "remote", "add", "origin", str(tmp_path / "origin.git"))
    who = {f"GIT_{role}_{key}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    variables = os.environ | who | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    variables |= {"SLURM_SUBMIT_DIR": str(project)}
    job = ["bash", str(project / "jobs/slurm.sh"), "lower", "-S", "train.lr=0.5"]
    done = subprocess.run(job, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "refs/exps/" in git(tmp_path / "origin.git", "for-each-ref")
    assert (project / "state/jobs/lower/cache").is_dir()
    command(project, "dvc", "exp", "pull", "--quiet", "origin", "lower")
    command(project, "dvc", "exp", "apply", "lower")
    assert "lr: 0.5" in (project / "model.txt").read_text(encoding="utf-8")
