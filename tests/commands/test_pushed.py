"""`make pushed` in a clone without data: fails if the remote lacks an output, is not there, or cannot be asked."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.toy import git, make
from transfer.runtime.files import ROOT


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a repository and its DVC remote, `store`."""
    folder = tmp_path_factory.mktemp("toy")
    make(folder / "whole", folder / "store")
    return folder


@pytest.fixture
def bare(made: Path, tmp_path: Path) -> Path:
    """A clone that has pulled nothing; its remote is `store` beside it."""
    git(tmp_path, "clone", "--quiet", str(made / "whole"), "bare")
    shutil.copytree(made / "store", tmp_path / "store")
    configure(tmp_path / "bare", str(tmp_path / "store"))
    return tmp_path / "bare"


def configure(folder: Path, url: str) -> None:
    config = folder / ".dvc/config"
    config.write_text(re.sub("url = .*", f"url = {url}", config.read_text(encoding="utf-8")), encoding="utf-8")


def pushed(folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["make", "--silent", f"--file={ROOT}/Makefile", "--assume-old=install", "pushed"]
    variables = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


def test_outputs_that_the_remote_lacks_are_named(bare: Path) -> None:
    done = pushed(bare)
    assert (done.returncode, done.stdout, done.stderr) == (0, "store\n", "")
    lock = (bare / "dvc.lock").read_text(encoding="utf-8")
    digest = re.search(r"path: model.txt\n.*\n\s+md5: (\w+)", lock)
    assert digest is not None
    (bare.parent / "store/files/md5" / digest[1][:2] / digest[1][2:]).unlink()
    done = pushed(bare)
    assert done.returncode != 0
    lacking = done.stdout.split("Not in remote:")[1].split("\n\n")[0]
    assert "model.txt" in lacking
    assert "dvc push" in lacking
    assert "numbers.txt" not in lacking


def test_no_remote_is_a_failure(bare: Path) -> None:
    (bare / ".dvc/config").write_text("", encoding="utf-8")
    done = pushed(bare)
    assert done.returncode != 0
    assert "No default remote set" in done.stdout


def test_a_remote_that_cannot_be_asked_is_a_failure(bare: Path) -> None:
    configure(bare, "nothing://store/at/all")
    done = pushed(bare)
    assert done.returncode != 0
    assert "Unsupported URL type nothing://" in done.stderr
