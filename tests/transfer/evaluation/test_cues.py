"""Cues: each change takes away what it says and leaves the rest; rows per class."""

import cv2
import numpy as np
import pytest

from tests.transfer.evaluation.test_pixels import photographs
from transfer.evaluation.cues import COLOUR_COLUMNS, CUES, accuracy_of, colour_rows, cue_rows, with_cue

IMAGES = photographs(20)


def made(name: str) -> np.ndarray:
    return np.stack(list(with_cue(IMAGES, name, 0)))


@pytest.mark.parametrize("name", CUES)
def test_shape_and_type_stay_and_chance_is_the_seeds_alone(name: str) -> None:
    images = made(name)
    assert (images.shape, images.dtype) == (IMAGES.shape, np.uint8)
    assert (images != IMAGES).any((1, 2, 3)).mean() > 0.9
    np.testing.assert_array_equal(images, made(name))


def test_grey_has_no_colour_and_the_same_luma() -> None:
    images = made("grey")
    assert (images == images[..., :1]).all()
    luma = np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in IMAGES])
    np.testing.assert_array_equal(images[..., 0], luma)


def test_an_opposite_hue_turns_red_into_cyan_and_leaves_grey() -> None:
    red, plain = np.full((4, 4, 3), (200, 20, 20), np.uint8), np.full((4, 4, 3), 90, np.uint8)
    turned = np.stack(list(with_cue(np.stack([red, plain]), "hue_shifted", 0)))
    assert turned[0, 0, 0].tolist() == [20, 200, 200]
    np.testing.assert_array_equal(turned[1], plain)


def detail(images: np.ndarray) -> float:
    return float(np.abs(np.diff(images.astype(float), axis=2)).mean())


def test_filters_part_fine_detail_from_the_rest() -> None:
    low, high, colour = made("low_pass"), made("high_pass"), made("colour_only")
    assert detail(colour) < detail(low) < 0.5 * detail(IMAGES)
    assert detail(high) > 0.6 * detail(IMAGES)
    means = [images.mean((1, 2)) for images in (IMAGES, low, high)]
    np.testing.assert_allclose(means[1], means[0], atol=4)
    np.testing.assert_allclose(means[2], means[0], atol=4)
    middle = high[:, 8:24, 8:24].mean((1, 2))  # where it is in the image no longer matters
    assert np.abs(middle - means[0]).mean() < 0.5 * np.abs(IMAGES[:, 8:24, 8:24].mean((1, 2)) - means[0]).mean() + 2


def test_shuffled_patches_are_the_same_pixels_elsewhere() -> None:
    images = made("patches_shuffled")
    for before, after in zip(IMAGES, images, strict=True):
        np.testing.assert_array_equal(np.sort(before.reshape(-1, 3), axis=0), np.sort(after.reshape(-1, 3), axis=0))
        corners = {before[y : y + 8, x : x + 8].tobytes() for y in range(0, 32, 8) for x in range(0, 32, 8)}
        assert {after[y : y + 8, x : x + 8].tobytes() for y in range(0, 32, 8) for x in range(0, 32, 8)} == corners


def test_rows_count_each_class() -> None:
    labels = np.array([0, 0, 2])
    rows = cue_rows({"grey": np.array([True, False, True])}, labels, ("frog", "cat", "dog"))
    assert [(row["class"], row["cue"], row["images"], row["accuracy"]) for row in rows] == [
        ("frog", "grey", 2, 0.5),
        ("dog", "grey", 1, 1.0),
    ]
    assert accuracy_of(np.array([True, True]))["accuracy_ci_low"] < 1


def answers_with(in_grey: int, by_colour: int, taken_for_it: int) -> dict[str, np.ndarray]:
    """Answers to 100 images of each of two classes, of class 0 so many right in grey, and so on."""
    first, second = np.zeros(200, int), np.repeat([0, 1], 100)
    first[in_grey:] = 1
    colour_only = np.ones(200, int)
    colour_only[:by_colour] = colour_only[100 : 100 + taken_for_it] = 0
    return {"unchanged": second, "grey": first, "hue_shifted": first, "colour_only": colour_only}


@pytest.mark.parametrize(
    ("known", "verdict"),
    [
        ((60, 80, 10), "confirmed"),
        ((100, 80, 10), "refuted"),  # it loses nothing without its colour
        ((60, 0, 0), "refuted"),  # its colour alone tells nothing
        ((60, 100, 100), "refuted"),  # everything that is blurred is taken for it
        ((85, 20, 12), "undecided"),
    ],
)
def test_a_class_is_known_by_its_colour_if_that_is_needed_and_enough(known: tuple, verdict: str) -> None:
    row = colour_rows(answers_with(*known), np.repeat([0, 1], 100), ("frog", "cat"))[0]
    assert set(row) == set(COLOUR_COLUMNS)
    assert (row["class"], row["images"], row["accuracy"], row["verdict"]) == ("frog", 100, 1, verdict)
    assert row["grey_cost"] == row["hue_cost"] == pytest.approx(1 - known[0] / 100)
    assert row["colour_alone"] == pytest.approx((known[1] - known[2]) / 100)
    assert row["grey_cost_ci_low"] <= row["grey_cost"] <= row["grey_cost_ci_high"]


def test_a_colour_that_certainly_matters_to_few_images_is_not_what_a_class_is_known_by() -> None:
    answers = {name: np.repeat(found, 10) for name, found in answers_with(95, 80, 10).items()}
    row = colour_rows(answers, np.repeat([0, 1], 1000), ("frog", "cat"))[0]
    assert 0 < row["grey_cost_ci_low"] < row["grey_cost_ci_high"] < 0.1 < row["colour_alone_ci_low"]
    assert row["verdict"] == "refuted"


def test_few_images_of_a_class_decide_nothing() -> None:
    some = np.r_[:20, 100:200]
    answers = {name: found[some] for name, found in answers_with(0, 100, 0).items()}
    assert colour_rows(answers, np.repeat([0, 1], 100)[some], ("frog", "cat"))[0]["verdict"] == "undecided"
    assert colour_rows(answers_with(60, 80, 10), np.zeros(200, int), ("frog", "cat")) == []  # there is no other class


def test_rarely_is_a_class_called_known_by_its_colour_where_nothing_is() -> None:
    rng, labels, named = np.random.default_rng(0), np.repeat(np.arange(10), 100), tuple("abcdefghij")
    called = 0
    for _ in range(40):  # right as often in grey, and by colour alone any answer
        answers = {cue: np.where(rng.random(1000) < 0.9, labels, (labels + 1) % 10) for cue in ("unchanged", "grey")}
        answers |= {"hue_shifted": answers["grey"], "colour_only": rng.integers(0, 10, 1000)}
        called += any(row["verdict"] == "confirmed" for row in colour_rows(answers, labels, named))
    assert called <= 2
