"""One change on its way: from a clone to an experiment, a pull request and main; then one that conflicts with it.

Every command is one that docs/experiments.md and docs/troubleshooting.md tell a person to type.
"""

import filecmp
from pathlib import Path

import pytest

from tests.pipeline.workspace import (
    command,
    commit,
    copy_repository,
    dvc,
    files_of,
    git,
    mark_installed,
    read_yaml,
    set_parameter,
    stages_run,
)

TRAINED = ["fine_tune", "evaluate", "unknown", "export", "robustness", "grad_cam", "audit", "report"]


def clone(folder: Path, name: str) -> Path:
    """A clone with everything that its commit names."""
    git(folder, "clone", "--quiet", "origin.git", name)
    mark_installed(folder / name)
    dvc(folder / name, "pull")
    return folder / name


def make(workspace: Path, *arguments: str) -> str:
    return command(workspace, "make", *arguments).stdout


def nothing_to_run(workspace: Path) -> bool:
    ran = stages_run(dvc(workspace, "repro").stdout)
    return ran == [] and git(workspace, "status", "--porcelain") == ""


def try_rate(workspace: Path, branch: str, rate: float) -> None:
    """Train with another rate as an experiment on a new branch, keep it, and push it to both remotes."""
    git(workspace, "checkout", "--quiet", "-b", branch)
    done = dvc(workspace, "exp", "run", "--temp", "--name", f"rate-{rate}", "-S", f"train.lr={rate}")
    assert sorted(stages_run(done.stdout)) == sorted(TRAINED)
    assert git(workspace, "status", "--porcelain") == ""  # until it is applied
    dvc(workspace, "exp", "apply", f"rate-{rate}")
    assert read_yaml(workspace / "params.yaml")["train"]["lr"] == rate
    commit(workspace, f"train.lr {rate}")
    git(workspace, "push", "--quiet", "origin", branch)
    dvc(workspace, "push")


def same_files(first: Path, second: Path) -> bool:
    """Whether two clones hold the same outputs, byte for byte."""
    paths = files_of(first)
    return paths == files_of(second) and filecmp.cmpfiles(first, second, paths, shallow=False)[1:] == ([], [])


def judge_on_a_clone_without_data(folder: Path, before: float) -> None:
    """What a runner does with a pull request: everything that it reads is in git."""
    git(folder, "clone", "--quiet", "--branch", "slower", "origin.git", "judge")
    judge = folder / "judge"
    mark_installed(judge)
    assert make(judge, "fresh").startswith("dvc.lock is fresh")
    assert dvc(judge, "data", "status", "--not-in-remote").returncode == 0
    report = make(judge, "pr-report", "BASE=origin/main", "HEAD=HEAD")
    assert f"| `train.lr` | `{before}` | `0.0001` |" in report
    assert [stage for stage in TRAINED if stage not in report] == []
    assert not (judge / "models/model.safetensors").exists()


def settle_conflict(clone: Path) -> None:
    """The second change conflicts in the parameter, in dvc.lock and in metrics; the way out is the documented one."""
    git(clone, "fetch", "--quiet")
    assert command(clone, "git", "merge", "origin/main", check=False).returncode != 0
    conflicts = git(clone, "diff", "--name-only", "--diff-filter=U").split()
    assert {"params.yaml", "dvc.lock", "metrics/fine_tune.json"} <= set(conflicts)
    refused = command(clone, "make", "fresh", check=False)
    assert refused.stderr.startswith("error: dvc.lock: holds git's conflict markers; docs/troubleshooting.md")
    # Settle params.yaml by hand, take one side's record whole, run what neither has run.
    git(clone, "checkout", "--theirs", "--", "params.yaml", "dvc.lock", "metrics", "report")
    set_parameter(clone, "train.lr", 0.0004)
    assert stages_run(dvc(clone, "repro").stdout) == ["report"]  # all the rest is in the run cache
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--no-edit")
    assert make(clone, "fresh").startswith("dvc.lock is fresh")


@pytest.mark.series  # it trains twice, in six clones
def test_a_change_walks_from_a_clone_to_main_and_the_next_one_conflicts(finished: Path, tmp_path: Path) -> None:
    copy_repository(finished)
    dvc(finished, "remote", "add", "--default", "store", str(tmp_path / "store"))
    commit(finished, "A repository with a remote")
    dvc(finished, "push", "--run-cache")
    git(tmp_path, "clone", "--quiet", "--bare", str(finished), "origin.git")

    # Two people start from the same main, and both change the learning rate.
    ada, ben = clone(tmp_path, "ada"), clone(tmp_path, "ben")
    assert nothing_to_run(ada)
    try_rate(ada, "slower", 0.0001)
    try_rate(ben, "faster", 0.0004)

    judge_on_a_clone_without_data(tmp_path, read_yaml(finished / "params.yaml")["train"]["lr"])
    git(ada, "checkout", "--quiet", "main")
    git(ada, "merge", "--quiet", "--no-ff", "--no-edit", "slower")
    git(ada, "push", "--quiet", "origin", "main")
    third = clone(tmp_path, "third")
    assert nothing_to_run(third)
    assert same_files(ada, third)

    settle_conflict(ben)
    dvc(ben, "push")
    git(ben, "push", "--quiet", "origin", "HEAD:main")
    fourth = clone(tmp_path, "fourth")
    assert nothing_to_run(fourth)
    assert same_files(ben, fourth)
    assert read_yaml(fourth / "params.yaml")["train"]["lr"] == 0.0004
    board = make(fourth, "leaderboard")
    assert "train.lr 0.0001" in board
    assert "train.lr 0.0004" in board
