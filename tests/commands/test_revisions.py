"""Files of a revision: of a project that is a sub-directory, missing, or unreadable because git fails."""

import subprocess
from pathlib import Path

import pytest

from commands.revisions import WORKSPACE, experiments, files_in, read, read_bytes, resolve
from tests.commands.toy import commit, git
from transfer.runtime.errors import DataError


@pytest.fixture(params=[".", "models/classifier one"], ids=["root", "sub-directory"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A project in a git repository, committed once, and an experiment `idea` of it; a file of that name lies above."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    (tmp_path / "metrics.json").write_text("above", encoding="utf-8")
    folder = tmp_path / request.param
    (folder / "metrics/evaluate").mkdir(parents=True)
    (folder / "metrics.json").write_text("ä\r\n", encoding="utf-8", newline="")
    (folder / "metrics/evaluate/a b.tsv").write_bytes(b"\x00\xff\n\n")
    commit(tmp_path, "First")
    git(tmp_path, "update-ref", "refs/exps/00/1234/idea", "HEAD")
    (folder / "metrics.json").write_text("edited", encoding="utf-8")
    return folder


def test_paths_are_from_the_project(project: Path) -> None:
    head = resolve(project, "HEAD")
    assert resolve(project, "idea") == resolve(project, "main") == head
    assert read(project, head, "metrics.json") == "ä\r\n"
    assert read(project, WORKSPACE, "metrics.json") == "edited"
    assert read_bytes(project, head, "metrics/evaluate/a b.tsv") == b"\x00\xff\n\n"
    for revision in (head, WORKSPACE):
        assert files_in(project, revision, "metrics") == ["metrics/evaluate/a b.tsv"]
        assert files_in(project, revision, "report") == []
        assert read(project, revision, "metrics/none.json") is None
        assert read(project, revision, "metrics") is None


def test_a_git_that_fails_is_told_with_its_own_reason(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = resolve(project, "HEAD")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    for ask in (lambda: read(project, head, "metrics.json"), lambda: resolve(project, "HEAD")):
        with pytest.raises(DataError, match=r"^git [\w-]+: fatal: .*dubious ownership.*safe.directory") as error:
            ask()
        assert "\n" not in str(error.value)


def test_outside_git_only_the_workspace_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "metrics.json").write_text("{}", encoding="utf-8")
    assert read(tmp_path, WORKSPACE, "metrics.json") == "{}"
    way_out = r"not a git repository; `git init .* git commit .*` makes it one; without git .* core\.no_scm .* do not$"
    for ask in (lambda: read(tmp_path, "HEAD", "metrics.json"), lambda: experiments(tmp_path)):
        with pytest.raises(DataError, match=way_out):
            ask()


def test_before_the_first_commit_no_experiment_can_be_and_the_way_out_is_told(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    for ask in (lambda: experiments(tmp_path), lambda: resolve(tmp_path, "main")):
        with pytest.raises(DataError, match=r": no commit yet; `git add --all && git commit -m start` makes one$"):
            ask()
    (tmp_path / "a").touch()
    commit(tmp_path, "First")
    git(tmp_path, "checkout", "--quiet", "--orphan", "apart")
    assert experiments(tmp_path) == {}
    assert len(resolve(tmp_path, "main")) == 40


def test_without_the_program_git_it_is_told_to_install_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DataError, match=r"^git: no such program; install it; without git .* `dvc repro` run"):
        experiments(project)


def test_an_unknown_name_says_where_to_look(project: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such experiment or revision; `dvc exp list --all`"):
        resolve(project, "nowhere")
    git(project, "commit", "--quiet", "--all", "--message", "Second")
    subprocess.run(["git", "clone", "--quiet", "--depth=1", f"file://{tmp_path}", "shallow"], cwd=tmp_path, check=True)
    with pytest.raises(DataError, match="this clone is shallow, and `git fetch --unshallow`"):
        resolve(tmp_path / "shallow", "nowhere")
