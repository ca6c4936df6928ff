"""What git makes of this repository on other people's machines."""

import shutil
import subprocess
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from transfer.runtime.files import ROOT


def git(folder: Path, *arguments: str) -> str:
    person = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    return subprocess.run(["git", *person, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with this one's rules."""
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in (".gitattributes", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    git(folder, "init", "--quiet")
    return folder


def test_a_clone_with_other_line_ends_has_the_same_bytes(repository: Path, tmp_path: Path) -> None:
    content = b"one\ntwo\r\n\x00three\n"
    for name in ("params.yaml", "transfer.py", "picture.png"):
        (repository / name).write_bytes(content.replace(b"\x00", b"") if name != "picture.png" else content)
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "-m", "all")
    git(tmp_path, "clone", "--quiet", "-c", "core.autocrlf=true", str(repository), "clone")
    for name in ("params.yaml", "transfer.py", "picture.png"):
        assert (tmp_path / "clone" / name).read_bytes() == (repository / name).read_bytes()


@pytest.mark.parametrize("name", ["state", "data", "models", ".venv", ".uv", "demo"])
def test_what_lies_elsewhere_is_not_committed_as_a_link(repository: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "large disk").mkdir()
    (repository / name).symlink_to(tmp_path / "large disk")
    git(repository, "add", "--all")
    assert git(repository, "ls-files").split() == [".gitattributes", ".gitignore"]


def alike(names: Iterable[str]) -> list[str]:
    """Those that are one name to a disk that knows no case (macOS, Windows) or another form of accents (macOS)."""
    of = Counter(unicodedata.normalize("NFD", name).casefold() for name in set(names))
    return [name for name in names if of[unicodedata.normalize("NFD", name).casefold()] > 1]


def test_no_two_files_or_outputs_have_names_that_a_disk_without_case_takes_for_one() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"].values()
    options = [word for stage in stages for word in stage["cmd"].split() if "/" in word]
    files = git(ROOT, "ls-files", "-z").split("\0")
    assert alike([*files, *options]) == []
    assert alike(["metrics/Cat.tsv", "metrics/cat.tsv", "metrics/dog.tsv"]) == ["metrics/Cat.tsv", "metrics/cat.tsv"]


@pytest.mark.parametrize("name", ["data/README.md", "models/README.md"])
def test_what_describes_a_folder_is_committed(repository: Path, name: str) -> None:
    (repository / name).parent.mkdir()
    (repository / name).touch()
    (repository / name).with_name("other").touch()
    git(repository, "add", "--all")
    assert name in git(repository, "ls-files").split()
    assert not any(path.endswith("other") for path in git(repository, "ls-files").split())
