"""The guard's verdict on given records."""

import json
from pathlib import Path

import pytest

from benchmarks.quick import judge
from transfer.runtime.errors import DataError

MEASURED = {"phase 1": 6.0, "phase 2": 1.2}


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    return tmp_path / "quick.json"


def record(path: Path, ratios: dict[str, float]) -> None:
    path.write_text(json.dumps({"ratios": ratios}), encoding="utf-8")


def test_what_was_recorded_passes(recorded: Path) -> None:
    record(recorded, MEASURED)
    assert judge(recorded, MEASURED) == 0


def test_a_loss_fails_and_names_its_ratio(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(recorded, {"phase 1": 6.5, "phase 2": 1.6})
    assert judge(recorded, MEASURED) == 1
    assert capsys.readouterr().err == "error: slower than recorded: phase 2: 1.20, was 1.60: a loss of 25%\n"


def test_without_a_record_it_says_what_to_do(recorded: Path) -> None:
    with pytest.raises(DataError, match="--record"):
        judge(recorded, MEASURED)
