"""`make drift`: shares and means of a log beside the test split's, and only what chance does not explain is a drift."""

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from commands import drift
from tests.transfer.deployment.server import write_package
from transfer.runtime.errors import DataError

TEST = 400


@pytest.fixture
def files(tmp_path: Path) -> Namespace:
    """400 test images, half of each class and all rather sure; 2 of 100 unlike the training images."""
    confidence = np.random.default_rng(0).uniform(0.8, 1, TEST)
    first = np.arange(TEST) % 2 == 0
    bright = np.where(first, 1 - confidence, confidence)
    np.savez(tmp_path / "predictions.npz", probabilities=np.stack([1 - bright, bright], 1))
    (tmp_path / "unknown.json").write_text(json.dumps({"unlike": 0.02, "images": 100}))
    return Namespace(
        log=tmp_path / "answers.jsonl",
        package=write_package(tmp_path / "package"),
        predictions=tmp_path / "predictions.npz",
        unknown=tmp_path / "unknown.json",
    )


def write_log(path: Path, confidence: np.ndarray, unlike: int) -> None:
    lines = [
        {"answer": ("dark", "bright")[i % 2], "probability": value, "verdict": "unlike" if i < unlike else "known"}
        for i, value in enumerate(confidence.tolist())
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def confident(files: Namespace) -> np.ndarray:
    """What the test split has, after its temperature."""
    with np.load(files.predictions) as saved:
        return drift.calibrated(saved["probabilities"], 1.5).max(1)


def test_the_same_images_have_not_drifted(files, capsys):
    write_log(files.log, confident(files)[:200], unlike=4)
    assert drift.main(files) == 0
    shown = capsys.readouterr().out
    assert "No drift beyond chance." in shown
    assert "answered dark" in shown
    assert shown.count("50.0 %") == 4


def test_more_unknown_images_are_a_drift(files, capsys):
    write_log(files.log, confident(files)[:200], unlike=60)
    assert drift.main(files) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert "more images are unlike the training images" in last
    assert "less sure" not in last


def test_less_sure_answers_are_a_drift(files, capsys):
    write_log(files.log, confident(files)[:200] - 0.1, unlike=4)
    assert drift.main(files) == 1
    assert "points less sure" in capsys.readouterr().out


def test_one_answer_alone_is_no_drift(files):
    write_log(files.log, np.array([0.51]), unlike=0)
    assert drift.read_log(files.log, ("dark", "bright")).images == 1
    assert drift.confidence_change(np.array([0.8]), np.array([0.8])) == (0, 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no answers in it yet"),
        ('{"answer": "cat", "probability": 1, "verdict": "known"}\n', "line 1 is no answer of this model"),
        ("x\n", "line 1 is no answer"),
    ],
)
def test_another_file_is_refused_in_one_line(files, text, words):
    files.log.write_text(text)
    with pytest.raises(DataError, match=words):
        drift.main(files)


def test_no_log_says_how_to_get_one(files):
    with pytest.raises(DataError, match="make serve"):
        drift.main(files)
