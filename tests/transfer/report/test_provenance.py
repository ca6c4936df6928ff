"""The revision is that of the code: dirty when code or parameters differ from it, and none with the reason."""

import subprocess
from pathlib import Path

import pytest

from transfer.report.provenance import provenance, revision
from transfer.runtime.files import md5_of, sha256_of

FILES = ("transfer/a.py", "stages/b.py", "dvc.yaml", "params.yaml", "docs/c.md")


def git(root: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    return subprocess.run(
        ["git", *who, *arguments], cwd=root, capture_output=True, text=True, check=True
    ).stdout.strip()


def write_all(root: Path) -> None:
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("a: 1\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    write_all(folder)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def test_a_clean_checkout_is_its_commit_whatever_else_lies_there(root: Path) -> None:
    (root / "docs/c.md").write_text("other")
    (root / "stages/new.py").write_text("")
    assert revision(root / "params.yaml", root) == {"revision": git(root, "rev-parse", "HEAD")}


@pytest.mark.parametrize("name", ["transfer/a.py", "stages/b.py", "dvc.yaml", "params.yaml"])
def test_other_code_or_parameters_are_dirty(root: Path, name: str) -> None:
    git(root, "update-index", "--assume-unchanged", name)  # git itself no longer looks
    for change in (lambda: (root / name).write_text("a: 2\n"), (root / name).unlink):
        change()
        assert revision(root / "params.yaml", root) == {"revision": git(root, "rev-parse", "HEAD") + "-dirty"}


def test_parameters_that_no_commit_holds_are_dirty(root: Path, tmp_path: Path) -> None:
    (root / "other.yaml").write_text("a: 1\n")
    (tmp_path / "params.yaml").write_text("a: 1\n")
    for params in (root / "other.yaml", tmp_path / "params.yaml"):
        assert revision(params, root)["revision"] == git(root, "rev-parse", "HEAD") + "-dirty"


def test_no_commit_and_a_git_that_fails_are_told_apart(root: Path, tmp_path: Path, monkeypatch) -> None:
    def reason(folder: Path) -> str:
        found = revision(folder / "params.yaml", folder)
        assert found["revision"] is None
        assert found["revision_reason"]
        assert "\n" not in found["revision_reason"]
        return found["revision_reason"]

    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    write_all(tmp_path / "alone")
    assert reason(tmp_path / "alone") == "the project is in no git repository"
    write_all(root / "inside")
    assert "inside another git repository" in reason(root / "inside")
    git(tmp_path / "alone", "init", "-q")
    assert reason(tmp_path / "alone") == "nothing was committed yet"
    with monkeypatch.context() as patch:
        patch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own switch for this
        assert "dubious ownership" in reason(root)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "git did not start" in reason(root)


def test_metrics_are_named_by_their_path_in_metrics(root: Path) -> None:
    (root / "metrics/evaluate").mkdir(parents=True)
    for name in ("metrics/evaluate.json", "metrics/evaluate/pairs.tsv", "model"):
        (root / name).write_text(name)
    found = provenance(root / "model", root / "metrics", {"seed": 0}, root / "params.yaml")
    assert found["metrics"] == {"evaluate.json": sha256_of(root / "metrics/evaluate.json")}
    assert (found["model_md5"], found["model_sha256"]) == (md5_of(root / "model"), sha256_of(root / "model"))
    assert found["parameters"] == {"seed": 0}
