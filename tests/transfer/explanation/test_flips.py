"""Flips: errors are counted by kind, and a model that is led by colour or background is found out."""

from collections.abc import Iterable

import numpy as np

from transfer.explanation.flips import FLIP_COLUMNS, MOST_IMAGES, commonest, flip_rows

CLASSES = ("frog", "leaf", "rock")
LIMITS = (0.05, 0.65, 0.5)


def test_the_commonest_errors_come_first_and_none_without_errors() -> None:
    labels = np.array([0, 0, 0, 1, 2, 2])
    predicted = np.array([1, 1, 2, 1, 0, 2])
    assert commonest(labels, predicted, 3) == [(0, 1), (0, 2), (2, 0)]
    assert commonest(labels, labels, 3) == []


def discs(count: int) -> np.ndarray:
    """Red discs on green."""
    y, x = np.mgrid[:48, :48]
    disc = ((y - 24) ** 2 + (x - 24) ** 2 < 10**2)[..., None]
    clean = np.where(disc, [210, 40, 40], [40, 180, 60])
    noise = np.random.default_rng(0).normal(0, 6, (count, 48, 48, 3))
    return (clean + noise).clip(0, 255).astype(np.uint8)


def reads_colour(pictures: Iterable[np.ndarray]) -> np.ndarray:
    """Anything in colour is a leaf, what is grey a frog."""
    return np.array([int((picture.max(2) - picture.min(2)).max() > 60) for picture in pictures], int)


def reads_background(pictures: Iterable[np.ndarray]) -> np.ndarray:
    """Texture at the upper edge makes a leaf."""
    return np.array([int(picture[:8].astype(float).std((0, 1)).mean() > 3) for picture in pictures], int)


def test_an_answer_that_hangs_on_colour_flips_in_grey() -> None:
    (row,) = flip_rows(discs(30), np.zeros(30, int), np.ones(30, int), CLASSES, reads_colour, LIMITS)
    assert set(row) == set(FLIP_COLUMNS)
    assert (row["actual"], row["predicted"], row["errors"], row["tried"]) == ("frog", "leaf", 30, MOST_IMAGES)
    assert (row["grey"], row["low_pass"], row["background"]) == (MOST_IMAGES, 0, 0)
    assert row["with_object"] == MOST_IMAGES
    assert (row["control_tried"], row["flipped_by"]) == (0, "")  # no leaf to compare with


def test_an_answer_that_hangs_on_texture_of_the_background_flips_when_it_is_blurred() -> None:
    (row,) = flip_rows(discs(5), np.zeros(5, int), np.ones(5, int), CLASSES, reads_background, LIMITS)
    assert (row["background"], row["with_object"], row["grey"]) == (5, 5, 0)


def test_a_change_that_turns_every_image_so_explains_no_error() -> None:
    """Frogs taken for leaves, and leaves: in grey all become frogs, so colour is not what misled."""
    images, labels = discs(60), np.repeat([0, 1], 30)
    (row,) = flip_rows(images, labels, np.ones(60, int), CLASSES, reads_colour, LIMITS)
    assert (row["grey"], row["control_grey"], row["flipped_by"]) == (MOST_IMAGES, MOST_IMAGES, "")
    images[30:] = np.roll(images[30:], 1, axis=3)  # leaves whose own colours are seen in grey too
    marked = np.flatnonzero(labels)
    images[marked, -4:] = 255

    def reads_marks_too(pictures: Iterable[np.ndarray]) -> np.ndarray:
        shown = list(pictures)
        return reads_colour(shown) | np.array([picture[-4:].min() > 200 for picture in shown])

    (row,) = flip_rows(images, labels, np.ones(60, int), CLASSES, reads_marks_too, LIMITS)
    assert (row["grey"], row["control_grey"], row["flipped_by"]) == (MOST_IMAGES, 0, "grey")


def test_an_error_of_several_views_that_one_view_gets_right_is_not_tried() -> None:
    images = discs(6)
    images[:2] = images[:2].mean(3, keepdims=True).astype(np.uint8)  # right already
    (row,) = flip_rows(images, np.zeros(6, int), np.ones(6, int), CLASSES, reads_colour, LIMITS)
    assert (row["errors"], row["tried"], row["grey"]) == (6, 4, 4)
