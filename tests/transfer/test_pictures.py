"""Pictures: captions say what they must, colours are where they must be, equal content gives equal files."""

import cv2
import numpy as np
import pytest

from transfer.pictures import Explained, caption_of, heat_colours, heat_map_sheet, overlay, percent, prediction_grid

CLASSES = ("cat", "dog")
RIGHT_RGB, WRONG_RGB = (0x1A, 0x7F, 0x37), (0xCF, 0x22, 0x2E)


def count_colour(path, colour: tuple[int, int, int]) -> int:
    picture = cv2.imread(str(path))
    assert picture is not None
    return int((picture[..., ::-1] == colour).all(axis=-1).sum())


@pytest.mark.parametrize(("probability", "text"), [(0.5, "50 %"), (0.987, "99 %"), (0.9999, ">99 %"), (1.0, ">99 %")])
def test_percent_never_claims_certainty(probability: float, text: str):
    assert percent(probability) == text


def test_captions_tell_right_from_wrong():
    assert caption_of(0, np.array([0.9, 0.1]), CLASSES) == "cat 90 %"
    assert caption_of(1, np.array([0.9, 0.1]), CLASSES) == "dog → cat 90 %"


@pytest.mark.parametrize(("predicted", "frames"), [([0, 1], RIGHT_RGB), ([1, 0], WRONG_RGB)])
def test_right_answers_are_framed_green_and_wrong_ones_red(tmp_path, predicted: list[int], frames):
    path = tmp_path / "grid.png"
    images = np.zeros((2, 32, 32, 3), np.uint8)
    prediction_grid(path, images, np.array([0, 1]), np.eye(2)[predicted], CLASSES)
    other = WRONG_RGB if frames == RIGHT_RGB else RIGHT_RGB
    assert count_colour(path, frames) > 1000
    assert count_colour(path, other) == 0


def test_equal_pictures_are_equal_files(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    chances = np.array([[0.7, 0.3], [0.2, 0.8], [0.6, 0.4]])
    for name in ("a.png", "b.png"):
        prediction_grid(tmp_path / name, images, np.array([0, 1, 1]), chances, CLASSES)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_an_overlay_is_half_image_and_half_heat():
    pixels = np.full((4, 4, 3), 200, np.uint8)
    heat = np.linspace(0, 1, 16).reshape(4, 4)
    expected = (pixels.astype(float) + heat_colours(heat)) / 2
    np.testing.assert_allclose(overlay(pixels, heat), expected, atol=0.5)


def test_a_sheet_comes_out_with_gaps_and_empty_maps(tmp_path):
    pixels = np.zeros((16, 16, 3), np.uint8)
    right = Explained(pixels, np.eye(16), 0, np.array([0.9, 0.1]))
    empty = Explained(pixels, np.zeros((16, 16)), 1, np.array([0.8, 0.2]))
    rows = [("cat", [right, None]), ("dog", [None, empty])]
    heat_map_sheet(tmp_path / "sheet.png", rows, ["right", "wrong"], CLASSES, "title")
    assert count_colour(tmp_path / "sheet.png", RIGHT_RGB) > 0
    assert count_colour(tmp_path / "sheet.png", WRONG_RGB) > 0
    heat_map_sheet(tmp_path / "none.png", [("cat", [None]), ("dog", [None])], ["right"], CLASSES, "title")
    assert count_colour(tmp_path / "none.png", RIGHT_RGB) == 0
