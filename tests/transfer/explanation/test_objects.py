"""Objects are found where they are, masks that cannot be trusted are rejected, changed parts are the right parts."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from transfer.explanation import objects
from transfer.explanation.objects import (
    LARGE,
    SMALL,
    TAKEN,
    UNSTEADY,
    blur_background,
    blur_object,
    compose,
    counterfactuals,
    cut_out,
    draw_partners,
    find_objects,
    judge,
    known_objects,
    put_into,
    smoothed,
    widened,
)

LIMITS = (0.05, 0.65, 0.5)


def disc(side: int = 96, radius: float = 0.28) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / side - 0.5
    return x**2 + y**2 < radius**2


def photograph(mask: np.ndarray, seed: int = 0) -> np.ndarray:
    """A red object on green, both noisy."""
    noise = np.random.default_rng(seed).normal(0, 12, (*mask.shape, 3))
    colours = np.where(mask[..., None], [200, 60, 50], [50, 150, 60])
    return (colours + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("side", [32, 96, 224])
def test_an_object_is_found_at_any_size(side: int):
    mask = cut_out(photograph(disc(side)), 1 / 16)
    assert mask.shape == (side, side)
    overlap = (mask & disc(side)).sum() / (mask | disc(side)).sum()
    assert overlap > 0.9


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_nothing_is_found_in_an_image_of_one_colour(colour: int):
    masks, judged = find_objects(np.full((2, 40, 40, 3), colour, np.uint8), *LIMITS)
    assert masks.shape == (2, 40, 40)
    assert TAKEN not in judged


def test_only_the_largest_part_counts():
    speck = np.zeros((96, 96), bool)
    speck[14:22, 14:22] = True
    assert not (cut_out(photograph(disc(radius=0.2) | speck), 1 / 16) & speck).any()


def test_masks_are_judged_by_share_and_agreement():
    square = np.zeros((10, 10), bool)
    square[:5, :6] = True  # 30 %
    shifted = np.roll(square, 3, axis=1)  # shares half of it: 15 of 45
    assert judge(square, square, *LIMITS) == TAKEN
    assert judge(square, shifted, 0.05, 0.65, 1 / 3) == TAKEN
    assert judge(square, shifted, 0.05, 0.65, 0.34) == UNSTEADY
    assert judge(square, square, 0.31, 0.65, 0.5) == SMALL
    assert judge(square, square, 0.05, 0.29, 0.5) == LARGE
    assert judge(~square & square, square, *LIMITS) == SMALL


def test_neither_threads_nor_order_change_a_mask():
    pixels = np.stack([photograph(disc(radius=0.15 + 0.02 * i), i) for i in range(6)])
    before = cv2.getNumThreads()
    try:
        found = []
        for threads, order in ((1, slice(None)), (4, slice(None)), (4, slice(None, None, -1))):
            cv2.setNumThreads(threads)
            masks, judged = find_objects(pixels[order], *LIMITS)
            found.append((masks[order], judged[order]))
    finally:
        cv2.setNumThreads(before)
    for masks, judged in found[1:]:
        np.testing.assert_array_equal(masks, found[0][0])
        np.testing.assert_array_equal(judged, found[0][1])


def test_objects_are_looked_for_once_in_the_same_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pixels, cuts = np.stack([photograph(disc(radius=0.2 + 0.05 * i), i) for i in range(2)]), []
    monkeypatch.setattr(objects, "cut_out", lambda *asked: cuts.append(asked) or cut_out(*asked))
    first = known_objects(tmp_path, "code", pixels, *LIMITS)
    assert len(cuts) == 4
    for masks, judged in (known_objects(tmp_path, "code", pixels, *LIMITS), find_objects(pixels, *LIMITS)):
        np.testing.assert_array_equal(masks, first[0])
        np.testing.assert_array_equal(judged, first[1])
    assert len(cuts) == 8  # find_objects' own
    known_objects(tmp_path, "code", pixels[::-1], *LIMITS)
    known_objects(tmp_path, "other code", pixels[::-1], *LIMITS)
    assert len(cuts) == 16
    (file,) = (tmp_path / "objects").iterdir()
    file.write_bytes(file.read_bytes()[:100])
    known_objects(tmp_path, "other code", pixels[::-1], *LIMITS)
    assert len(cuts) == 20


def test_smoothing_equals_a_slow_weighted_mean_of_the_kept_pixels():
    rng = np.random.default_rng(0)
    pixels, kept = rng.integers(0, 256, (24, 24, 3), np.uint8), rng.random((24, 24)) < 0.3
    y, x = np.mgrid[:24, :24]
    result = smoothed(pixels, kept)
    for row, column in ((12, 12), (11, 14)):  # far from the edge, where OpenCV mirrors
        weights = kept * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * 3.0**2))
        expected = (weights[..., None] * pixels).sum((0, 1)) / weights.sum()
        np.testing.assert_allclose(result[row, column], expected, atol=1)


def test_nothing_of_the_other_part_bleeds_in():
    mask = disc()
    pixels = np.where(mask[..., None], np.uint8(255), np.uint8(0)).repeat(3, axis=2)
    np.testing.assert_allclose(smoothed(pixels, mask), 255, atol=1e-2)
    np.testing.assert_allclose(smoothed(pixels, ~mask), 0, atol=1e-2)
    assert np.isfinite(smoothed(pixels, np.zeros_like(mask))).all()


def test_each_change_leaves_the_other_part_alone():
    mask = disc()
    inner, outer = disc(radius=0.22), ~widened(mask)
    own, scene = photograph(mask, 0), photograph(disc(radius=0.2), 1)[..., ::-1].copy()
    for changed in (blur_background(own, mask), put_into(own, mask, scene, disc(radius=0.2))):
        np.testing.assert_array_equal(changed[inner], own[inner])
        assert np.abs(changed[outer].astype(int) - own[outer]).mean() > 5
    np.testing.assert_array_equal(blur_object(own, mask)[outer], own[outer])
    assert blur_object(own, mask)[inner].std(0).max() < 3 < own[inner].std(0).min()


def test_the_scene_keeps_nothing_of_its_own_object():
    scene_mask = disc(radius=0.3)
    scene = np.where(scene_mask[..., None], np.array([200, 0, 0], np.uint8), np.array([0, 200, 0], np.uint8))
    small = disc(radius=0.1)
    made = put_into(np.full_like(scene, 255), small, scene, scene_mask)
    np.testing.assert_allclose(
        made[~disc(radius=0.14)], np.broadcast_to([0, 200, 0], made.shape)[~disc(radius=0.14)], atol=5
    )


def test_compose_takes_each_side_from_its_image():
    mask = disc()
    made = compose(np.full((96, 96, 3), 10.0), np.full((96, 96, 3), 250.0), mask)
    assert (made[disc(radius=0.22)] == 10).all()
    assert (made[~widened(mask)] == 250).all()


def test_partners_are_of_the_class_asked_for_where_there_is_one():
    labels = np.array([0, 0, 0, 1, 1, 2])
    rng = np.random.default_rng(0)
    others, alike = draw_partners(labels, False, rng), draw_partners(labels, True, rng)
    assert (labels[others] != labels).all()
    assert (labels[alike] == labels).all()
    assert (alike[:5] != np.arange(5)).all()
    assert alike[5] == 5  # the only one of its class
    np.testing.assert_array_equal(draw_partners(np.array([1]), False, rng), [0])


def test_counterfactuals_depend_on_the_seed_alone():
    masks = np.stack([disc(40, 0.2 + 0.01 * i) for i in range(6)])
    pixels = np.stack([photograph(mask, i) for i, mask in enumerate(masks)])
    labels = np.array([0, 0, 1, 1, 2, 2])
    made, again, other = (counterfactuals(pixels, masks, labels, seed) for seed in (1, 1, 2))
    for name, images in made.items():
        assert images.shape == pixels.shape
        np.testing.assert_array_equal(images, again[name])
    assert (made["background_swapped"] != other["background_swapped"]).any()
