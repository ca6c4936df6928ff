"""A clock that is set back and a locale with decimal commas: the same bytes, and no negative time."""

import locale
import shutil
import subprocess
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import ModuleType

import pytest

from stages import evaluate, explore, label_errors, report, robustness, train_head
from tests.stages.conftest import FILES, Arena, files_in, outputs_in

HOUR_S = 3600


@pytest.fixture
def clock_that_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the wall clock shows an hour less than the one before."""
    now, looks = time.time(), count(1)
    monkeypatch.setattr(time, "time", lambda: now - HOUR_S * next(looks))
    monkeypatch.setattr(time, "time_ns", lambda: int((now - HOUR_S * next(looks)) * 1e9))


@pytest.fixture
def decimal_commas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A German locale in force for C and Python, as if a library had called setlocale; made here if need be."""
    if not shutil.which("localedef"):
        pytest.skip("no localedef, with which to make a German locale")
    german = tmp_path / "de_DE.UTF-8"
    made = subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", german], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("localedef has no German locale to make")
    before = locale.setlocale(locale.LC_ALL)
    monkeypatch.setenv("LOCPATH", str(tmp_path))
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    locale.setlocale(locale.LC_ALL, "de_DE.UTF-8")
    assert locale.localeconv()["decimal_point"] == ","
    yield
    locale.setlocale(locale.LC_ALL, before)


@pytest.mark.parametrize("surroundings", ["clock_that_is_set_back", "decimal_commas"])
@pytest.mark.parametrize("stage", [explore, label_errors, train_head, evaluate, robustness, report])
def test_a_stage_gives_the_same_bytes(
    arena: Arena,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
    stage: ModuleType,
    surroundings: str,
) -> None:
    def outputs(folder: str) -> dict[str, dict[str, bytes]]:
        written = outputs_in(folder, stage)
        arena.run(stage, **{**FILES[stage], **written})
        return {option: files_in(arena.file(name)) for option, name in written.items()}

    usual = outputs("usual")
    request.getfixturevalue(surroundings)
    assert outputs("elsewhere") == usual
    assert " -" not in capsys.readouterr().out  # a negative time
