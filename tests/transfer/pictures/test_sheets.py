"""Pictures: captions say what they must, colours are where they must be, equal content gives equal files."""

import cv2
import numpy as np
import pytest

from transfer.pictures.sheets import (
    Explained,
    caption_of,
    error_sheet,
    heat_colours,
    heat_map_sheet,
    overlay,
    percent,
    picture_sheet,
    prediction_grid,
    spread,
    suspect_sheet,
)

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


def places_of_colours(path, colours: list[tuple[int, int, int]]) -> list[float]:
    """How far right each colour is in a picture, as a share of its width; -1 if it is not there."""
    picture = cv2.imread(str(path))
    assert picture is not None
    found = [np.flatnonzero((picture[..., ::-1] == colour).all(axis=-1).any(axis=0)) for colour in colours]
    return [float(columns.mean()) / picture.shape[1] if columns.size else -1 for columns in found]


PLAIN = [(250, 10, 20), (10, 250, 20), (10, 20, 250)]


def test_the_surest_errors_come_first_and_right_answers_not_at_all(tmp_path):
    images = np.stack([np.full((32, 32, 3), colour, np.uint8) for colour in PLAIN])
    chances = np.array([[0.4, 0.6], [0.1, 0.9], [0.01, 0.99]])
    error_sheet(tmp_path / "all.png", images, np.array([0, 0, 1]), chances, CLASSES, 5)
    first, second, third = places_of_colours(tmp_path / "all.png", PLAIN)
    assert 0 < second < first
    assert third == -1
    error_sheet(tmp_path / "one.png", images, np.array([0, 0, 1]), chances, CLASSES, 1)
    assert places_of_colours(tmp_path / "one.png", PLAIN)[0] == -1


def test_suspects_are_shown_as_far_as_there_is_room(tmp_path):
    images = np.stack([np.full((32, 32, 3), colour, np.uint8) for colour in PLAIN])
    rows = [{"label": "cat", "suggested": "dog"}] * 3
    suspect_sheet(tmp_path / "two.png", images, rows, 2)
    first, second, third = places_of_colours(tmp_path / "two.png", PLAIN)
    assert 0 < first < second
    assert third == -1


def test_a_sheet_of_nothing_is_a_small_page_that_says_so(tmp_path):
    error_sheet(tmp_path / "errors.png", np.zeros((1, 32, 32, 3), np.uint8), np.array([0]), np.eye(2)[:1], CLASSES, 9)
    suspect_sheet(tmp_path / "suspects.png", np.zeros((0, 32, 32, 3), np.uint8), [], 9)
    picture_sheet(tmp_path / "blank.png", [np.full((32, 32, 3), 255, np.uint8)], [""], [None], "")
    for name in ("errors.png", "suspects.png"):
        page, blank = (cv2.imread(str(tmp_path / file)) for file in (name, "blank.png"))
        assert page is not None
        assert blank is not None
        assert page.shape == blank.shape
        assert page[40:].min() < 200 < blank[40:].min()


def test_an_even_spread_takes_the_first_of_each_class():
    assert spread(np.array([1, 0, 1, 0, 0, 1]), 2, 4).tolist() == [1, 3, 0, 2]
    assert spread(np.array([1, 0, 1]), 2, 1).tolist() == [1, 0]  # one of each at least


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


@pytest.mark.filterwarnings("ignore:Glyph")  # where the machine has no font for it
@pytest.mark.parametrize("name", ["$5 #new", "$\\frac$", "a_b^c", "%d {0}", "<b>", "fire truck", "猫", "Straße"])
def test_a_class_may_have_any_name(tmp_path, name: str):
    image = np.zeros((1, 8, 8, 3), np.uint8)
    prediction_grid(tmp_path / "grid.png", image, np.array([0]), np.array([[0.9, 0.1]]), (name, "dog"))
    heat_map_sheet(tmp_path / "maps.png", [(name, [None])], [name], (name, "dog"), name)
    assert cv2.imread(str(tmp_path / "grid.png")) is not None
