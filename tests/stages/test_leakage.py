"""leakage: planted copies are found, named and left out of the accuracy; without any, all outputs still come out."""

import csv
import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

from stages import embed, leakage, resize
from tests.stages.conftest import FILES, files_in
from transfer.data.splits import load_split, save_split
from transfer.runtime.errors import DataError
from transfer.runtime.files import open_arrays, write_arrays

OUTPUTS = {"metrics": "l.json", "plots": "l"}
PAIRS = ["train-train", "train-val", "train-test", "val-val", "val-test", "test-test"]


def strict(arena, correlation: float = 1.0) -> dict:
    """Digits are alike, so that only a threshold of one finds no pairs but equal ones."""
    changed = {"min_pixel_correlation": correlation, "min_feature_similarity": 0.0, "batch_size": 16}
    return {**arena.parameters, "leakage": {**arena.parameters["leakage"], **changed}}


def metrics_of(arena, name: str = "l.json") -> dict:
    return json.loads(arena.file(name).read_text())


def table_of(arena, name: str = "l/pairs.tsv") -> list[dict[str, str]]:
    with arena.file(name).open() as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def right_answers(arena) -> np.ndarray:
    with open_arrays(arena.file("data/predictions.npz"), "labels", "predicted") as arrays:
        return arrays["labels"] == arrays["predicted"]


def plant(arena, copies: dict[int, int]) -> dict[str, str]:
    """Put training images into a copy of the test split: test place -> training place. Returns changed options."""
    train, test = load_split(arena.file("data/splits/train.npz")), load_split(arena.file("data/splits/test.npz"))
    assert isinstance(train.images, np.ndarray)
    images = np.array(test.images)
    images[list(copies)] = train.images[list(copies.values())]
    shutil.copytree(arena.file("data/resized"), arena.file("planted"), dirs_exist_ok=True)
    save_split(arena.file("planted.npz"), replace(test, images=images))
    arena.run(resize, split="planted.npz", resized="planted/test")
    return {**FILES[leakage], **OUTPUTS, "resized": "planted"}


def test_tables_and_metrics_agree_on_real_digits(arena):
    metrics, rows = metrics_of(arena, "metrics/leakage.json"), table_of(arena, "metrics/leakage/pairs.tsv")
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
    train, test = load_split(arena.file("data/splits/train.npz")), load_split(arena.file("planted.npz"))
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
    assert arena.file("l/pairs.tsv").read_text().count("\n") == 1  # the header
    assert cv2.imread(str(arena.file("l/pictures/pairs.png"))) is not None


def test_if_all_test_images_are_affected_there_is_no_accuracy_without_them(arena):
    arena.run(leakage, strict(arena), **plant(arena, {place: place for place in range(30)}))
    metrics = metrics_of(arena)
    assert metrics["affected_test_images"] == 30
    assert "accuracy_without" not in metrics
    assert metrics["accuracy_on_affected"] == pytest.approx(metrics["accuracy"])


def test_the_same_inputs_give_the_same_bytes(arena):
    arena.run(leakage, **{**FILES[leakage], **OUTPUTS})
    for option, name in OUTPUTS.items():
        assert files_in(arena.file(name)) == files_in(arena.file(FILES[leakage][option])), option


def test_test_features_are_those_that_embed_would_write(arena):
    """Or similarities across splits would compare different things."""
    for name in ("resized", "features"):
        shutil.copytree(arena.file(f"data/{name}"), arena.file(f"twice/{name}"), dirs_exist_ok=True)
    shutil.copytree(arena.file("data/resized/test"), arena.file("twice/resized/val"), dirs_exist_ok=True)
    outputs = {"train_features": "twice/f.npz", "val_features": "twice/features/val.npz"}
    arena.run(embed, **{**FILES[embed], "val": "data/resized/test", **outputs})
    options = {"resized": "twice/resized", "features": "twice/features"}
    arena.run(leakage, strict(arena), **{**FILES[leakage], **OUTPUTS, **options})
    rows = [row for row in table_of(arena) if (row["split_a"], row["split_b"]) == ("val", "test")]
    assert [row["position_a"] for row in rows] == [row["position_b"] for row in rows]
    assert len(rows) == 30
    assert {float(row["feature_similarity"]) for row in rows} == {1.0}


def test_files_of_other_images_are_refused(arena):
    with open_arrays(arena.file("data/predictions.npz"), "positions", "predicted") as arrays:
        write_arrays(arena.file("p_other.npz"), positions=arrays["positions"] + 1, predicted=arrays["predicted"])
    with pytest.raises(DataError, match=r"p_other\.npz: answers for other images .* run evaluate again"):
        arena.run(leakage, **{**FILES[leakage], **OUTPUTS, "predictions": "p_other.npz"})
    for name in ("train", "val"):
        arena.file("swapped").mkdir(exist_ok=True)
        shutil.copy(arena.file("data/features/val.npz"), arena.file(f"swapped/{name}.npz"))
    with pytest.raises(DataError, match=r"train\.npz: features of other images than .* run embed again"):
        arena.run(leakage, **{**FILES[leakage], **OUTPUTS, "features": "swapped"})
