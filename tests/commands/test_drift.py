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


def test_answers_that_are_all_one_class_are_a_drift(files, capsys):
    write_log(files.log, confident(files)[:200], unlike=4)
    files.log.write_text(files.log.read_text().replace("dark", "bright"))
    assert drift.main(files) == 1
    (said,) = capsys.readouterr().out.splitlines()[-1:]
    assert said.startswith("Drift: classes have other shares (chi-square, p = 0.0005), most of all ")
    assert said.endswith("0.0 % (0.0 to 1.9) instead of 50.0 % (45.1 to 54.9).")


def test_answers_that_are_not_sure_enough_are_counted_and_a_drift(files, capsys):
    write_log(files.log, np.where(np.arange(400) < 300, 0.79, 1.0), unlike=8)
    assert drift.main(files) == 1
    shown = capsys.readouterr().out.splitlines()
    assert [row.split()[3:5] for row in shown if row.startswith("not sure enough")] == [["75.0", "%"]]
    assert "points more images are not answered surely enough" in shown[-1]
    assert "unlike" not in shown[-1]


def test_class_shares_are_judged_rightly_where_classes_are_rare():
    """Of logs of 30 answers with the test split's own shares a twentieth are below 0.05."""
    random, shares = np.random.default_rng(0), np.array([0.9, 0.05, 0.03, 0.01, 0.01])
    logs = [np.stack([random.multinomial(30, shares), random.multinomial(1000, shares)]) for _ in range(300)]
    found = np.array([drift.chance_of(counts) for counts in logs])
    assert 0.02 < (found < 0.05).mean() < 0.08
    assert drift.chance_of(np.array([[20, 0, 0], [300, 300, 300]])) < 0.001


def test_a_blank_line_is_nothing(files):
    write_log(files.log, confident(files)[:20], unlike=0)
    files.log.write_text("\n" + files.log.read_text() + "\n")
    assert drift.read_log(files.log, ("dark", "bright")).images == 20


def test_a_line_that_is_being_written_is_nothing_yet_but_one_in_the_middle_is_refused(files):
    write_log(files.log, confident(files)[:20], unlike=0)
    whole = files.log.read_text()
    files.log.write_text(whole[:-20])
    assert drift.read_log(files.log, ("dark", "bright")).images == 19
    files.log.write_text(whole[:-20] + "\n" + whole)
    with pytest.raises(DataError, match="line 20 is no answer of this model"):
        drift.read_log(files.log, ("dark", "bright"))


def test_one_answer_alone_is_no_drift(files):
    write_log(files.log, np.array([0.51]), unlike=0)
    assert drift.read_log(files.log, ("dark", "bright")).images == 1
    assert drift.confidence_change(np.array([0.8]), np.array([0.8])) == (0, 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no answers in it yet"),
        ('{"answer": "cat", "probability": 1, "verdict": "known"}\n', "line 1 is no answer of this model"),
        ('{"answer": "dark", "proba', "no answers in it yet"),
        ("x\n", "line 1 is no answer"),
        ("\n\n", "no answers in it yet"),
        ("\x89PNG\xff\x00", "line 1 is no answer"),
        ('{"answer": "dark", "probability": NaN, "verdict": "known"}', "a probability of nan"),
    ],
)
def test_another_file_is_refused_in_one_line(files, text, words):
    files.log.write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=words):
        drift.main(files)


def test_no_log_says_how_to_get_one(files):
    with pytest.raises(DataError, match="make serve"):
        drift.main(files)
