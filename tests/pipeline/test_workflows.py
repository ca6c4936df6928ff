"""The workflows: what their files promise, and their shell steps run against a git remote, a DVC remote and an API."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.github import MAY_WRITE, READS_ONLY, GitHub, serve
from tests.pipeline.actions import EXPRESSION, Runner, steps, workflows
from tests.pipeline.workspace import commit, copy_repository, git, mark_installed, set_parameter, stages_run

FLOWS = workflows()
EACH = pytest.mark.parametrize("name", FLOWS)
ASKED, TRAIN = (FLOWS["train.yml"]["jobs"][name] for name in ("asked", "train"))
REPORT = FLOWS["report.yml"]["jobs"]["report"]
NUMBER = "github.event.pull_request.number || github.event.issue.number"


@EACH
def test_actions_are_pinned_by_commit_and_keep_no_credentials(name: str) -> None:
    used = [step for step in steps(FLOWS[name]) if "uses" in step]
    assert [step["uses"] for step in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])] == []
    checkouts = [step for step in used if step["uses"].startswith("actions/checkout@")]
    assert [step["with"]["persist-credentials"] for step in checkouts] == [False] * len(checkouts)


@EACH
def test_every_job_ends_and_holds_no_right_that_it_was_not_given(name: str) -> None:
    flow = FLOWS[name]
    assert flow["permissions"] in ({}, {"contents": "read"})
    assert all("timeout-minutes" in job for job in flow["jobs"].values())
    rights = [right for job in flow["jobs"].values() for right in job.get("permissions", {})]
    if name in ("train.yml", "report.yml"):
        assert rights
    else:
        assert not rights
    assert "pull_request_target" not in flow["on"]


def test_rights_to_write_are_these() -> None:
    assert ASKED["permissions"] == {"pull-requests": "read"}
    assert TRAIN["permissions"] == {"contents": "write", "pull-requests": "write"}
    assert REPORT["permissions"] == {"contents": "read", "pull-requests": "write"}


def test_one_run_at_a_time() -> None:
    assert FLOWS["report.yml"]["concurrency"]["cancel-in-progress"] is True
    assert FLOWS["check.yml"]["concurrency"]["cancel-in-progress"] is True
    # A comment that is no /train must not push a waiting training aside, so that the limit is the job's.
    assert "concurrency" not in FLOWS["train.yml"]
    assert TRAIN["concurrency"] == {"group": "train-${{ needs.asked.outputs.branch }}"}


@EACH
def test_no_text_of_other_people_reaches_a_shell_but_through_its_environment(name: str) -> None:
    assert [step["run"] for step in steps(FLOWS[name]) if EXPRESSION.search(step.get("run", ""))] == []


def test_machines_and_secrets_are_out_of_reach_for_forks() -> None:
    others = [job["runs-on"] for flow in FLOWS.values() for job in flow["jobs"].values() if job is not TRAIN]
    assert all(re.fullmatch(r"(ubuntu|macos)-[\d.]+|\$\{\{ matrix.os \}\}", machine) for machine in others)
    assert TRAIN["needs"] == "asked"
    assert "if" not in TRAIN  # `always()` would run it after `asked` refused
    secret = [step for step in REPORT["steps"] if "secrets." in json.dumps(step)]
    assert [step["name"] for step in secret] == ["Outputs are in the remote"]
    assert "github.event.pull_request.head.repo.full_name == github.repository" in secret[0]["if"]


@pytest.fixture
def github() -> Iterator[GitHub]:
    with serve() as server:
        server.permissions = {"maintainer": "write", "owner": "admin"}
        yield server


def ask(github: GitHub, folder: Path, person: str, **event: str) -> tuple[subprocess.CompletedProcess[str], dict]:
    folder.mkdir(exist_ok=True)
    values = {"github.token": READS_ONLY, NUMBER: "", "github.event.repository.default_branch": "main"}
    defaults = {"GITHUB_ACTOR": person, "GITHUB_REF_TYPE": "branch", "GITHUB_REF_NAME": "main", "GITHUB_SHA": "0" * 40}
    given = {key: value for key, value in event.items() if key.startswith("GITHUB_")}
    runner = Runner(
        folder,
        {**values, NUMBER: event.get("number", "")},
        {"PATH": os.environ["PATH"], **github.environment(READS_ONLY), **defaults, **given},
    )
    done = runner.run(ASKED, "Who asks, and for what")
    return done, runner.outputs()


BRANCHES = [
    "idea",
    "a/b-c.d",
    "$(touch${IFS}pwned)",
    "`touch${IFS}pwned`;#",
    "x&&touch${IFS}pwned",
    "-n",
    "*",
    "ä'\"=b",
]


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_training_is_for_the_commit_that_was_there_when_it_was_asked_for(
    github: GitHub, tmp_path: Path, branch: str
) -> None:
    github.add_pull(7, branch, "abc123", "main")
    done, outputs = ask(github, tmp_path / "clone", "maintainer", number="7")
    assert done.returncode == 0, done.stderr
    assert outputs == {"branch": branch, "commit": "abc123", "base": "main"}
    assert list((tmp_path / "clone").iterdir()) == []  # nothing in a name was run


def test_a_training_by_hand_is_for_the_branch_it_was_started_on(github: GitHub, tmp_path: Path) -> None:
    done, outputs = ask(github, tmp_path / "clone", "owner", GITHUB_REF_NAME="idea", GITHUB_SHA="abc123")
    assert done.returncode == 0, done.stderr
    assert outputs == {"branch": "idea", "commit": "abc123", "base": "main"}


@pytest.mark.parametrize(
    ("person", "event", "told"),
    [
        ("stranger", {"number": "7"}, "stranger has no write access and may not start a training"),
        ("stranger", {}, "stranger has no write access"),
        ("maintainer", {"number": "8"}, "#8 comes from a fork; "),
        ("maintainer", {"GITHUB_REF_TYPE": "tag", "GITHUB_REF_NAME": "v1"}, "v1 is no branch"),
        ("maintainer", {"number": "9"}, None),
    ],
    ids=["no access", "no access, by hand", "a fork", "a tag", "no such pull request"],
)
def test_a_training_is_refused(github: GitHub, tmp_path: Path, person: str, event: dict, told: str | None) -> None:
    github.add_pull(7, "idea", "abc123", "main")
    github.add_pull(8, "idea", "abc123", "main", repository="stranger/repository")
    done, outputs = ask(github, tmp_path / "clone", person, **event)
    assert done.returncode != 0
    assert outputs == {}
    if told:
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"::error::{told}")


@pytest.fixture
def remotes(finished: Path, tmp_path: Path) -> Path:
    """A folder with the bare repository origin.git: the trained main and a branch that changed a parameter only."""
    copy_repository(finished)
    commit(finished, "The rest of the repository")
    git(tmp_path, "clone", "--quiet", "--bare", str(finished), "origin.git")
    git(finished, "remote", "add", "origin", str(tmp_path / "origin.git"))
    git(finished, "checkout", "--quiet", "-b", "idea")
    set_parameter(finished, "evaluate.minimum_macro_f1", 0.0)
    commit(finished, "Any model will do")
    git(finished, "push", "--quiet", "origin", "idea")
    return tmp_path


def check_out(remotes: Path, name: str, commit: str) -> Path:
    """What actions/checkout leaves with fetch-depth: 0."""
    clone = remotes / name
    if not clone.exists():
        git(remotes, "clone", "--quiet", "origin.git", name)
    git(clone, "fetch", "--quiet", "origin")
    git(clone, "checkout", "--quiet", "--force", "--detach", commit)
    mark_installed(clone)
    return clone


def runner_of(clone: Path, remotes: Path, github: GitHub, variables: dict[str, str], token: str) -> Runner:
    """A runner, which has no name for git."""
    own = {key: value for key, value in variables.items() if not key.startswith(("GIT_AUTHOR", "GIT_COMMITTER"))}
    environment = {**own, **github.environment(token), "GITHUB_SERVER_URL": "https://github.example"}
    values = {
        "vars.DVC_REMOTE_URL": str(remotes / "store"),
        "secrets.AWS_ACCESS_KEY_ID": "",
        "secrets.AWS_SECRET_ACCESS_KEY": "",
        "secrets.TRAIN_TOKEN || github.token": "secret-of-the-push",
        "github.token": token,
        "needs.asked.outputs.branch": "idea",
        "needs.asked.outputs.base": "main",
        "github.event.pull_request.base.ref": "main",
        "github.event.pull_request.number": "7",
        NUMBER: "7",
    }
    return Runner(clone, values, environment)


def judge(remotes: Path, name: str, github: GitHub, variables: dict[str, str], token: str) -> tuple[Runner, dict]:
    """The report workflow on the head of the pull request, in a new clone: its results by the step's name."""
    clone = check_out(remotes, name, git(remotes / "origin.git", "rev-parse", "idea").strip())
    runner = runner_of(clone, remotes, github, variables, token)
    return runner, {step["name"]: runner.run(REPORT, step["name"]) for step in REPORT["steps"] if "run" in step}


def passed(results: dict[str, subprocess.CompletedProcess[str]]) -> list[str]:
    return [name for name, done in results.items() if done.returncode == 0]


def train(runner: Runner) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for step in TRAIN["steps"]:
        if "run" in step:
            results[step["name"]] = done = runner.run(TRAIN, step["name"])
            assert done.returncode == 0, f"{step['name']}\n{done.stdout}\n{done.stderr}"
    return results


@pytest.mark.slow  # four clones, and every step in each
def test_a_stale_pull_request_is_refused_trained_and_passed(
    remotes: Path, github: GitHub, variables: dict[str, str]
) -> None:
    origin = remotes / "origin.git"
    before = git(origin, "rev-parse", "idea").strip()
    github.add_pull(7, "idea", before, "main")
    # Nobody trained, and nothing was pushed. A fork's token may not comment, and that alone is no failure.
    runner, results = judge(remotes, "stale", github, variables, READS_ONLY)
    assert passed(results) == ["Set up", "Report"]
    assert "stale: evaluate: params.yaml: evaluate.minimum_macro_f1 is 0.0, was 0.65" in (
        results["dvc.lock is what code and parameters give"].stderr
    )
    assert "not in the remote: models/model.safetensors" in results["Outputs are in the remote"].stderr
    assert results["Minimum viable accuracy is met"].stderr.startswith("error: evaluate.minimum_macro_f1 = 0.0: ")
    assert "::notice::no comment: " in results["Report"].stdout
    assert runner.summary().startswith("# ")
    assert github.comments == {}
    # The first training: the DVC remote holds nothing yet, the runner has what the last one left.
    clone = check_out(remotes, "runner", before)
    shutil.copytree(remotes / "workspace/.dvc/cache", clone / ".dvc/cache")
    (clone / "metrics/of_another_branch.json").write_text("{}", encoding="utf-8")
    results = train(runner_of(clone, remotes, github, variables, MAY_WRITE))
    assert sorted(stages_run(results["Train"].stdout)) == ["evaluate", "report"]
    after = git(origin, "rev-parse", "idea").strip()
    changed = git(origin, "diff", "--name-only", before, after).split()
    assert {"dvc.lock", "metrics/evaluate.json"} <= set(changed)
    assert [path for path in changed if path != "dvc.lock" and not path.startswith("metrics/")] == []
    assert "metrics/of_another_branch.json" not in changed
    assert git(origin, "log", "-1", "--format=%an %P", "idea").split() == ["github-actions[bot]", before]
    (comment,) = github.comments[7]
    assert runner.summary().splitlines()[0] in comment["body"]
    leaked = b"secret-of-the-push"
    assert [path for path in clone.rglob("*") if path.is_file() and leaked in path.read_bytes()] == []
    # What the commit brought passes, in a clone without data; the comment is written over.
    runner, results = judge(remotes, "fresh", github, variables, MAY_WRITE)
    assert passed(results) == list(results)
    assert not (runner.clone / "models/model.safetensors").exists()
    assert len(github.comments[7]) == 1
    # A second training has nothing to do, on a machine that is as good as new.
    clone = check_out(remotes, "second", after)
    results = train(runner_of(clone, remotes, github, variables, MAY_WRITE))
    assert stages_run(results["Train"].stdout) == []
    assert "as they were" in results["Commit"].stdout
    assert git(origin, "rev-parse", "idea").strip() == after


def test_a_training_without_a_remote_or_on_a_branch_that_moved_ends_in_one_line(
    remotes: Path, github: GitHub, variables: dict[str, str]
) -> None:
    origin = remotes / "origin.git"
    before = git(origin, "rev-parse", "idea").strip()
    clone = check_out(remotes, "runner", before)
    runner = runner_of(clone, remotes, github, variables, MAY_WRITE)
    runner.values["vars.DVC_REMOTE_URL"] = ""
    done = runner.run(TRAIN, "Set up")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("::error::no DVC remote for what is trained: ")
    git(remotes / "workspace", "commit", "--quiet", "--allow-empty", "--message", "While it was trained")
    git(remotes / "workspace", "push", "--quiet", "origin", "idea")
    moved = git(origin, "rev-parse", "idea").strip()
    (clone / "metrics/evaluate.json").write_text("{}", encoding="utf-8")
    done = runner.run(TRAIN, "Commit")
    assert done.returncode != 0
    assert "rejected" in done.stderr
    assert git(origin, "rev-parse", "idea").strip() == moved
