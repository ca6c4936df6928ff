"""label_errors: the table, the places and the picture of one list; the same bytes again; features of other images."""

import csv

import numpy as np
import pytest

from stages import label_errors
from tests.stages.conftest import FILES, Arena
from transfer.data.splits import load_split
from transfer.runtime.errors import DataError

OUTPUTS = {"suspects": "again.npz", "table": "again.tsv", "sheet": "again.png"}


def test_the_table_names_the_images_that_are_left_out(arena: Arena):
    split = load_split(arena.file("train.npz"))
    with np.load(arena.file("suspects.npz")) as arrays:
        places = arrays["places"]
    with arena.file("train_label_errors.tsv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [int(row["position"]) for row in rows] == split.positions[places].tolist()
    assert [row["label"] for row in rows] == [split.classes[label] for label in split.labels[places]]
    assert all(row["label"] != row["suggested"] for row in rows)


def test_the_same_inputs_give_the_same_bytes(arena: Arena):
    arena.run(label_errors, **{**FILES[label_errors], **OUTPUTS})
    for option, again in OUTPUTS.items():
        first = FILES[label_errors][option]
        assert arena.file(again).read_bytes() == arena.file(first).read_bytes()


def test_features_of_other_images_are_one_line(arena: Arena):
    other = {**FILES[label_errors], **OUTPUTS, "train_features": "val_features.npz"}
    with pytest.raises(DataError, match=r"val_features\.npz: not of the images of .*train\.npz; run embed again"):
        arena.run(label_errors, **other)
