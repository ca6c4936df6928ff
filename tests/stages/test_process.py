"""A stage in a process of its own, as a strict user, without a home, or with a path of any letters: the same bytes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stages import explore
from tests.stages.conftest import FILES, Arena, files_in, outputs_in
from transfer.runtime.files import ROOT

HOMES = ("HOME", "MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")


def explored(arena: Arena, folder: str, home: Path, umask: int = 0o022) -> dict[str, dict[str, bytes]]:
    """What the stage writes, which draws with matplotlib, that keeps a cache at home."""
    params, outputs = arena.file(f"{folder}/params.yaml"), outputs_in(folder, explore)
    params.parent.mkdir(parents=True)
    params.write_text(yaml.safe_dump(arena.parameters, sort_keys=False), encoding="utf-8")
    options = [f"--{name.replace('_', '-')}={arena.file(path)}" for name, path in (FILES[explore] | outputs).items()]
    variables = {name: value for name, value in os.environ.items() if name not in HOMES}
    done = subprocess.run(
        [sys.executable, "-m", explore.__name__, f"--params={params}", *options],
        cwd=ROOT,
        env=variables | {"HOME": str(home), "TRANSFER_STATE": str(params.parent / "state")},
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {option: files_in(arena.file(path)) for option, path in outputs.items()}


@pytest.fixture(scope="module")
def usual(arena: Arena, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    return explored(arena, "process/usual", tmp_path_factory.mktemp("home"))


def test_with_umask_077_what_a_stage_writes_is_for_its_user_alone(arena: Arena, tmp_path: Path, usual: dict) -> None:
    assert explored(arena, "process/strict", tmp_path, 0o077) == usual
    written = [path for path in arena.file("process/strict").rglob("*") if path.name != "params.yaml"]
    assert written
    assert [path for path in written if path.is_file() and path.stat().st_mode & 0o077] == []


def test_a_home_that_cannot_be_written_to_is_no_hindrance(arena: Arena, usual: dict) -> None:
    assert explored(arena, "process/homeless", Path("/proc")) == usual  # where not even root makes a file


def test_a_path_may_hold_spaces_and_any_letters(arena: Arena, tmp_path: Path, usual: dict) -> None:
    assert explored(arena, "process/my Käse 猫 (1) 'x' $y", tmp_path) == usual


def test_a_stage_starts_without_torchs_compiler_which_is_there_for_whoever_asks() -> None:
    script = """
import sys
import stages.evaluate, stages.robustness, stages.audit
print([name for name in sys.modules if name.startswith("torch._inductor")])
import torch, torchvision
boxes, maps = torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.ones(1, 1, 4, 4)
from torchvision.ops import roi_align
print(roi_align(maps, [boxes], 1).item(), roi_align.__globals__["is_compile_supported"]("cpu"))
from torch._dynamo import utils
print(utils.__file__.endswith("utils.py"), sys.modules["torch._dynamo.utils"] is utils)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "1.0 True", "True True"]
