"""The package of a revision: out of a DVC remote where there is no cache, whoever names the remote, or why not."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from commands.packages import PACKAGE, fetched_package
from tests.commands.toy import commit, git
from tests.transfer.deployment.server import picture, started, write_package
from transfer.deployment.predictor import load_predictor
from transfer.runtime.errors import DataError
from transfer.runtime.files import ROOT


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `made`, whose tags `before` and `v1` have a package, and `store`, to which it was pushed.

    The remote is named from v1 on.
    """
    folder = tmp_path_factory.mktemp("pushed")
    made = folder / "made"
    made.mkdir()
    git(made, "init", "--quiet", "--initial-branch=main")
    repo: Any = Repo.init(str(made))
    write_package(made / PACKAGE)
    repo.add(str(made / PACKAGE))
    commit(made, "A model")
    git(made, "tag", "before")
    (made / ".dvc/config").write_text(f"[core]\nremote = store\n['remote \"store\"']\nurl = {folder / 'store'}\n")
    Repo(str(made)).push()
    commit(made, "A remote")
    git(made, "tag", "v1")
    return folder


@pytest.fixture
def clone(pushed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A clone that has neither the model nor a cache."""
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(pushed / "made"), str(clone))
    monkeypatch.chdir(clone)
    yield clone
    assert not PACKAGE.exists()
    assert git(clone, "status", "--porcelain", "--", "models") == ""


@pytest.mark.parametrize("revision", ["v1", "before", "HEAD~1"])
def test_a_clone_has_it_from_the_remote_even_of_before_the_remote(clone: Path, tmp_path: Path, revision: str) -> None:
    assert load_predictor(fetched_package(revision, tmp_path)).package.classes == ("dark", "bright")


def test_it_is_served_and_asked_from_a_clone(clone: Path, tmp_path: Path) -> None:
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    with started([sys.executable, "-m", "commands.serve", "--rev", "v1"], clone, variables) as server:
        assert server.ask("/predict", picture(255))[1]["answers"][0]["answer"] == "bright"
        assert server.ask("/model")[1]["card"] == "# Bright or dark"
    (tmp_path / "dark.png").write_bytes(picture(0))
    words = [sys.executable, "-m", "commands.predict", str(tmp_path / "dark.png"), "--rev", "v1"]
    done = subprocess.run(words, env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1].split()[1] == "dark"


def test_a_remote_that_only_the_revision_names_is_asked(clone: Path, tmp_path: Path) -> None:
    git(clone, "checkout", "--quiet", "before")
    assert load_predictor(fetched_package("v1", tmp_path)).package.classes == ("dark", "bright")
    with pytest.raises(DataError, match=r"^models/classifier of before: neither .* `dvc remote add --default NAME"):
        fetched_package("before", tmp_path / "none")


def test_what_was_not_pushed_or_cannot_be_reached_is_one_line(clone: Path, pushed: Path, tmp_path: Path) -> None:
    """An empty remote, one that does not answer, one that has lost the largest file."""
    store = tmp_path / "store"
    shutil.copytree(pushed / "store", store)
    max((path for path in store.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size).unlink()
    for url, reason in (
        (str(tmp_path / "empty"), "`dvc push` it where it was made"),
        ("ssh://127.0.0.1:1/store", r".*127\.0\.0\.1.*"),
        (str(store), "`dvc push` it where it was made"),
    ):
        Path(".dvc/config.local").write_text(f"['remote \"store\"']\nurl = {url}\n")
        with pytest.raises(DataError, match=rf"^{PACKAGE} of v1: neither in DVC's cache nor in a remote: {reason}$"):
            fetched_package("v1", tmp_path)
        assert not (tmp_path / "package").exists()
