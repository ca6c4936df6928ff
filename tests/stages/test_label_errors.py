"""label_errors: the table, the places and the picture of one list; the same bytes again; features of other images."""

import csv

import numpy as np
import pytest

from stages import label_errors
from tests.stages.conftest import FILES, Arena, files_in
from transfer.data.splits import load_split
from transfer.runtime.errors import DataError

OUTPUTS = {"suspects": "suspects_again.npz", "plots": "suspects_again"}


def test_the_table_names_the_images_that_are_left_out(arena: Arena):
    split = load_split(arena.file("data/splits/train.npz"))
    with np.load(arena.file("data/label_errors.npz")) as arrays:
        places = arrays["places"]
    with arena.file("metrics/label_errors/suspects.tsv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [int(row["position"]) for row in rows] == split.positions[places].tolist()
    assert [row["label"] for row in rows] == [split.classes[label] for label in split.labels[places]]
    assert all(row["label"] != row["suggested"] for row in rows)


def test_the_same_inputs_give_the_same_bytes(arena: Arena):
    arena.run(label_errors, **{**FILES[label_errors], **OUTPUTS})
    for option, name in OUTPUTS.items():
        assert files_in(arena.file(name)) == files_in(arena.file(FILES[label_errors][option])), option


def test_features_of_other_images_are_one_line(arena: Arena):
    other = {**FILES[label_errors], **OUTPUTS, "features": "data/features/val.npz"}
    with pytest.raises(DataError, match=r"val\.npz: not of the images of .*train; run embed again"):
        arena.run(label_errors, **other)
