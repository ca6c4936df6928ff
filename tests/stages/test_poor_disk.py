"""Disks that refuse calls, as network and virtual machines' disks do: to each process of a stage, by LD_PRELOAD.

What a disk does not offer changes no result; what fails is one line that names the file, exit 1, all files as before.
"""

import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from stages import resize, train_head
from tests.stages.conftest import FILES, Arena, files_in, outputs_in
from transfer.runtime.files import ROOT

pytestmark = [
    pytest.mark.slow,  # a process for each refusal
    pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is Linux's"),
    pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler"),
]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("shim") / "poor_disk.so"
    source = Path(__file__).with_name("poor_disk.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.fixture
def run(shim: Path, tmp_path: Path) -> Run:
    """Run a program on a disk that refuses some calls, and see that it met each of them."""

    def run(*command: str | Path, where: str, cwd: Path = ROOT, **refusals: str) -> subprocess.CompletedProcess[str]:
        log = tmp_path / "refused"
        poor = " ".join(f"{call.replace('_', '-')}:{getattr(errno, name)}" for call, name in refusals.items())
        disk = {"LD_PRELOAD": str(shim), "POOR": poor, "POOR_IN": where, "POOR_LOG": str(log)}
        variables = {**os.environ, "OMP_NUM_THREADS": "1", "TRANSFER_STATE": str(tmp_path / "state"), **disk}
        done = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)
        met = set(log.read_text().split()) if log.exists() else set()
        assert met == {call.replace("_", "-") for call in refusals}, done.stderr
        return done

    return run


def command_of(arena: Arena, stage: ModuleType, outputs: dict[str, str]) -> list[str]:
    parameters = arena.file("params.yaml")
    parameters.write_text(yaml.safe_dump(arena.parameters, sort_keys=False), encoding="utf-8")
    files = {option: arena.file(name) for option, name in {**FILES[stage], **outputs}.items()}
    options = [f"--{option.replace('_', '-')}={path}" for option, path in files.items()]
    return [sys.executable, "-m", stage.__name__, f"--params={parameters}", *options]


@pytest.mark.parametrize(
    "refusals",
    [
        {"fsync_folder": "EINVAL"},
        {"fsync": "EINVAL"},
        {"fsync": "ENOSYS"},
        {"flock": "ENOLCK"},
        {"flock": "ENOSYS"},
        {"fsync": "EOPNOTSUPP", "flock": "EOPNOTSUPP"},
    ],
    ids=str,
)
def test_what_a_disk_does_not_offer_changes_no_result(arena: Arena, run: Run, refusals: dict[str, str]) -> None:
    results = []
    for folder, missing in (("usual", {}), ("poor", refusals)):
        outputs = outputs_in(folder, train_head)
        done = run(*command_of(arena, train_head, outputs), where="", **missing)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("cannot flush") == any(call.startswith("fsync") for call in missing)
        results.append({option: files_in(arena.file(name)) for option, name in outputs.items()})
    assert results[0] == results[1]
    assert list(arena.folder.rglob("*.owner.lock")) == []


@pytest.mark.parametrize("reason", ["ENOSPC", "EDQUOT", "EROFS", "EIO"])
@pytest.mark.parametrize("call", ["create", "write", "fsync", "rename"])
def test_a_call_that_fails_is_one_line_and_leaves_all_as_it_was(arena: Arena, run: Run, call: str, reason: str) -> None:
    resized = arena.file(FILES[resize]["resized"])
    before = files_in(resized)
    done = run(*command_of(arena, resize, {}), where=".partial", **{call: reason})
    assert done.returncode == 1
    assert re.fullmatch(
        rf"error: \S*{FILES[resize]['resized']}\S*: {os.strerror(getattr(errno, reason))};.*\n", done.stderr
    )
    assert files_in(resized) == before
    assert list(resized.rglob(".*")) == []


@pytest.mark.parametrize("reason", ["ENOSPC", "EDQUOT", "EROFS"])
def test_a_folder_that_cannot_be_made_is_one_line(arena: Arena, run: Run, reason: str) -> None:
    done = run(*command_of(arena, resize, {"resized": f"none {reason}/val"}), where=f"none {reason}", mkdir=reason)
    assert done.returncode == 1
    assert re.fullmatch(rf"error: \S*none {reason}\S*: {os.strerror(getattr(errno, reason))};.*\n", done.stderr)


def test_a_disk_without_links_keeps_copies(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    (folder / ".dvc").mkdir(parents=True)
    settings = (ROOT / ".dvc/config").read_text(encoding="utf-8").replace("[core]", "[core]\n    no_scm = true")
    (folder / ".dvc/config").write_text(settings, encoding="utf-8")
    (folder / "dvc.yaml").write_text("stages:\n  make:\n    cmd: echo made > made.txt\n    outs: [made.txt]\n")
    links = {"link": "EPERM", "symlink": "EPERM"}
    dvc = [sys.executable, "-m", "dvc"]
    done = run(*dvc, "repro", where=str(folder), cwd=folder, **links)
    assert done.returncode == 0, done.stderr
    (folder / "made.txt").unlink()
    done = run(*dvc, "checkout", where=str(folder), cwd=folder, **links)
    assert done.returncode == 0, done.stderr
    assert (folder / "made.txt").read_text() == "made\n"
