"""leakage: planted copies are found and named, and evaluate scores without them; without any, all outputs come out."""

import csv
import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

from stages import evaluate, leakage, resize
from tests.stages.conftest import FILES, files_in, outputs_in
from transfer.data.splits import load_split, save_split
from transfer.runtime.errors import DataError
from transfer.runtime.files import open_arrays

OUTPUTS = {"duplicates": "d.npz", "metrics": "l.json", "plots": "l"}
PAIRS = ["train-train", "train-val", "train-test", "val-val", "val-test", "test-test"]
COPIED = {4: 7, 9: 7, 20: 30}  # test place: training place


def strict(arena) -> dict:
    """Digits are alike, so that only a threshold of one finds no copies but equal ones."""
    return {**arena.parameters, "leakage": {**arena.parameters["leakage"], "min_correlation": 1.0}}


def metrics_of(arena, name: str = "l.json") -> dict:
    return json.loads(arena.file(name).read_text())


def table_of(arena, name: str = "l/copies.tsv") -> list[dict[str, str]]:
    with arena.file(name).open() as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def plant(arena, copied: dict[int, int]) -> dict[str, str]:
    """Put training images into a copy of the test split. Returns changed options."""
    train, test = load_split(arena.file("data/splits/train.npz")), load_split(arena.file("data/splits/test.npz"))
    assert isinstance(train.images, np.ndarray)
    images = np.array(test.images)
    images[list(copied)] = train.images[list(copied.values())]
    shutil.copytree(arena.file("data/resized"), arena.file("planted"), dirs_exist_ok=True)
    save_split(arena.file("planted.npz"), replace(test, images=images))
    arena.run(resize, split="planted.npz", resized="planted/test")
    return {**FILES[leakage], **OUTPUTS, "resized": "planted"}


def test_tables_and_metrics_agree_on_real_digits(arena):
    metrics, rows = metrics_of(arena, "metrics/leakage.json"), table_of(arena, "metrics/leakage/copies.tsv")
    assert list(metrics["copies"]) == PAIRS
    for name, counts in metrics["copies"].items():
        a, b = name.split("-")
        own = [row for row in rows if (row["split_a"], row["split_b"]) == (a, b)]
        assert [sum(row["kind"] == kind for row in own) for kind in ("exact", "near")] == [
            counts["exact"],
            counts["near"],
        ]
        assert sum(row["class_a"] != row["class_b"] for row in own) == counts["other_class"]
        assert len({row["position_b"] for row in own}) == len(own)
    affected = {row["position_b"] for row in rows if row["split_b"] == "test" and row["split_a"] != "test"}
    assert metrics["affected_test_images"] == len(affected) > 0  # handwritten zeros are much alike
    assert metrics["groups"] > 0
    assert metrics["rows_left_out"] == 0
    with open_arrays(arena.file("data/duplicates.npz"), "affected", "positions") as arrays:
        assert set(map(str, arrays["positions"][arrays["affected"]])) == affected


def test_planted_equal_images_are_named_and_evaluate_leaves_them_out(arena):
    arena.run(leakage, strict(arena), **plant(arena, COPIED))
    metrics = metrics_of(arena)
    assert metrics["copies"]["train-test"] == {"exact": 3, "near": 0, "other_class": other_class(arena)}
    assert metrics["copies"]["test-test"]["exact"] == 1
    assert metrics["affected_test_images"] == 3
    assert metrics["largest_group"] == 3
    train, test = load_split(arena.file("data/splits/train.npz")), load_split(arena.file("planted.npz"))
    rows = [row for row in table_of(arena) if (row["split_a"], row["split_b"]) == ("train", "test")]
    expected = sorted((int(train.positions[i]), int(test.positions[j])) for j, i in COPIED.items())
    assert sorted((int(row["position_a"]), int(row["position_b"])) for row in rows) == expected
    arena.run(evaluate, **{**FILES[evaluate], **outputs_in("dup", evaluate), "duplicates": "d.npz"})
    scored = metrics_of(arena, "dup/metrics/evaluate.json")["duplicates"]
    with open_arrays(arena.file("data/predictions.npz"), "labels", "predicted") as arrays:
        right = arrays["labels"] == arrays["predicted"]
    assert scored["affected_test_images"] == 3
    assert scored["accuracy"] == pytest.approx(right.mean())
    assert scored["accuracy_without"] == pytest.approx(np.delete(right, list(COPIED)).mean())
    assert scored["accuracy_on_affected"] == pytest.approx(right[list(COPIED)].mean())


def other_class(arena) -> int:
    train, test = (load_split(arena.file(f"data/splits/{name}.npz")) for name in ("train", "test"))
    return sum(test.labels[j] != train.labels[i] for j, i in COPIED.items())


def test_without_any_copy_the_page_says_so(arena):
    arena.run(leakage, strict(arena), **{**FILES[leakage], **OUTPUTS})
    metrics = metrics_of(arena)
    assert metrics["affected_test_images"] == metrics["groups"] == metrics["largest_group"] == 0
    assert arena.file("l/copies.tsv").read_text().count("\n") == 1  # the header
    assert cv2.imread(str(arena.file("l/pictures/copies.png"))) is not None


def test_a_long_table_is_cut_and_says_so(arena, monkeypatch):
    monkeypatch.setattr(leakage, "MOST_ROWS", 2)
    arena.run(leakage, strict(arena), **plant(arena, {place: place for place in range(5)}))
    assert len(table_of(arena)) == 2
    assert metrics_of(arena)["rows_left_out"] == 3


def test_the_same_inputs_give_the_same_bytes(arena):
    arena.run(leakage, **{**FILES[leakage], **OUTPUTS})
    for option, name in OUTPUTS.items():
        assert files_in(arena.file(name)) == files_in(arena.file(FILES[leakage][option])), option


def test_duplicates_of_other_images_are_refused(arena):
    test = load_split(arena.file("data/splits/test.npz"))
    shutil.copytree(arena.file("data/resized"), arena.file("moved"), dirs_exist_ok=True)
    save_split(arena.file("moved.npz"), replace(test, positions=test.positions + 1))
    arena.run(resize, split="moved.npz", resized="moved/test")
    arena.run(leakage, **{**FILES[leakage], **OUTPUTS, "resized": "moved"})
    options = {**FILES[evaluate], **outputs_in("dup", evaluate), "duplicates": "d.npz"}
    with pytest.raises(DataError, match=r"d\.npz: of other images than .* run `dvc repro leakage` again"):
        arena.run(evaluate, **options)
