"""`make compare` on a real git repository: branches, experiments and the workspace, and what cannot be compared."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = np.array(["cat", "dog"])


def git(folder: Path, *arguments: str) -> str:
    person = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    return subprocess.run(["git", *person, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


def write_run(folder: Path, right: int, test_images: str = "abc") -> None:
    """Metrics of a run that has the first `right` of 100 images right."""
    (folder / "metrics/evaluate").mkdir(parents=True, exist_ok=True)
    labels = np.arange(100) % 2
    predicted = np.where(np.arange(100) < right, labels, 1 - labels)
    rows = [f"{NAMES[label]}\t{NAMES[other]}\n" for label, other in zip(labels, predicted, strict=True)]
    (folder / "metrics/evaluate/confusion.tsv").write_text("actual\tpredicted\n" + "".join(rows), encoding="utf-8")
    all_right = [f"{NAMES[label]}\t{NAMES[label]}\n" for label in labels]
    (folder / "metrics/evaluate/val_confusion.tsv").write_text(
        "actual\tpredicted\n" + "".join(all_right), encoding="utf-8"
    )
    splits = {"test": {"positions_sha256": test_images}, "val": {"positions_sha256": "always these"}}
    (folder / "metrics/subsample.json").write_text(json.dumps(splits), encoding="utf-8")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """main has 70 right, the experiment `idea` 90, `other` other test images, `empty` nothing, the workspace 80."""
    folder = tmp_path_factory.mktemp("repository")
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "Nothing yet")
    git(folder, "branch", "empty")
    for right, images, keep in ((90, "abc", "idea"), (90, "xyz", "other"), (70, "abc", None)):
        write_run(folder, right, images)
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", f"{right} right")
        if keep:
            git(folder, "update-ref", f"refs/exps/00/1234/{keep}", "HEAD")
    write_run(folder, 80)
    return folder


def compare(folder: Path, first: str, second: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "commands.compare", first, second, *options]
    return subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )


def test_an_experiment_against_a_branch(repository: Path) -> None:
    done = compare(repository, "main", "idea")
    assert done.returncode == 0, done.stderr
    verdict, *rest = done.stdout.splitlines()
    assert verdict.startswith("A = main, B = idea, test split: accuracy 70.0 → 90.0, +20.0 points, 95 % interval ")
    assert verdict.endswith("McNemar p < 0.001: better")
    assert "| accuracy | 70.0 | 90.0 | +20.0 |" in done.stdout
    assert rest[-1] == "Of 100 images, B fixes 20 errors of A and makes 0 new."


def test_the_workspace_against_the_last_commit(repository: Path) -> None:
    done = compare(repository, "HEAD", "workspace")
    assert "accuracy 70.0 → 80.0, +10.0 points" in done.stdout
    assert "McNemar p = 1.000: the same answers" in compare(repository, "main", "HEAD").stdout


def test_the_validation_split_has_predictions_of_its_own(repository: Path) -> None:
    done = compare(repository, "main", "idea", "--split", "val")
    assert done.stdout.splitlines()[0].startswith(
        "A = main, B = idea, validation split: accuracy 100.0 → 100.0, +0.0 points"
    )
    assert done.stdout.splitlines()[0].endswith("the same answers")
    assert "| accuracy | 100.0 | 100.0 | +0.0 |" in done.stdout


@pytest.mark.parametrize(
    ("second", "line"),
    [
        ("nowhere", "error: nowhere: no such experiment or revision; "),
        ("empty", "error: empty: holds no metrics/evaluate/confusion.tsv; "),
        ("other", "error: main and other predicted different images of the test split; "),
    ],
)
def test_what_cannot_be_compared_is_one_line(repository: Path, second: str, line: str) -> None:
    done = compare(repository, "main", second)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
