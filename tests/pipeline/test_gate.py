"""The gate on what real runs wrote: met, missed, judged by another minimum, missing or damaged; always one line."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.workspace import CLASSES, ROOT, command, dvc, set_parameter

MINIMUM = "evaluate.minimum_macro_f1"


def gate(workspace: Path, metrics: Path | None = None) -> subprocess.CompletedProcess[str]:
    arguments = [str(metrics or workspace / "metrics/evaluate.json"), "--params", str(workspace / "params.yaml")]
    return command(ROOT, sys.executable, "-m", "commands.gate", *arguments, check=False)


def line_of_failure(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def read_metrics(workspace: Path) -> dict:
    return json.loads((workspace / "metrics/evaluate.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory, copy_of_finished: Callable[[Path], Path]) -> Callable:
    """Workspaces evaluated by a minimum, made when first asked for."""
    made: dict[float, Path] = {}

    def by(minimum: float) -> Path:
        if minimum not in made:
            made[minimum] = copy_of_finished(tmp_path_factory.mktemp("judged"))
            set_parameter(made[minimum], MINIMUM, minimum)
            dvc(made[minimum], "repro", "--single-item", "evaluate")
        return made[minimum]

    return by


def test_a_minimum_that_is_met_passes(judged: Callable) -> None:
    done = gate(judged(0.0))
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"minimum viable accuracy met: macro F1 {read_metrics(judged(0.0))['macro_f1']:.4f}, {MINIMUM} 0.0"
    ]


def test_a_minimum_that_is_missed_blocks_and_names_the_weakest(judged: Callable) -> None:
    metrics = read_metrics(judged(1.0))
    assert metrics["macro_f1"] < 1  # or nothing would be missed
    line = line_of_failure(gate(judged(1.0)))
    assert line.startswith(f"minimum viable accuracy missed: macro F1 {metrics['macro_f1']:.4f}, {MINIMUM} 1.0; ")
    f1 = {name: metrics["per_class"][name]["f1"] for name in CLASSES}
    named = ", ".join(f"{name} {f1[name]:.4f}" for name in sorted(CLASSES, key=f1.__getitem__))
    assert line.endswith(f"weakest classes by F1: {named}")


def test_only_the_three_weakest_are_named(judged: Callable, tmp_path: Path) -> None:
    metrics = read_metrics(judged(1.0))
    metrics["per_class"] = {f"c{i}": {"f1": value} for i, value in enumerate([0.5, 0.1, 0.4, 0.2, 0.3])}
    (tmp_path / "five.json").write_text(json.dumps(metrics), encoding="utf-8")
    line = line_of_failure(gate(judged(1.0), tmp_path / "five.json"))
    assert line.endswith("weakest classes by F1: c1 0.1000, c3 0.2000, c4 0.3000")


def test_a_verdict_by_another_minimum_is_no_verdict(judged: Callable, tmp_path: Path) -> None:
    metrics = judged(0.0) / "metrics/evaluate.json"
    line = line_of_failure(gate(judged(1.0), metrics))
    assert f"{MINIMUM} = 1.0" in line
    assert "dvc repro evaluate" in line


def test_a_missing_file_says_what_to_run(judged: Callable, tmp_path: Path) -> None:
    line = line_of_failure(gate(judged(0.0), tmp_path / "nothing.json"))
    assert line.startswith(f"error: {tmp_path}/nothing.json: No such file")
    assert "dvc repro evaluate" in line


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
        (lambda text: text.replace('"f1"', '"f2"', 1), f"per_class.{CLASSES[0]}.f1: Field required"),
        (lambda text: text.replace('"per_class"', '"classes"'), "per_class: Field required"),
        (lambda text: text.replace('"macro_f1": ', '"macro_f1": NaN, "was": '), "macro_f1: "),
    ],
    ids=["truncated", "empty", "a list", "bytes", "no F1", "not a verdict", "no verdict", "no f1", "no class", "NaN"],
)
def test_a_damaged_file_says_what_to_run(judged: Callable, tmp_path: Path, damage: Callable, told: str) -> None:
    text = (judged(0.0) / "metrics/evaluate.json").read_text(encoding="utf-8")
    damaged = tmp_path / "evaluate.json"
    damaged.write_bytes(damage(text).encode("utf-8", "surrogateescape"))
    line = line_of_failure(gate(judged(0.0), damaged))
    assert line.startswith(f"error: {damaged}: not the figures of an evaluation (")
    assert told in line
    assert "dvc repro evaluate" in line


def test_a_wrong_minimum_is_named(judged: Callable, tmp_path: Path) -> None:
    parameters = tmp_path / "params.yaml"
    parameters.write_text("evaluate:\n  minimum_macro_f1: 65\n", encoding="utf-8")
    metrics = str(judged(0.0) / "metrics/evaluate.json")
    done = command(ROOT, sys.executable, "-m", "commands.gate", metrics, "--params", str(parameters), check=False)
    assert f"{MINIMUM} = 65: " in line_of_failure(done)
