"""`make provenance` on a small real repository: what fits is ok, and each thing that is planted is found."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import dump_yaml, load_yaml

from commands.cached_outputs import digest_of
from commands.provenance import Line, check
from tests.commands.toy import commit, git
from transfer.runtime.errors import DataError
from transfer.runtime.files import ROOT, md5_of, sha256_of

PACKAGE, WEIGHTS = Path("models/classifier"), "models/model.safetensors"
PARAMETERS = {"seed": 0, "train": {"lr": 1e-05, "size": 2}, "evaluate": {"minimum": 0.5}}
METRICS = ("metrics/evaluate.json", "metrics/evaluate/confusion.tsv")
FILES = {
    ".dvc/config": "[core]\n    analytics = false\n",
    ".dvc/.gitignore": "/cache\n/tmp\n",
    ".dvcignore": "__pycache__\n",
    ".gitignore": "/models/\n/data/\n__pycache__\n",
    "stages/train.py": "print(1)\n",
    "transfer/network/model.py": "LAYERS = 1\n",
    "transfer/network/rooms/é.py": "",
}


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def write_lock(folder: Path) -> None:
    """What DVC writes into dvc.lock of stages that read, and wrote, these files."""

    def entries(*paths: str) -> list[dict[str, Any]]:
        return [{"path": path, "hash": "md5", "md5": digest_of(folder / path)} for path in paths]

    draw = {"cmd": "draw", "params": {"params.yaml": {"seed": 0}}, "outs": entries("data/images.npz")}
    train = {
        "cmd": "train",
        "deps": entries("data/images.npz", "stages/train.py", "transfer/network"),
        "params": {"params.yaml": {"seed": 0, "train.lr": 1e-05, "train.size": 2}},
        "outs": entries(WEIGHTS, *METRICS),
    }
    report = {"cmd": "report", "deps": entries(WEIGHTS, "metrics"), "params": {"params.yaml": PARAMETERS}}
    stages = {"draw": draw, "train": train, "report": report}
    dump_yaml(str(folder / "dvc.lock"), {"schema": "2.0", "stages": stages})


def change(folder: Path, **values: Any) -> None:
    """Change what a package says."""
    about = json.loads((folder / PACKAGE / "provenance.json").read_text(encoding="utf-8"))
    (folder / PACKAGE / "provenance.json").write_text(json.dumps({**about, **values}), encoding="utf-8")


def build(project: Path) -> None:
    """Commit 1 has other code, commit 2 is what was trained on, commit 3 has what the run wrote; git has no models."""
    for name, text in FILES.items():
        write(project / name, text)
    dump_yaml(str(project / "params.yaml"), PARAMETERS)
    commit(project, "Other code")
    write(project / "transfer/network/model.py", "LAYERS = 2\n")
    commit(project, "Trained on")
    for name, text in zip(("data/images.npz", WEIGHTS, *METRICS), ("images", "weights", "{}", "a\tb\n"), strict=True):
        write(project / name, text)
    write_lock(project)
    write(project / PACKAGE / "model.safetensors", "weights")
    about = {
        "revision": git(project, "rev-parse", "HEAD").strip(),
        "model_md5": md5_of(project / WEIGHTS),
        "model_sha256": sha256_of(project / WEIGHTS),
        "parameters": PARAMETERS,
        "metrics": {"evaluate.json": sha256_of(project / METRICS[0])},
    }
    write(project / PACKAGE / "provenance.json", json.dumps(about))
    commit(project, "Trained")


ANYWHERE = pytest.mark.parametrize("project", [".", "sub/project"], indirect=True, ids=["root", "sub-directory"])


@pytest.fixture
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    repository = tmp_path / "repository"
    project = repository / getattr(request, "param", ".")
    project.mkdir(parents=True)
    git(repository, "init", "--quiet", "--initial-branch=main")
    build(project)
    return project


def outcomes(project: Path) -> dict[str, str]:
    return {line.what: line.outcome for line in check(project, project / PACKAGE)}


def line_of(project: Path, what: str) -> Line:
    return next(line for line in check(project, project / PACKAGE) if line.what == what)


def differing(project: Path) -> list[str]:
    return [what for what, outcome in outcomes(project).items() if outcome == "differs"]


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def run(project: Path) -> None:
        text = (project / name).read_text(encoding="utf-8")
        assert old in text
        (project / name).write_text(text.replace(old, new), encoding="utf-8")

    return run


def mix_records(project: Path) -> None:
    """As a merge may: `draw` is of another run than `train`."""
    lock = load_yaml(str(project / "dvc.lock"))
    lock["stages"]["draw"]["outs"][0]["md5"] = "0" * 32
    dump_yaml(str(project / "dvc.lock"), lock)


def name_the_first_commit(project: Path) -> None:
    change(project, revision=git(project, "rev-parse", "HEAD~2").strip())


@ANYWHERE
def test_a_package_that_is_what_it_says(project: Path) -> None:
    assert list(outcomes(project).items()) == [
        (what, "ok")
        for what in ("model", "record", "inputs of the stages", "parameters", "metrics", "revision", "code")
    ]
    assert line_of(project, "record").why == "dvc.lock of workspace names the model"
    assert line_of(project, "revision").why.endswith("is here, an ancestor of HEAD")


@pytest.mark.parametrize(
    ("plant", "what", "why"),
    [
        (edit("models/classifier/model.safetensors", "weights", "Weights"), "model", "md5"),
        (lambda project: change(project, model_sha256="0" * 64), "model", "md5"),
        (lambda project: change(project, parameters={**PARAMETERS, "seed": 1}), "parameters", "seed"),
        (lambda project: change(project, parameters={"seed": 0}), "parameters", "train.lr"),
        (lambda project: change(project, parameters={**PARAMETERS, "new": [1]}), "parameters", "new"),
        (edit("metrics/evaluate.json", "{}", "{ }"), "metrics", "evaluate.json"),
        (lambda project: change(project, metrics={"no.json": "0" * 64}), "metrics", "no.json"),
        (mix_records, "inputs of the stages", "data/images.npz"),
        (name_the_first_commit, "code", "transfer/network"),
    ],
    ids=["weights", "sha256", "value", "fewer", "more", "metrics", "no metrics", "mixed record", "other code"],
)  # fmt: skip
def test_what_is_planted_is_found(project: Path, plant: Callable[[Path], None], what: str, why: str) -> None:
    plant(project)
    assert differing(project) == [what]
    assert why in line_of(project, what).why


@ANYWHERE
def test_a_script_that_the_commit_lacks_is_found(project: Path) -> None:
    git(project, "rm", "--quiet", "stages/train.py")
    commit(project, "No script")
    change(project, revision=git(project, "rev-parse", "HEAD").strip())
    assert differing(project) == ["code"]
    assert line_of(project, "code").why == "other than in dvc.lock of workspace: stages/train.py"


@ANYWHERE
def test_the_record_may_be_in_an_earlier_commit_or_an_experiment(project: Path) -> None:
    """Another training has been recorded since, here and in HEAD; then the branch with the first one is gone."""
    recorded = git(project, "rev-parse", "HEAD").strip()
    edit("dvc.lock", md5_of(project / WEIGHTS), "0" * 32)(project)
    write(project / METRICS[0], "[]")
    commit(project, "Trained again")
    assert set(outcomes(project).values()) == {"ok"}
    assert line_of(project, "record").why == f"dvc.lock of {recorded} names the model"
    git(project, "update-ref", "refs/exps/00/1234/idea", recorded)
    git(project, "checkout", "--quiet", "--orphan", "apart")
    commit(project, "Another beginning")
    git(project, "branch", "--quiet", "-D", "main")
    assert set(outcomes(project).values()) == {"ok"}
    assert line_of(project, "revision").why.endswith("is here")


@pytest.mark.parametrize(
    ("values", "what", "why"),
    [
        ({"revision": None, "revision_reason": "made outside git"}, "revision", "made outside git"),
        ({"revision": "0" * 40}, "revision", "is not in this repository: rebased, squashed or not pushed"),
    ],
)
def test_what_cannot_be_checked_says_why(project: Path, values: dict, what: str, why: str) -> None:
    change(project, **values)
    assert line_of(project, what).outcome == "cannot be checked"
    assert why in line_of(project, what).why
    assert differing(project) == []


def test_code_that_differed_from_its_commit_cannot_be_checked(project: Path) -> None:
    change(project, revision=git(project, "rev-parse", "HEAD~2").strip() + "-dirty")
    assert line_of(project, "revision").outcome == "ok"
    line = line_of(project, "code")
    assert (line.outcome, line.why) == ("cannot be checked", "it differed from that commit, as the package says")


def test_a_model_that_no_record_names_cannot_be_checked(project: Path) -> None:
    write(project / PACKAGE / "model.safetensors", "other")
    model = project / PACKAGE / "model.safetensors"
    change(project, model_md5=md5_of(model), model_sha256=sha256_of(model))
    found = outcomes(project)
    assert (found["model"], found["record"], found["revision"]) == ("ok", "cannot be checked", "ok")


def test_a_shallow_clone_and_a_git_that_fails_are_told_apart(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "repository"
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repository}", "shallow")
    shallow = tmp_path / "shallow" / project.relative_to(repository)
    lines = {line.what: line for line in check(shallow, project / PACKAGE)}
    assert lines["parameters"].outcome == "ok"
    assert "`git fetch --unshallow`" in lines["revision"].why
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    model, line = check(project, project / PACKAGE)
    assert (model.outcome, line.outcome) == ("ok", "cannot be checked")
    assert "dubious ownership" in line.why


def test_without_a_repository_only_the_file_can_be_checked(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "elsewhere").mkdir()
    model, line = check(tmp_path / "elsewhere", project / PACKAGE)
    assert (model.outcome, line.outcome) == ("ok", "cannot be checked")
    assert "not a git repository" in line.why


@pytest.mark.parametrize("name", [WEIGHTS, "metrics", "nowhere", "params.yaml"])
def test_what_is_no_package_is_one_line(project: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"{name}: no model package, .* is missing; `dvc pull models/classifier`"):
        check(project, project / name)


def test_a_damaged_package_is_one_line(project: Path) -> None:
    change(project, model_md5=None)
    with pytest.raises(DataError, match=r"provenance.json: not readable \(model_md5 .*; fetch the package again"):
        check(project, project / PACKAGE)


def test_the_command(project: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "commands.provenance", *arguments]
        variables = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
        return subprocess.run(command, cwd=project, env=variables, capture_output=True, text=True, check=False)

    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert all(line.startswith("ok ") for line in done.stdout.splitlines())
    assert run(str(PACKAGE / "model.safetensors")).stdout == done.stdout
    change(project, model_sha256="0" * 64)
    done = run()
    assert (done.returncode, done.stdout.count("differs "), done.stderr) == (1, 1, "")
    refused = run("params.yaml")
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
    assert refused.stderr.startswith("error: params.yaml: no model package")


def test_a_repository_without_a_commit_is_told_as_such(project: Path) -> None:
    change(project, revision="0" * 40)
    shutil.rmtree(project / ".git")
    git(project, "init", "--quiet")
    assert line_of(project, "revision").why.endswith(
        "nothing was committed yet; `git add --all && git commit -m start` makes one"
    )
