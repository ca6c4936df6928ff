"""Cues: each change takes away what it says and leaves the rest; rows per class."""

import cv2
import numpy as np
import pytest

from tests.transfer.evaluation.test_pixels import photographs
from transfer.evaluation.cues import CUES, accuracy_of, cue_rows, with_cue

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
