"""explore: figures are those of the splits' pixels, the test split is only counted, gaps in the data are gaps."""

import csv
import json

import cv2
import numpy as np
import pytest

from stages import explore
from tests.splits import split_of
from tests.stages.conftest import CLASSES, FILES, files_in
from transfer.data.resizing import save_resized
from transfer.data.splits import load_split
from transfer.runtime.errors import DataError, ParameterError

OUTPUTS = {"metrics": "x.json", "plots": "x"}
PICTURES = ("examples", "means", "interpolation")


def rows_of(arena, name: str) -> dict[tuple[str, str], dict[str, str]]:
    with arena.file(name).open() as stream:
        return {(row["split"], row["class"]): row for row in csv.DictReader(stream, delimiter="\t")}


def test_a_row_a_class_holds_the_means_of_its_pixels(arena):
    rows = rows_of(arena, "metrics/explore/classes.tsv")
    assert list(rows) == [(split, name) for split in ("train", "val", "test") for name in CLASSES]
    for name in ("train", "val"):
        split = load_split(arena.file(f"data/splits/{name}.npz"))
        for label, kind in enumerate(CLASSES):
            own = split.images[split.labels == label] / 255
            row = rows[name, kind]
            assert int(row["images"]) == len(own)
            assert float(row["brightness"]) == pytest.approx(own.mean(), abs=1e-6)  # digits are grey
            assert float(row["contrast"]) == pytest.approx(own.std((1, 2)).mean(), abs=1e-6)
            assert float(row["green"]) == pytest.approx(own[..., 1].mean(), abs=1e-6)


def test_the_test_split_is_counted_but_not_looked_at(arena):
    test = load_split(arena.file("data/splits/test.npz"))
    rows = rows_of(arena, "metrics/explore/classes.tsv")
    assert [int(rows["test", name]["images"]) for name in CLASSES] == np.bincount(test.labels).tolist()
    assert {rows["test", name]["brightness"] for name in CLASSES} == {""}
    assert json.loads(arena.file("metrics/explore.json").read_text())["test"] == {"images": 30}


def test_every_interpolation_has_every_figure(arena):
    metrics = json.loads(arena.file("metrics/explore.json").read_text())
    assert list(metrics["interpolation"]) == ["nearest", "linear", "cubic", "lanczos4"]
    for figures in metrics["interpolation"].values():
        assert list(figures) == ["sharpness", "kept_energy", "invented_energy", "round_trip_psnr_db"]
    assert metrics["enlarged"]["images"] == 12
    assert metrics["enlarged"]["size_px"] == 40


@pytest.mark.parametrize("option", PICTURES)
def test_pictures_are_not_empty(arena, option: str):
    picture = cv2.imread(str(arena.file(f"metrics/explore/pictures/{option}.png")))
    assert picture is not None
    assert picture.std() > 10


def test_the_same_inputs_give_the_same_bytes(arena):
    arena.run(explore, **{**FILES[explore], **OUTPUTS})
    for option, name in OUTPUTS.items():
        assert files_in(arena.file(name)) == files_in(arena.file(FILES[explore][option])), option


def test_an_empty_class_a_single_image_and_grey_ones_still_come_out(arena):
    """No figure is made up for what is not there, and JSON takes no NaN."""
    images = np.full((3, 32, 32, 3), 77, np.uint8)
    save_resized(arena.file("scant_train"), split_of(images, [0, 0, 1], CLASSES), 40, "cubic", "crop")
    outputs = {"metrics": "scant.json", "plots": "scant"}
    arena.run(explore, **{**FILES[explore], **outputs, "train": "scant_train"})
    rows = rows_of(arena, "scant/classes.tsv")
    assert [rows["train", name]["images"] for name in CLASSES] == ["2", "1", "0"]
    assert [rows["train", name]["contrast"] for name in CLASSES] == ["0.0", "0.0", ""]
    metrics = json.loads(arena.file(outputs["metrics"]).read_text())
    assert metrics["interpolation"]["cubic"] == {"sharpness": 0.0}
    for option in PICTURES:
        assert cv2.imread(str(arena.file(f"scant/pictures/{option}.png"))) is not None


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"test": {"per_class": {"airplane": 1}}}'])
def test_counts_that_are_not_there_are_told_in_one_line(arena, text: str):
    arena.file("odd.json").write_text(text)
    with pytest.raises(DataError, match=r"odd\.json: no number of test images a class .*; run subsample again"):
        arena.run(explore, **{**FILES[explore], **OUTPUTS, "counts": "odd.json"})


@pytest.mark.parametrize("name", ["examples", "interpolation_images", "interpolation_examples"])
def test_none_of_something_is_refused(arena, name: str):
    parameters = {**arena.parameters, "explore": {**arena.parameters["explore"], name: 0}}
    with pytest.raises(ParameterError, match=rf"explore\.{name} = 0"):
        arena.run(explore, parameters, **FILES[explore])
