"""Pictures of the data: what is there is drawn as it is, what is not leaves a gap, equal content gives equal files."""

from pathlib import Path

import cv2
import numpy as np

from transfer.evaluation.pixels import measure_enlarged, measure_original
from transfer.pictures.data import example_sheet, interpolation_sheet, mean_sheet, pair_sheet

CLASSES = ("cat", "dog")
TEAL, PINK = (0, 128, 128), (255, 105, 180)


def plain(*colours: tuple[int, int, int]) -> np.ndarray:
    """An image (32, 32, 3) of each colour."""
    return np.stack([np.full((32, 32, 3), colour, np.uint8) for colour in colours])


def patches(path: Path, colour: tuple[int, int, int]) -> int:
    """How many separate areas of a colour a picture has."""
    picture = cv2.imread(str(path))
    assert picture is not None
    same = (np.abs(picture[..., ::-1].astype(int) - colour) <= 1).all(axis=-1)
    _, _, stats, _ = cv2.connectedComponentsWithStats(np.asarray(same, np.uint8))
    return int((stats[1:, cv2.CC_STAT_AREA] > 500).sum())


def pair(colour_a: tuple[int, int, int], colour_b: tuple[int, int, int], position: int) -> dict:
    a, b = plain(colour_a, colour_b)
    return {
        **{"kind": "near", "split_a": "train", "split_b": "test", "class_a": "cat", "class_b": "dog"},
        **{"position_a": position + 5, "position_b": position, "pixels_a": a, "pixels_b": b},
        "correlation": 0.95,
    }


def test_each_class_shows_as_many_examples_as_there_are_and_were_asked_for(tmp_path: Path):
    images = plain(TEAL, TEAL, TEAL, PINK)
    labels = np.array([0, 0, 0, 1])
    example_sheet(tmp_path / "some.png", images, labels, CLASSES, columns=2)
    assert patches(tmp_path / "some.png", TEAL) == 2
    assert patches(tmp_path / "some.png", PINK) == 1


def test_a_mean_image_is_the_mean_and_an_empty_class_has_none(tmp_path: Path):
    mean_sheet(tmp_path / "mean.png", plain((0, 108, 108), (0, 148, 148)), np.array([0, 0]), CLASSES)
    assert patches(tmp_path / "mean.png", TEAL) == 1
    assert patches(tmp_path / "mean.png", PINK) == 0


def test_one_colour_is_that_colour_in_every_interpolation(tmp_path: Path):
    images = plain(TEAL)
    measured = {name: measure_enlarged(images, 48, name) for name in ("nearest", "cubic")}
    interpolation_sheet(tmp_path / "sheet.png", images, 48, measured, measure_original(images), "title")
    assert patches(tmp_path / "sheet.png", TEAL) == 3  # the original too


def test_pairs_are_drawn_up_to_a_number_and_each_second_image_once(tmp_path: Path):
    rows = [pair(TEAL, PINK, position) for position in (1, 1, 2, 3)]
    pair_sheet(tmp_path / "pairs.png", rows, 2)
    assert patches(tmp_path / "pairs.png", TEAL) == patches(tmp_path / "pairs.png", PINK) == 2
    pair_sheet(tmp_path / "all.png", rows, 9)
    assert patches(tmp_path / "all.png", TEAL) == 3


def test_no_pairs_are_a_page_with_words(tmp_path: Path):
    pair_sheet(tmp_path / "none.png", [], 5)
    picture = cv2.imread(str(tmp_path / "none.png"))
    assert picture is not None
    assert (picture < 200).any()


def test_equal_pairs_are_equal_files(tmp_path: Path):
    for name in ("a.png", "b.png"):
        pair_sheet(tmp_path / name, [pair(TEAL, PINK, 1)], 5)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
