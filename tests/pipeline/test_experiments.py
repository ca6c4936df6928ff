"""Experiments, comparisons, a remote, wrong parameters and plots, as a user types them."""

import filecmp
import json
import math
import re
import time
from pathlib import Path

import pytest
from dvc.utils.serialize import load_yaml

from tests.pipeline.contract import read_declared
from tests.pipeline.workspace import (
    CLASSES,
    TEST_EACH,
    command,
    commit,
    dvc,
    files_of,
    git,
    read_yaml,
    set_parameter,
    stages_run,
)

LONGEST_QUEUE_S = 600  # a bound for a worker that hangs, many times what it needs


def show(workspace: Path, *arguments: str) -> dict:
    return json.loads(dvc(workspace, *arguments, "--json").stdout)


def test_an_experiment_reruns_what_follows_and_shows_in_a_comparison(finished: Path) -> None:
    before = read_yaml(finished / "params.yaml")["train"]["lr"]
    done = dvc(finished, "exp", "run", "-S", "train.lr=1e-5")
    assert stages_run(done.stdout) == [
        *("fine_tune", "evaluate", "unknown", "export", "robustness", "grad_cam", "audit", "report"),
    ]
    recorded = load_yaml(str(finished / "dvc.lock"))["stages"]["fine_tune"]["params"]["params.yaml"]
    assert recorded["train.lr"] == 1e-5  # a number, read as DVC reads it
    commit(finished, "A lower learning rate")
    parameters = show(finished, "params", "diff", "HEAD~1", "HEAD")
    assert parameters.keys() == {"params.yaml"}
    assert parameters["params.yaml"].keys() == {"train.lr"}
    assert parameters["params.yaml"]["train.lr"]["new"] == 1e-5
    metrics = show(finished, "metrics", "diff", "HEAD~1", "HEAD")
    assert "metrics/fine_tune.json" in metrics
    assert metrics["metrics/fine_tune.json"]["train.loss"]["diff"] != 0
    assert not {"metrics/train_head.json", "metrics/subsample.json"} & metrics.keys()
    assert "train.lr" in dvc(finished, "params", "diff", "HEAD~1").stdout
    whole = dvc(finished, "metrics", "show").stdout
    assert "macro_f1" in whole
    for shown in (dvc(finished, "metrics", "diff", "HEAD~1").stdout, whole):
        assert "train.loss" in shown
        assert max(map(len, shown.splitlines())) <= 160
        assert len(shown.splitlines()) <= 15
    set_parameter(finished, "train.lr", before)
    # The run cache still has what this value gave, but for the report, which DVC does not keep.
    assert stages_run(dvc(finished, "repro").stdout) == ["report"]
    assert git(finished, "diff", "HEAD~1", "--stat", "--", "metrics") == ""


def test_a_temporary_experiment_leaves_the_workspace_as_it_is(finished: Path) -> None:
    done = dvc(finished, "exp", "run", "--temp", "--name", "two", "-S", "grad_cam.examples=2")
    assert stages_run(done.stdout) == ["grad_cam", "report"]
    assert git(finished, "status", "--porcelain") == ""
    assert "two" in dvc(finished, "exp", "list", "--name-only").stdout.split()
    before = (finished / "metrics/grad_cam/pictures/examples.png").read_bytes()
    dvc(finished, "exp", "apply", "two")
    assert read_yaml(finished / "params.yaml")["grad_cam"]["examples"] == 2
    assert (finished / "metrics/grad_cam/pictures/examples.png").read_bytes() != before


def queue_is_done(workspace: Path) -> bool:
    status = dvc(workspace, "queue", "status").stdout
    return "Queued" not in status and "Running" not in status


@pytest.mark.series  # now and then DVC's queue reads half a message of its own, and its worker answers no more
def test_a_queued_experiment_runs_in_a_worker(finished: Path) -> None:
    dvc(finished, "exp", "run", "--queue", "--name", "queued", "-S", "grad_cam.examples=3")
    dvc(finished, "queue", "start")
    started = time.monotonic()
    try:
        while not queue_is_done(finished) and time.monotonic() - started < LONGEST_QUEUE_S:
            time.sleep(3)
    finally:
        dvc(finished, "queue", "stop", "--kill", check=False)
    status = dvc(finished, "queue", "status").stdout
    log = dvc(finished, "queue", "logs", "queued", check=False).stdout
    assert "Success" in status, status + log
    assert stages_run(log) == ["grad_cam", "report"]
    assert "queued" in dvc(finished, "exp", "list", "--name-only").stdout.split()
    assert git(finished, "status", "--porcelain") == ""


def test_a_clone_pulls_everything_and_has_nothing_to_run(finished: Path, tmp_path: Path) -> None:
    dvc(finished, "remote", "add", "--default", "store", str(tmp_path / "store"))
    commit(finished, "A remote")
    dvc(finished, "push")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(finished), str(clone))
    assert not (clone / "data/predictions.npz").exists()
    dvc(clone, "pull")
    assert "up to date" in dvc(clone, "status").stdout
    assert stages_run(dvc(clone, "repro").stdout) == []
    assert git(clone, "status", "--porcelain") == ""
    assert files_of(clone) == files_of(finished)
    assert filecmp.cmpfiles(finished, clone, files_of(finished), shallow=False)[1:] == ([], [])


def errors_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize(
    ("stage", "name", "value", "told"),
    [
        ("resize@val", "resize.size_px", "abc", ["resize.size_px", "'abc'", "integer"]),
        ("resize@val", "resize.size_px", 7, ["resize.size_px", "7", "greater than or equal to 8"]),
        ("resize@val", "resize.size", 32, ["resize.size", "unknown parameter", "size_px"]),
        ("resize@val", "resize.interpolation", None, ["resize.interpolation", "None", "'cubic'"]),
        ("download", "download.timeout_s", float("nan"), ["download.timeout_s", "nan", "finite"]),
        ("subsample", "subsample.val_size", 36, ["subsample", "val_size must be below train_size"]),
        ("fine_tune", "train.lr", -1, ["train.lr", "-1", "greater than 0"]),
    ],
)
def test_a_wrong_parameter_is_one_line_and_touches_nothing(
    finished: Path, stage: str, name: str, value: object, told: list[str]
) -> None:
    set_parameter(finished, name, value)
    before = git(finished, "status", "--porcelain")
    contents = {path: (finished / path).read_bytes() for path in files_of(finished)}
    done = command(finished, *read_declared(finished)[stage].command, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert [text for text in told if text not in line] == []
    assert git(finished, "status", "--porcelain") == before
    assert contents == {path: (finished / path).read_bytes() for path in files_of(finished)}


def test_a_wrong_parameter_stops_an_experiment(finished: Path) -> None:
    done = dvc(finished, "exp", "run", "-S", "train.lr=abc", check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    (line,) = errors_of(done.stderr)
    assert "train.lr" in line
    assert "'abc'" in line
    assert not (finished / "models/model.safetensors").exists()  # DVC removes outputs before a stage runs
    assert list(finished.rglob("*.partial")) == []
    git(finished, "checkout", "--", "params.yaml", "dvc.lock")
    dvc(finished, "repro")
    assert git(finished, "status", "--porcelain") == ""  # the values of before give the files of before


PICTURES = {
    "audit": ("sheet",),
    "evaluate": ("predictions", "errors", "label_errors"),
    "explore": ("examples", "means", "interpolation"),
    "grad_cam": ("examples", "errors", "pairs"),
    "label_errors": ("suspects",),
    "leakage": ("copies",),
    "robustness": ("conditions",),
}


def plotted(page: str, name: str) -> tuple[list[dict[str, str]], str]:
    """The rows that a plot of the page draws, and the rest of its Vega-Lite specification as text."""
    (text,) = re.findall(rf"var spec = (.*);\s*vegaEmbed\('#{name}', spec\)", page)
    specification = json.loads(text)
    return specification.pop("data")["values"], json.dumps(specification)


def check_curves(page: str, name: str) -> None:
    """Each curve of both phases has its two epochs, which count on from phase 1 to phase 2."""
    rows, specification = plotted(page, name)
    assert '"field": "epoch"' in specification
    for phase, epochs in (("train_head", [1, 2]), ("fine_tune", [3, 4])):
        for split in ("train", "val"):
            field = f"{split}_{name}"
            drawn = [row for row in rows if row["filename::field"] == f"{phase}.tsv::{field}"]
            # Phase 2 is validated before its first epoch, when nothing of it has been trained.
            start = [2] if phase == "fine_tune" else []
            assert [int(row["epoch"]) for row in drawn] == [*start, *epochs]
            known = [row for row in drawn if row[field]]
            assert [int(row["epoch"]) for row in known] == [*(start if split == "val" else []), *epochs]
            assert all(math.isfinite(float(row[field])) for row in known)


def test_plots_show_every_plot_with_its_data(finished: Path) -> None:
    dvc(finished, "plots", "show", "--out", "page")
    page = (finished / "page/index.html").read_text(encoding="utf-8")
    check_curves(page, "accuracy")
    check_curves(page, "loss")
    predictions, specification = plotted(page, "metrics_evaluate_confusion_tsv")
    assert len(predictions) == TEST_EACH * len(CLASSES)
    assert {row["actual"] for row in predictions} == set(CLASSES)
    assert {row["predicted"] for row in predictions} <= set(CLASSES)
    assert '"field": "predicted"' in specification
    assert '"field": "actual"' in specification
    scores, specification = plotted(page, "metrics_evaluate_per_class_tsv")
    expected = json.loads((finished / "metrics/evaluate.json").read_text(encoding="utf-8"))["per_class"]
    assert {row["class"]: float(row["f1"]) for row in scores} == {name: expected[name]["f1"] for name in CLASSES}
    assert '"field": "f1"' in specification
    bins, specification = plotted(page, "metrics_evaluate_reliability_tsv")
    assert {row["view"] for row in bins} == {"raw", "scaled"}
    assert sum(int(row["images"]) for row in bins) == 2 * TEST_EACH * len(CLASSES)
    assert '"field": "confidence"' in specification
    curve, specification = plotted(page, "metrics_evaluate_risk_coverage_tsv")
    assert len(curve) == TEST_EACH * len(CLASSES)
    assert '"field": "risk"' in specification
    corrupted, specification = plotted(page, "metrics_robustness_conditions_tsv")
    assert len({(row["corruption"], row["strength"]) for row in corrupted}) == 18
    assert all(0 <= float(row["accuracy"]) <= 1 for row in corrupted)
    assert '"field": "strength"' in specification
    for picture in (f"metrics/{stage}/pictures/{name}.png" for stage in PICTURES for name in PICTURES[stage]):
        (shown,) = re.findall(rf'<img src="(static/[^"]*{re.escape(picture.replace("/", "_"))})"', page)
        assert (finished / "page" / shown).read_bytes() == (finished / picture).read_bytes()
