"""leakage: planted copies are found, named and left out of the accuracy; without any, all outputs still come out."""

import csv
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from stages import embed, leakage, resize
from tests.stages.conftest import FILES, TEST
from transfer.data.splits import load_split, save_split
from transfer.runtime.errors import DataError
from transfer.runtime.files import open_arrays, write_arrays

OUTPUTS = {"metrics": "l.json", "pairs": "l.tsv", "sheet": "l.png"}
PAIRS = ["train-train", "train-val", "train-test", "val-val", "val-test", "test-test"]


def strict(arena, correlation: float = 1.0) -> dict:
    """Digits are alike, so that only a threshold of one finds no pairs but equal ones."""
    changed = {"min_pixel_correlation": correlation, "min_feature_similarity": 0.0, "batch_size": 16}
    return {**arena.parameters, "leakage": {**arena.parameters["leakage"], **changed}}


def metrics_of(arena, name: str = "l.json") -> dict:
    return json.loads(arena.file(name).read_text())


def table_of(arena, name: str = "l.tsv") -> list[dict[str, str]]:
    with arena.file(name).open() as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def right_answers(arena) -> np.ndarray:
    with open_arrays(arena.file("predictions.npz"), "labels", "predicted") as arrays:
        return arrays["labels"] == arrays["predicted"]


def plant(arena, copies: dict[int, int]) -> dict[str, str]:
    """Put training images into a copy of the test split: test place -> training place. Returns changed options."""
    train, test = load_split(arena.file("train.npz")), load_split(arena.file("test.npz"))
    images = test.images.copy()
    images[list(copies)] = train.images[list(copies.values())]
    save_split(arena.file("planted.npz"), replace(test, images=images))
    arena.run(resize, split="planted.npz", pixels="planted.npy")
    return {**FILES[leakage], **OUTPUTS, "test_split": "planted.npz", "test_pixels": "planted.npy"}


def test_tables_and_metrics_agree_on_real_digits(arena):
    metrics, rows = metrics_of(arena, "leakage.json"), table_of(arena, "leakage.tsv")
    assert list(metrics["pairs"]) == PAIRS
    for name, counts in metrics["pairs"].items():
        a, b = name.split("-")
        for kind in ("exact", "near"):
            found = [row for row in rows if (row["split_a"], row["split_b"], row["kind"]) == (a, b, kind)]
            assert len(found) == counts[kind]
    affected = {row["position_b"] for row in rows if row["split_b"] == "test" and row["split_a"] != "test"}
    assert metrics["affected_test_images"] == len(affected) > 0  # handwritten zeros are much alike


def test_planted_equal_images_are_named_and_left_out(arena):
    arena.run(leakage, strict(arena), **plant(arena, {4: 7, 9: 7, 20: 30}))
    metrics, right = metrics_of(arena), right_answers(arena)
    assert metrics["pairs"]["train-test"]["exact"] == 3
    assert metrics["pairs"]["test-test"]["exact"] == 1
    assert metrics["affected_test_images"] == 3
    kept = np.delete(right, [4, 9, 20])
    assert metrics["accuracy"] == pytest.approx(right.mean())
    assert metrics["accuracy_without"] == pytest.approx(kept.mean())
    assert metrics["accuracy_on_affected"] == pytest.approx(right[[4, 9, 20]].mean())
    train, test = load_split(arena.file("train.npz")), load_split(arena.file("planted.npz"))
    rows = [row for row in table_of(arena) if (row["split_a"], row["split_b"]) == ("train", "test")]
    expected = sorted((int(train.positions[i]), int(test.positions[j])) for j, i in {4: 7, 9: 7, 20: 30}.items())
    assert sorted((int(row["position_a"]), int(row["position_b"])) for row in rows) == expected
    assert {row["class_a"] for row in rows if int(row["position_b"]) == test.positions[4]} == {
        train.classes[train.labels[7]]
    }


def test_without_any_pair_the_accuracy_is_the_same_and_the_page_says_so(arena):
    arena.run(leakage, strict(arena), **{**FILES[leakage], **OUTPUTS})
    metrics = metrics_of(arena)
    assert metrics["affected_test_images"] == 0
    assert metrics["accuracy_without"] == metrics["accuracy"]
    assert "accuracy_on_affected" not in metrics
    assert arena.file("l.tsv").read_text().count("\n") == 1  # the header
    assert cv2.imread(str(arena.file("l.png"))) is not None


def test_if_all_test_images_are_affected_there_is_no_accuracy_without_them(arena):
    arena.run(leakage, strict(arena), **plant(arena, {place: place for place in range(30)}))
    metrics = metrics_of(arena)
    assert metrics["affected_test_images"] == 30
    assert "accuracy_without" not in metrics
    assert metrics["accuracy_on_affected"] == pytest.approx(metrics["accuracy"])


def test_the_same_inputs_give_the_same_bytes(arena):
    arena.run(leakage, **{**FILES[leakage], **OUTPUTS})
    for option, name in OUTPUTS.items():
        assert arena.file(name).read_bytes() == arena.file(FILES[leakage][option]).read_bytes(), option


def test_test_features_are_those_that_embed_would_write(arena):
    """Or similarities across splits would compare different things."""
    arena.run(embed, **{**FILES[embed], "val_split": "test.npz", "val_pixels": "test.npy", "train_features": "f.npz",
                        "val_features": "test_features.npz"})  # fmt: skip
    options = {**FILES[leakage], **OUTPUTS, "val_split": "test.npz", "val_features": "test_features.npz", **TEST}
    arena.run(leakage, strict(arena), **options)
    rows = [row for row in table_of(arena) if (row["split_a"], row["split_b"]) == ("val", "test")]
    assert [row["position_a"] for row in rows] == [row["position_b"] for row in rows]
    assert len(rows) == 30
    assert {float(row["feature_similarity"]) for row in rows} == {1.0}


def test_files_of_other_images_are_refused(arena):
    with open_arrays(arena.file("predictions.npz"), "positions", "predicted") as arrays:
        write_arrays(arena.file("p_other.npz"), positions=arrays["positions"] + 1, predicted=arrays["predicted"])
    with pytest.raises(DataError, match=r"p_other\.npz: answers for other images .* run evaluate again"):
        arena.run(leakage, **{**FILES[leakage], **OUTPUTS, "predictions": "p_other.npz"})
    with pytest.raises(DataError, match=r"val_features\.npz: features of other images than .* run embed again"):
        arena.run(leakage, **{**FILES[leakage], **OUTPUTS, "train_features": "val_features.npz"})
