"""Ablation, sweep and seeds on real DVC experiments of a pipeline whose best parameters are known beforehand."""

import json
import math
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from commands.revisions import experiments, read

pytestmark = pytest.mark.slow  # real experiments, several at a time

ROOT = Path(__file__).resolve().parent.parent.parent
# 200 validation images; the nearer lr is to 0.01, the more are right, and sgd loses 20 of them.
STAGE = """
import json, math, os, pathlib, sys
from ruamel.yaml import YAML
parameters = YAML(typ="safe").load(open("params.yaml"))
train, seed = parameters["train"], parameters["seed"]
pathlib.Path("RUNS").open("a").write(f"{seed} {pathlib.Path(os.environ['TRANSFER_STATE']).name}\\n")
if float(train["lr"]) > 1:
    print("some progress"); sys.exit("error: loss is nan at epoch 1; try a lower one")
right = round(180 - 20 * abs(math.log10(float(train["lr"])) + 2)) - 20 * (train["optimizer"] == "sgd") - 3 * seed
pathlib.Path("metrics/evaluate").mkdir(parents=True, exist_ok=True)
labels = ["cat", "dog"] * 100
predicted = [label if i < right else {"cat": "dog", "dog": "cat"}[label] for i, label in enumerate(labels)]
rows = "".join(f"{label}\\t{name}\\n" for label, name in zip(labels, predicted))
open("metrics/evaluate/val_confusion.tsv", "w").write("actual\\tpredicted\\n" + rows)
open("metrics/fine_tune.json", "w").write(json.dumps({"val": {"accuracy": right / 200}}))
open("metrics/evaluate.json", "w").write(json.dumps({"accuracy": right / 200, "macro_f1": 0.5, "mva_met": True}))
open("metrics/subsample.json", "w").write(json.dumps({"val": {"positions_sha256": "abc"}}))
open("model", "w").write(str(right))
"""
OUTPUTS = ["evaluate/val_confusion.tsv", "fine_tune.json", "evaluate.json", "subsample.json"]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git and DVC repository of one stage, `evaluate`, that notes each of its runs in `runs`."""
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith(("DVC_", "GIT_", "TRANSFER_"))]:
        monkeypatch.delenv(name)
    settings = {
        "HOME": str(tmp_path / "home"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(tmp_path / "site"),
        **{f"GIT_{role}_{key}": "t@example.org" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")},
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    (folder / "stage.py").write_text(STAGE.replace("RUNS", str(tmp_path / "runs")))
    (folder / "params.yaml").write_text(yaml.safe_dump({"seed": 0, "train": {"lr": 0.1, "optimizer": "adamw"}}))
    metrics = [{f"metrics/{name}": {"cache": False}} for name in OUTPUTS]
    stage = {
        "cmd": "python stage.py",
        "params": ["seed", "train"],
        "deps": ["stage.py"],
        "outs": ["model"],
        "metrics": metrics,
    }
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"evaluate": stage}}))
    (folder / ".gitignore").write_text("/state/\n/*.yml\n")
    for command in (["git", "init", "--quiet"], ["dvc", "init", "--quiet"], ["git", "add", "--all"]):
        subprocess.run(command, cwd=folder, check=True)
    subprocess.run(["git", "commit", "--quiet", "--message", "Start"], cwd=folder, check=True)
    return folder


def command(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", f"commands.{module}", *arguments]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)


def states(folder: Path) -> list[str]:
    """Of each run its seed and the name of the folder that it keeps its state in."""
    noted = folder.parent / "runs"
    return noted.read_text().splitlines() if noted.exists() else []


def runs(folder: Path) -> int:
    return len(states(folder))


def write(folder: Path, content: dict) -> str:
    (folder / "search.yml").write_text(yaml.safe_dump(content))
    return "search.yml"


ABLATION = {
    "name": "one",
    "stage": "evaluate",
    "base": {"train": {"lr": 0.1}},
    "ideas": {
        "SGD, with momentum": {"train": {"optimizer": "sgd"}},
        "a tenth of the rate": {"train": {"lr": 0.01}},
        "far too high": {"train": {"lr": 100.0}},
    },
}


def test_an_ablation_ranks_its_ideas_names_the_failed_one_and_goes_on_where_it_was(repository: Path) -> None:
    path = write(repository, ABLATION)
    done = command(repository, "ablate", path, "--jobs", "2")
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert rows[1].startswith("| *plain* | 80.0 % |")
    assert rows[2].startswith("| a tenth of the rate | 90.0 % | +10.0 |")
    assert rows[2].endswith("| < 0.001 | helps |")
    assert rows[3].startswith("| SGD, with momentum | 70.0 % | −10.0 |")
    assert rows[3].endswith("| hurts |")
    assert rows[4] == "| far too high | failed: error: loss is nan at epoch 1; try a lower one | | | | |"
    assert done.returncode == 1
    assert "one-sgd-with-momentum: done" in done.stdout
    told = (repository / "state/one-sgd-with-momentum.log").read_text()
    assert ("Running stage 'evaluate'" in told, "WARNING" in told) == (True, False)  # of outputs not there before
    before = runs(repository)
    path = write(repository, {**ABLATION, "ideas": {**ABLATION["ideas"], "far too high": {"train": {"lr": 0.1}}}})
    again = command(repository, "ablate", path)
    assert again.returncode == 0, again.stderr
    assert "| far too high | 80.0 % | +0.0 | −1.5 to +1.5 | 1.000 | no difference shown |" in again.stdout
    assert runs(repository) - before <= 1  # none of those that are there


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"ideas": {"x": {"train": {"speed": 1}}}}, "error: params.yaml has no parameter train.speed"),
        ({"base": {"training": {}}}, "error: params.yaml has no parameter training"),
        ({"stages": []}, "error: search.yml: stages: Extra inputs are not permitted"),
        ({"ideas": {}}, "error: search.yml: ideas: Dictionary should have at least 1 item"),
        ({"recipe": "none-such"}, "error: no recipe 'none-such'"),
    ],
)
def test_a_wrong_search_is_one_line_before_any_run(repository: Path, change: dict, line: str) -> None:
    done = command(repository, "ablate", write(repository, {**ABLATION, **change}))
    assert done.returncode == 1
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
    assert runs(repository) == 0


def test_a_missing_search_is_one_line(repository: Path) -> None:
    done = command(repository, "sweep", "nowhere.yaml")
    assert done.returncode == 1
    assert done.stderr == "error: nowhere.yaml: no such file; run from the root of the repository\n"


SWEEP = {
    "name": "search",
    "stage": "evaluate",
    "sampler": "random",
    "seed": 3,
    "space": {"train.lr": {"low": 1e-5, "high": 1.0, "log": True}, "train.optimizer": ["adamw", "sgd"]},
}


def trials_of(text: str) -> dict[str, list[str]]:
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines() if "| search-" in line]
    return {row[0]: row[1:] for row in rows}


def test_a_sweep_goes_on_where_it_stopped_and_finds_what_a_whole_one_finds(repository: Path, tmp_path: Path) -> None:
    path = write(repository, SWEEP)
    copy = tmp_path / "copy"
    shutil.copytree(repository, copy)
    first = command(repository, "sweep", path, "--trials", "2")
    assert first.returncode == 0, first.stderr
    before = runs(repository)
    more = command(repository, "sweep", path, "--trials", "4")
    assert runs(repository) - before == 2
    found = trials_of(more.stdout)
    assert list(trials_of(first.stdout).items()) == [row for row in found.items() if row[0] in ("search-0", "search-1")]
    whole = command(copy, "sweep", path, "--trials", "4", "--jobs", "2")
    assert trials_of(whole.stdout) == found
    accuracies = [float(row[0].rstrip(" %")) for row in found.values()]
    assert accuracies == sorted(accuracies, reverse=True)
    for accuracy, rate, optimizer in found.values():
        assert 1e-5 <= float(rate) <= 1
        right = 180 - 20 * abs(math.log10(float(rate)) + 2) - 20 * (optimizer == "sgd")
        assert float(accuracy.rstrip(" %")) == pytest.approx(right / 2, abs=0.6)
    assert len({row[1] for row in found.values()}) == 4
    assert "train.lr=" not in (repository / "params.yaml").read_text()
    assert subprocess.run(["git", "status", "--short"], cwd=repository, capture_output=True, check=True).stdout == b""


def test_a_sweep_that_learns_proposes_from_what_it_found(repository: Path) -> None:
    done = command(repository, "sweep", write(repository, {**SWEEP, "sampler": "tpe"}), "--trials", "2")
    assert done.returncode == 0, done.stderr
    assert len(trials_of(done.stdout)) == 2


# A busy machine, on which much can happen between putting parameters into DVC's stash and taking them from there.
SLOW_START = """
import sys, time
if sys.orig_argv[-1:] == ["evaluate"]:
    from dvc.repo.experiments.queue.tempdir import TempDirQueue
    get, calls = TempDirQueue.get, []
    TempDirQueue.get = lambda queue: (calls or time.sleep(2), calls.append(1), get(queue))[-1]
"""


def test_experiments_started_at_the_same_moment_never_take_each_other_s_parameters(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_START)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    line = [sys.executable, "-m", "commands.seeds", "-S", "train.lr=0.01", "--jobs", "2", "--seeds"]
    programs = [
        subprocess.Popen([*line, *seeds, "--output", f"{seeds[0]}.yml"], cwd=repository)
        for seeds in (("0", "1"), ("2", "3"))
    ]
    assert [program.wait() for program in programs] == [0, 0]
    found = {
        name: json.loads(read(repository, revision, "metrics/evaluate.json") or "")["accuracy"]
        for name, revision in experiments(repository).items()
    }
    assert found == {f"params-seed-{seed}": (180 - 3 * seed) / 200 for seed in range(4)}
    assert sorted(states(repository)) == [f"{seed} params-seed-{seed}" for seed in range(4)]


@pytest.mark.parametrize(
    ("space", "line"),
    [
        ({"train.speed": [1]}, "error: search.yml: params.yaml has no parameter train.speed"),
        ({"train.lr": {"low": 1.0, "high": 0.1}}, "error: search.yml: space.train.lr."),
        ({"train.lr": {"low": 0.0, "high": 0.1, "log": True}}, "error: search.yml: space.train.lr."),
    ],
)
def test_a_wrong_space_is_one_line_before_any_run(repository: Path, space: dict, line: str) -> None:
    done = command(repository, "sweep", write(repository, {**SWEEP, "space": space}))
    assert done.returncode == 1
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
    assert runs(repository) == 0


def test_seeds_record_mean_and_standard_deviation_of_every_figure(repository: Path) -> None:
    more = ("-S", "train.lr=0.01", "-S", "train.optimizer=https://x.org/~y/(1)?a=1&b=2")  # quoted for Hydra's grammar
    done = command(repository, "seeds", "--seeds", "0", "1", "4", "--output", "seeds.yml", *more)
    assert done.returncode == 0, done.stderr
    recorded = json.loads((repository / "seeds.yml").read_text())
    values = [(180 - 3 * seed) / 200 for seed in (0, 1, 4)]
    for name in ("accuracy", "val.accuracy"):
        assert recorded["metrics"][name]["mean"] == pytest.approx(statistics.mean(values))
        assert recorded["metrics"][name]["std"] == pytest.approx(statistics.stdev(values))
    assert recorded["metrics"]["macro_f1"]["std"] == 0
    assert "mva_met" not in recorded["metrics"]
    assert recorded["seeds"] == [0, 1, 4]
    assert recorded["parameters"]["train.lr"] == 0.01
    assert recorded["parameters"]["train.optimizer"] == "https://x.org/~y/(1)?a=1&b=2"
    assert "seed" not in recorded["parameters"]
    before = runs(repository)
    assert command(repository, "seeds", "--seeds", "0", "1", "4", "-S", "train.lr=0.01").returncode == 0
    assert runs(repository) == before
    assert command(repository, "seeds", "--seeds", "1", "1").returncode == 2


def test_a_curve_runs_a_point_for_each_number_of_images_and_draws_them(repository: Path) -> None:
    parameters = {
        "seed": 0,
        "subsample": {"train_size": 100, "val_size": 200},
        "train": {"lr": 0.1, "optimizer": "adamw", "fine_tune": {"epochs": 1}},
    }
    (repository / "params.yaml").write_text(yaml.safe_dump(parameters))
    (repository / "stage.py").write_text(
        (repository / "stage.py").read_text().replace('"abc"}', '"abc", "images": 200}')
    )
    lines = {
        "pretrained": {"epochs": {500: 4, 1000: 2}},
        "from scratch": {"change": {"train": {"lr": 0.01}}, "epochs": {1000: 8}},
    }
    path = write(repository, {"name": "curve", "stage": "evaluate", "lines": lines})
    done = command(repository, "curve", path)
    assert done.returncode == 0, done.stderr
    assert "| pretrained | 500 | 80.0 % | 73.9 to 85.0 |" in done.stdout
    assert "| from scratch | 1,000 | 90.0 % | 85.1 to 93.4 |" in done.stdout
    assert (repository / "state/curve.png").read_bytes().startswith(b"\x89PNG")
    there = experiments(repository)
    used = yaml.safe_load(read(repository, there["curve-from-scratch-1000"], "params.yaml") or "")
    assert (used["subsample"]["train_size"], used["train"]["fine_tune"]["epochs"], used["train"]["lr"]) == (
        1200,
        8,
        0.01,
    )
    assert sorted(there) == ["curve-from-scratch-1000", "curve-pretrained-1000", "curve-pretrained-500"]
    assert command(repository, "curve", path).returncode == 0
    assert runs(repository) == 3
    shared = write(
        repository, {"name": "curve", "stage": "evaluate", "base": {"subsample": {"val_size": 0.2}}, "lines": lines}
    )
    refused = command(repository, "curve", shared)
    assert refused.stderr == "error: subsample.val_size = 0.2: a curve needs as many for each point; set a number\n"
