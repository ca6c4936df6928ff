"""Pictures of a change: curves of both runs, strips of an even choice of images, frames that tell right from wrong."""

from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from tests.transfer.report.healthy_run import curve
from transfer.comparison.pictures import View, heat_map_pairs, learning_curves, prediction_strip, sample
from transfer.pictures.sheets import RIGHT, WRONG

GRAY = np.full((32, 32, 3), 128, np.uint8)


def painted(path: Path, colour: str) -> int:
    """Pixels of a picture in a colour, in RGB."""
    picture = cv2.imread(str(path))
    assert picture is not None
    rgb = np.round(255 * np.array(to_rgb(colour)[::-1]))
    return int((np.abs(picture.astype(int) - rgb).max(axis=2) <= 3).sum())


def test_a_sample_is_of_every_class_without_repeats() -> None:
    labels = np.random.default_rng(0).integers(0, 10, 500)
    indices = np.flatnonzero(labels != 3)
    shown = sample(labels, indices, 18)
    assert len(set(shown.tolist())) == 18
    assert set(shown) <= set(indices)
    assert np.bincount(labels[shown], minlength=10).tolist() == pytest.approx([2, 2, 2, 0, 2, 2, 2, 2, 2, 2], abs=1)
    np.testing.assert_array_equal(np.sort(sample(labels, indices, 1000)), indices)
    assert sample(labels, indices[:0], 5).shape == (0,)
    assert len(sample(labels, indices, 1)) == 1


def test_learning_curves_are_a_file_that_shows_both_runs(tmp_path: Path) -> None:
    run = {"phase 1": curve(1, (0.5, 0.6), (0.8, 0.8)), "phase 2": curve(3, (0.9, 0.85), (0.95, 0.9))}
    for measure in ("accuracy", "loss"):
        for before, after in ((run, run), ({}, run), (run, {})):
            learning_curves(tmp_path / "curves.svg", before, after, measure)
            root = ElementTree.parse(tmp_path / "curves.svg").getroot()
            assert root.tag == "{http://www.w3.org/2000/svg}svg"
            words = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
            assert ("validation, before" in words, "validation" in words) == (bool(before), bool(after))


def test_a_strip_is_framed_by_what_became_of_the_predictions(tmp_path: Path) -> None:
    for is_right, own, other in ((True, RIGHT, WRONG), (False, WRONG, RIGHT)):
        path = tmp_path / f"{is_right}.png"
        prediction_strip(path, np.stack([GRAY] * 3), ["$a_$", "b", "c"], ["d"] * 3, 40, is_right)
        assert painted(path, own) > 3 * 4 * 100
        assert painted(path, other) == 0


def test_heat_maps_are_framed_by_each_models_prediction(tmp_path: Path) -> None:
    heat = np.zeros((32, 32), np.float32)
    larger, large = np.full((64, 64, 3), 128, np.uint8), np.zeros((64, 64), np.float32)
    example = ("cat", View(GRAY, heat, "dog"), View(larger, large, "cat"))
    heat_map_pairs(tmp_path / "one.png", [example], "title")
    heat_map_pairs(tmp_path / "two.png", [example, example], "title")
    one, two = ([painted(tmp_path / name, colour) for colour in (RIGHT, WRONG)] for name in ("one.png", "two.png"))
    assert all(count > 400 for count in one)
    assert two == pytest.approx([2 * count for count in one], rel=0.1)
