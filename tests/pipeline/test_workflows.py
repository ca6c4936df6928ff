"""The workflows: what their files promise, and who may start a training, asked of an API."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.github import READS_ONLY, GitHub, serve
from tests.pipeline.actions import EXPRESSION, Runner, steps, workflows

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
