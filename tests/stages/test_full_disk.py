"""A disk that is full when an output is written: one line that names it, exit 1, and every file as it was before.

Each stage runs as from the command line. The disk is full from the moment that the file under test is begun, so
that each one is hit, whatever was written before it; an audit hook (PEP 578) sees that moment.
"""

import atexit
import os
import resource
import runpy
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from stages import fine_tune, resize, train_head
from tests.stages.conftest import FILES, Arena, outputs_of


class Disk:
    """From the first event about a file of a given name on, no file grows beyond a size."""

    def __init__(self) -> None:
        self.waits_for, self.size, self.hit = "", 0, False
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        sys.addaudithook(self.hook)  # stays until the process ends

    def full_from(self, name: str, size: int) -> None:
        self.waits_for, self.size, self.hit = name, size, False

    def hook(self, event: str, arguments: tuple) -> None:
        if not self.waits_for or event not in ("os.remove", "open"):
            return
        if isinstance(arguments[0], str | os.PathLike) and self.is_meant(Path(arguments[0])):
            self.waits_for, self.hit = "", True
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.before[1]))

    def is_meant(self, path: Path) -> bool:
        """Whether a path is the temporary sibling of the output, or the output inside such a folder."""
        inside = path.parent.name.endswith(".partial") and f".{path.name}.partial" == self.waits_for
        return path.name == self.waits_for or inside

    def free(self) -> None:
        self.waits_for = ""
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


@pytest.fixture(scope="module")
def _hooked() -> Disk:
    return Disk()


@pytest.fixture
def disk(_hooked: Disk) -> Iterator[Disk]:
    terminate = signal.getsignal(signal.SIGTERM)
    yield _hooked
    _hooked.free()
    signal.signal(signal.SIGTERM, terminate)  # a stage sets its own


def refusal(
    arena: Arena,
    stage: ModuleType,
    disk: Disk,
    state: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    """The one line with which the stage exits."""
    parameters = arena.file("params.yaml")
    parameters.write_text(yaml.safe_dump(arena.parameters, sort_keys=False), encoding="utf-8")
    name = stage.__name__
    options = [f"--{option.replace('_', '-')}={arena.file(file)}" for option, file in FILES[stage].items()]
    monkeypatch.setenv("TRANSFER_STATE", str(state))
    monkeypatch.setattr(sys, "argv", [name, f"--params={parameters}", *options])
    before = arena.digests()
    monkeypatch.setattr(os, "_exit", sys.exit)  # a stage leaves without ceremony, these tests stay
    monkeypatch.setattr(atexit, "_run_exitfuncs", lambda: None)
    with pytest.raises(SystemExit) as left:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    disk.free()
    assert disk.hit
    assert left.value.code == 1
    assert arena.digests() == before
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "File too large" in line
    return line


pytestmark = pytest.mark.slow  # each stage runs once for each of its files
own_process_names = pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")


@own_process_names
@pytest.mark.parametrize("stage", FILES, ids=lambda stage: stage.__name__)
def test_every_output(
    arena: Arena,
    disk: Disk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stage: ModuleType,
) -> None:
    outputs = [arena.file(FILES[stage][option]) for option in outputs_of(stage)]
    written = [path for output in outputs for path in [output, *sorted(output.rglob("*"))] if path.is_file()]
    assert written
    for path in written:
        disk.full_from(f".{path.name}.partial", path.stat().st_size // 2)
        line = refusal(arena, stage, disk, tmp_path, monkeypatch, capsys)
        assert any(str(place) in line for place in (path, *path.parents) if place in (path, *outputs)), line


@own_process_names
@pytest.mark.parametrize("stage", [train_head, fine_tune])
@pytest.mark.parametrize(
    ("file", "size"),
    [(".state.pt.partial", 1000), ("loss.tsv", 0), ("metrics.json", 0)],
    ids=["saved state", "DVCLive's curve", "DVCLive's summary"],
)
def test_what_a_trainer_writes_on_the_way(
    arena: Arena,
    disk: Disk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stage: ModuleType,
    file: str,
    size: int,
) -> None:
    disk.full_from(file, size)
    refusal(arena, stage, disk, tmp_path, monkeypatch, capsys)
    assert list(tmp_path.rglob("*.partial")) == []


@own_process_names
def test_the_notes_of_times(
    arena: Arena, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    disk.full_from("timings.tsv", 0)
    refusal(arena, resize, disk, tmp_path, monkeypatch, capsys)
