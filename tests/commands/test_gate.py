"""The gate: met, missed, judged by another minimum, missing or damaged metrics; always one line."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from commands.gate import main
from tests.transfer.report.healthy_run import METRICS
from transfer.runtime.errors import DataError, ParameterError
from transfer.runtime.files import ROOT

MINIMUM = "evaluate.minimum_macro_f1"
F1 = {"cat": 0.5, "dog": 0.1, "ship": 0.4, "truck": 0.2, "frog": 0.3}


def write(folder: Path, met: bool) -> Path:
    """What an evaluation wrote whose macro F1 is 0.3, as the stage evaluate writes it."""
    per_class = {name: {**METRICS["evaluate"]["per_class"]["cat"], "f1": f1} for name, f1 in F1.items()}
    scores: dict[str, Any] = {**METRICS["evaluate"], "macro_f1": 0.3, "mva_met": met, "per_class": per_class}
    path = folder / "evaluate.json"
    path.write_text(json.dumps(scores), encoding="utf-8")
    return path


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, Any], int]:
    def run(metrics: Path, minimum: Any) -> int:
        (tmp_path / "params.yaml").write_text(f"evaluate:\n  minimum_macro_f1: {minimum}\n", encoding="utf-8")
        monkeypatch.setattr(sys, "argv", ["gate", str(metrics), "--params", str(tmp_path / "params.yaml")])
        return main()

    return run


def test_a_minimum_that_is_met_passes(gate: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gate(write(tmp_path, met=True), 0.3) == 0
    assert capsys.readouterr() == (f"minimum viable accuracy met: macro F1 0.3000, {MINIMUM} 0.3\n", "")


def test_a_minimum_that_is_missed_blocks_and_names_the_three_weakest(
    gate: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gate(write(tmp_path, met=False), 1.0) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f"minimum viable accuracy missed: macro F1 0.3000, {MINIMUM} 1.0; "
        "weakest classes by F1: dog 0.1000, truck 0.2000, frog 0.3000\n"
    )


def test_a_verdict_by_another_minimum_is_no_verdict(gate: Callable, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"{MINIMUM} = 0.9: .* run `dvc repro evaluate`"):
        gate(write(tmp_path, met=True), 0.9)


def test_a_missing_file_says_what_to_run(gate: Callable, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing.json: No such file.*; run `dvc repro evaluate` first"):
        gate(tmp_path / "nothing.json", 0.3)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda text: text[: len(text) // 2], "JSON"),
        (lambda text: "", "JSON"),
        (lambda text: "[1, 2]", "object"),
        (lambda text: "\x00\udcff", "JSON"),
        (lambda text: text.replace('"macro_f1"', '"f1"'), "macro_f1: Field required"),
        (lambda text: text.replace('"mva_met": true', '"mva_met": "yes"'), "mva_met: "),
        (lambda text: text.replace('"mva_met"', '"mva"'), "mva_met: Field required"),
        (lambda text: text.replace('"f1"', '"f2"', 1), "per_class.cat.f1: Field required"),
        (lambda text: text.replace('"per_class"', '"classes"'), "per_class: Field required"),
        (lambda text: text.replace('"macro_f1": ', '"macro_f1": NaN, "was": '), "macro_f1: "),
    ],
    ids=["truncated", "empty", "a list", "bytes", "no F1", "not a verdict", "no verdict", "no f1", "no class", "NaN"],
)
def test_a_damaged_file_says_what_to_run(gate: Callable, tmp_path: Path, damage: Callable, told: str) -> None:
    path = write(tmp_path, met=True)
    path.write_bytes(damage(path.read_text(encoding="utf-8")).encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError) as error:
        gate(path, 0.3)
    assert str(error.value).startswith(f"{path}: not the figures of an evaluation (")
    assert told in str(error.value)
    assert str(error.value).endswith("run `dvc repro evaluate` again")


def test_a_wrong_minimum_is_named(gate: Callable, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=f"{MINIMUM} = 65: "):
        gate(write(tmp_path, met=True), 65)


def test_an_error_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "commands.gate", str(tmp_path / "nothing.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {tmp_path}/nothing.json: ")
    assert done.stderr.count("\n") == 1
