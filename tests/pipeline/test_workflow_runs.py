"""The shell steps of the workflows, run against a git remote, a DVC remote and a `gh` of the test's own.

The project lies at the top of its repository, and in a folder of it.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.commands.toy import command
from tests.github import MAY_WRITE, READS_ONLY, REPOSITORY
from tests.pipeline.actions import Runner, workflows
from tests.pipeline.workspace import ROOT, commit, git, mark_installed, set_parameter, stages_run

TRAIN = workflows()["train.yml"]["jobs"]["train"]
REPORT = workflows()["report.yml"]["jobs"]["report"]
PIPELINE = """\
stages:
  train:
    cmd: mkdir -p models && cat train.txt > models/model.safetensors
    params: [seed]
    deps: [train.txt]
    outs: [models/model.safetensors]
  evaluate:
    cmd: sh evaluate.sh
    params: [evaluate]
    deps: [models/model.safetensors, evaluate.sh]
    metrics: [metrics/evaluate.json: {cache: false}]
    plots: [metrics/evaluate/confusion.tsv: {cache: false}]
  report:
    cmd: mkdir -p report && cp metrics/evaluate.json report/report.md
    deps: [metrics]
    outs: [report: {cache: false}]
"""
EVALUATE = """\
minimum=$(sed -n 's/^  minimum_macro_f1: //p' params.yaml)
met=$(awk -v minimum="$minimum" 'BEGIN {print (0.5 >= minimum ? "true" : "false")}')
mkdir -p metrics/evaluate
scores='{"accuracy": 0.5, "macro_f1": 0.5, "mva_met": %s, "per_class": {"cat": {"f1": 0.5}}}'
printf "$scores" $met > metrics/evaluate.json
printf 'actual\\tpredicted\\ncat\\tcat\\ncat\\tdog\\n' > metrics/evaluate/confusion.tsv
"""
FILES = {
    "dvc.yaml": PIPELINE,
    "params.yaml": "seed: 0\nevaluate:\n  minimum_macro_f1: 0.65\n",
    "train.txt": "weights",
    "evaluate.sh": EVALUATE,
    ".gitignore": ".venv\n/models\n__pycache__\n",
}
GH = """\
#!/bin/sh
# As `gh pr comment NUMBER` with a token that may write, or may not; the last comment is the only one.
test "$1 $2 $4 $5 $6 $7 $8" = "pr comment --repo {repository} --edit-last --create-if-none --body-file" || exit 2
test "$GH_TOKEN" = {token} || {{ echo "GraphQL: Resource not accessible by integration (addComment)" >&2; exit 1; }}
cp "$9" "{folder}/$3"
"""


@pytest.fixture(params=[".", "models/one project"], ids=["root", "sub-directory"])
def folder(request: pytest.FixtureRequest) -> str:
    """Where the project is in its repository, and so each job's `working-directory`."""
    return request.param


@pytest.fixture
def remotes(tmp_path: Path, folder: str) -> Path:
    """A folder with the bare repository origin.git: a trained main and a branch that changed a parameter only.

    The pipeline has three quick stages; commands, Makefile and library are this repository's. `comments` is for `gh`.
    """
    top = tmp_path / "workspace"
    workspace = top / folder
    for name in ("commands", "transfer", "experiments"):
        shutil.copytree(ROOT / name, workspace / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml", "uv.lock"):
        shutil.copy2(ROOT / name, workspace / name)
    for name, text in FILES.items():
        (workspace / name).write_text(text, encoding="utf-8")
    git(top, "init", "--quiet", "--initial-branch=main")
    command(workspace, "dvc", "init", "--quiet", *([] if folder == "." else ["--subdir"]))
    commit(workspace, "The pipeline, not yet run")
    command(workspace, "dvc", "repro", "--quiet")
    commit(workspace, "The pipeline, run")
    git(tmp_path, "clone", "--quiet", "--bare", str(top), "origin.git")
    git(workspace, "remote", "add", "origin", str(tmp_path / "origin.git"))
    git(workspace, "checkout", "--quiet", "-b", "idea")
    set_parameter(workspace, "evaluate.minimum_macro_f1", 0.0)
    commit(workspace, "Any model will do")
    git(workspace, "push", "--quiet", "origin", "idea")
    (tmp_path / "comments").mkdir()
    (tmp_path / "bin").mkdir()
    gh = tmp_path / "bin/gh"
    gh.write_text(GH.format(repository=REPOSITORY, token=MAY_WRITE, folder=tmp_path / "comments"), encoding="utf-8")
    gh.chmod(0o755)
    return tmp_path


def check_out(remotes: Path, name: str, commit: str, folder: str) -> Path:
    """The project's folder in what actions/checkout leaves with fetch-depth: 0."""
    clone = remotes / name
    if not clone.exists():
        git(remotes, "clone", "--quiet", "origin.git", name)
    git(clone, "fetch", "--quiet", "origin")
    git(clone, "checkout", "--quiet", "--force", "--detach", commit)
    mark_installed(clone / folder)
    return clone / folder


def runner_of(clone: Path, remotes: Path, variables: dict[str, str], token: str) -> Runner:
    """A runner, which has no name for git."""
    own = {key: value for key, value in variables.items() if not key.startswith(("GIT_AUTHOR", "GIT_COMMITTER"))}
    given = {"GITHUB_REPOSITORY": REPOSITORY, "GITHUB_SERVER_URL": "https://github.example"}
    environment = {**own, **given, "PATH": f"{remotes / 'bin'}:{own['PATH']}"}
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
        "github.event.pull_request.number || github.event.issue.number": "7",
    }
    return Runner(clone, values, environment)


def judge(remotes: Path, name: str, folder: str, variables: dict[str, str], token: str) -> tuple[Runner, dict]:
    """The report workflow on the head of the pull request, in a new clone: its results by the step's name."""
    clone = check_out(remotes, name, git(remotes / "origin.git", "rev-parse", "idea").strip(), folder)
    runner = runner_of(clone, remotes, variables, token)
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


@pytest.mark.series  # four clones, and every step in each
def test_a_stale_pull_request_is_refused_trained_and_passed(
    remotes: Path, folder: str, variables: dict[str, str]
) -> None:
    origin = remotes / "origin.git"
    before = git(origin, "rev-parse", "idea").strip()
    # Nobody trained, and nothing was pushed. A fork's token may not comment, and that alone is no failure.
    runner, results = judge(remotes, "stale", folder, variables, READS_ONLY)
    assert passed(results) == ["Set up", "Report"], results
    assert "stale: evaluate: params.yaml: evaluate.minimum_macro_f1 is 0.0, was 0.65" in (
        results["dvc.lock is what code and parameters give"].stderr
    )
    assert "models/model.safetensors" in results["Outputs are in the remote"].stdout
    assert results["Minimum viable accuracy is met"].stderr.startswith("error: evaluate.minimum_macro_f1 = 0.0: ")
    assert "::notice::no comment was written; " in results["Report"].stdout
    assert runner.summary().startswith("# ")
    assert list((remotes / "comments").iterdir()) == []
    # The first training: the DVC remote holds nothing yet, the runner has what the last one left.
    clone = check_out(remotes, "runner", before, folder)
    shutil.copytree(remotes / "workspace" / folder / ".dvc/cache", clone / ".dvc/cache")
    (clone / "metrics/of_another_branch.json").write_text("{}", encoding="utf-8")
    results = train(runner_of(clone, remotes, variables, MAY_WRITE))
    assert sorted(stages_run(results["Train"].stdout)) == ["evaluate", "report"]
    after = git(origin, "rev-parse", "idea").strip()
    paths = git(origin, "diff", "--name-only", before, after).splitlines()
    changed = [path.removeprefix(f"{folder}/") for path in paths]
    assert {"dvc.lock", "metrics/evaluate.json"} <= set(changed)
    assert [path for path in changed if path != "dvc.lock" and not path.startswith(("metrics/", "report/"))] == []
    assert "metrics/of_another_branch.json" not in changed
    assert git(origin, "log", "-1", "--format=%an %P", "idea").split() == ["github-actions[bot]", before]
    comment = (remotes / "comments/7").read_text(encoding="utf-8")
    assert comment.startswith("# Report of the change\n\n**Accuracy 50.0 → 50.0")
    leaked = b"secret-of-the-push"
    assert [path for path in clone.rglob("*") if path.is_file() and leaked in path.read_bytes()] == []
    # What the commit brought passes, in a clone without data; the comment is written over.
    runner, results = judge(remotes, "fresh", folder, variables, MAY_WRITE)
    assert passed(results) == list(results)
    assert not (runner.clone / "models/model.safetensors").exists()
    assert (remotes / "comments/7").read_text(encoding="utf-8") == runner.summary()
    # A second training has nothing to do, on a machine that is as good as new.
    clone = check_out(remotes, "second", after, folder)
    results = train(runner_of(clone, remotes, variables, MAY_WRITE))
    assert stages_run(results["Train"].stdout) == []
    assert "as they were" in results["Commit"].stdout
    assert git(origin, "rev-parse", "idea").strip() == after


def test_a_training_without_a_remote_or_on_a_branch_that_moved_ends_in_one_line(
    remotes: Path, folder: str, variables: dict[str, str]
) -> None:
    origin = remotes / "origin.git"
    before = git(origin, "rev-parse", "idea").strip()
    clone = check_out(remotes, "runner", before, folder)
    runner = runner_of(clone, remotes, variables, MAY_WRITE)
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
