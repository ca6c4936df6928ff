"""Duplicates: planted copies are found however they were processed, strangers are not; slow loops agree."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics.pairwise import cosine_similarity

from tests.transfer.evaluation.test_pixels import photographs
from transfer.evaluation.duplicates import (
    Looks,
    Pair,
    Thresholds,
    accuracy_without,
    exact_pairs,
    find_duplicates,
    pixel_correlation,
    similar_pairs,
)

THRESHOLDS = Thresholds(neighbours=3, min_feature_similarity=0.85, min_pixel_correlation=0.9, max_shift_px=2)
GREY = np.full((32, 32, 3), 120, np.uint8)


def shifted(image: np.ndarray, right: int, down: int) -> np.ndarray:
    return cv2.warpAffine(
        image, np.array([[1, 0, right], [0, 1, down]], float), (32, 32), borderMode=cv2.BORDER_REFLECT_101
    )


def brightened(image: np.ndarray) -> np.ndarray:
    return np.clip(1.1 * image.astype(float) + 12, 0, 255).round().astype(np.uint8)


def features_of(images: np.ndarray) -> np.ndarray:
    """Coarse colours (N, 48): what a backbone's features are to these tests."""
    return np.stack([cv2.resize(image, (4, 4), interpolation=cv2.INTER_AREA).ravel() for image in images]).astype(float)


def looks_of(images: np.ndarray) -> Looks:
    return Looks(images, (features_of(images), features_of(images[:, :, ::-1])))


def slow_correlation(a: np.ndarray, b: np.ndarray, shift: int) -> float:
    """All shifts and both views, with numpy's correlation coefficient on channels without their means."""
    best, size = -1.0, 32 - 2 * shift
    for view in (b, b[:, ::-1]):
        part = view[shift : shift + size, shift : shift + size].astype(float)
        for y in range(2 * shift + 1):
            for x in range(2 * shift + 1):
                window = a[y : y + size, x : x + size].astype(float)
                ours, theirs = (piece - piece.mean((0, 1)) for piece in (window, part))
                best = max(best, np.corrcoef(ours.ravel(), theirs.ravel())[0, 1])
    return best


def test_equal_bytes_are_found_within_and_across_sets():
    images = photographs(6)
    images[4] = images[1]
    assert exact_pairs(images).tolist() == [[1, 4]]
    assert exact_pairs(images, photographs(6)).tolist() == [[0, 0], [1, 1], [2, 2], [3, 3], [4, 1], [5, 5]]
    assert exact_pairs(photographs(6)).shape == (0, 2)


def test_three_of_the_same_are_three_pairs():
    assert exact_pairs(np.stack([GREY, photographs(1)[0], GREY, GREY])).tolist() == [[0, 2], [0, 3], [2, 3]]


def brute_force(views: list[np.ndarray], others: np.ndarray | None, neighbours: int, minimum: float) -> dict:
    """The full matrix of scikit-learn, sorted."""
    found: dict[tuple[int, int], float] = {}
    for view in views:
        cosines = cosine_similarity(views[0] if others is None else others, view)
        if others is None:
            np.fill_diagonal(cosines, -np.inf)
        for row, values in enumerate(cosines):
            for column in np.argsort(-values)[:neighbours]:
                if values[column] >= minimum:
                    pair = (int(column), row)
                    pair = (min(pair), max(pair)) if others is None else pair
                    found[pair] = max(found.get(pair, -1), float(values[column]))
    return found


@pytest.mark.parametrize("block_rows", [1, 7, 1024])
@pytest.mark.parametrize("within", [True, False])
def test_blocks_give_what_the_whole_matrix_gives(block_rows: int, within: bool):
    rng = np.random.default_rng(0)
    plain, mirrored, other = (rng.normal(size=(count, 5)) for count in (40, 40, 23))
    others = None if within else other
    places, cosines = similar_pairs([plain, mirrored], others, 4, 0.6, block_rows)
    expected = brute_force([plain, mirrored], others, 4, 0.6)
    assert [tuple(pair) for pair in places.tolist()] == sorted(expected)
    np.testing.assert_allclose(cosines, [expected[pair] for pair in sorted(expected)])
    assert 0 < len(places) < 40 * 39 / 2


def test_fewer_images_than_neighbours_and_a_single_image():
    rows = np.eye(2) + 0.5
    assert similar_pairs([rows], None, 5, 0.0)[0].tolist() == [[0, 1]]
    assert similar_pairs([rows[:1]], None, 5, -1.0)[0].shape == (0, 2)
    assert similar_pairs([rows], rows[:1], 5, -1.0)[0].tolist() == [[0, 0], [1, 0]]


def test_features_of_nothing_but_zeros_are_like_no_other():
    places, cosines = similar_pairs([np.zeros((3, 4))], None, 2, 0.1)
    assert places.shape == (0, 2)
    assert cosines.shape == (0,)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 59), st.integers(0, 59), st.integers(0, 3))
def test_pixel_correlation_is_that_of_a_slow_loop(first: int, second: int, shift: int):
    images = photographs()
    a, b = images[first % len(images)], images[second % len(images)]
    assert pixel_correlation(a, b, shift) == pytest.approx(slow_correlation(a, b, shift), abs=1e-4)


def test_a_faint_image_is_measured_as_exactly_as_a_strong_one():
    rng = np.random.default_rng(0)
    a, b = (250 + rng.integers(0, 2, (32, 32, 3), np.uint8) for _ in range(2))
    assert pixel_correlation(a, b, 2) == pytest.approx(slow_correlation(a, b, 2), abs=1e-4)
    assert pixel_correlation(a, a, 2) == pytest.approx(1)


def test_one_colour_correlates_with_nothing():
    image = photographs(1)[0]
    for a, b in ((GREY, GREY), (GREY, image), (image, GREY)):
        assert pixel_correlation(a, b, 2) == 0


@pytest.mark.parametrize(
    "copy",
    [
        lambda image: image[:, ::-1],
        lambda image: shifted(image, 2, -1),
        lambda image: shifted(image[:, ::-1], -2, 2),
        brightened,
        lambda image: brightened(shifted(image, 1, 1)),
        lambda image: cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1], cv2.IMREAD_COLOR),
    ],
    ids=["mirrored", "shifted", "mirrored and shifted", "brightened", "brightened and shifted", "as JPEG"],
)
def test_a_processed_copy_is_found_and_nothing_else(copy):
    images = photographs()
    test = np.stack([np.ascontiguousarray(copy(images[28])), images[40], images[41]])
    train = np.delete(images, [40, 41], axis=0)
    found = find_duplicates(looks_of(train), Looks(test, looks_of(test).views[:1]), THRESHOLDS)
    assert [pair.places for pair in found] == [(28, 0)]
    assert not found[0].exact
    assert found[0].pixel_correlation > 0.9


def test_an_equal_image_is_exact_and_counted_once():
    images = photographs(20)
    found = find_duplicates(looks_of(images[:10]), looks_of(images[5:]), THRESHOLDS)
    assert found == [Pair((place, place - 5), True, 1.0, 1.0) for place in range(5, 10)]


def test_grey_images_are_duplicates_only_if_equal():
    images = np.stack([GREY, GREY + 5, GREY])
    (pair,) = find_duplicates(looks_of(images), None, THRESHOLDS)
    assert pair.places == (0, 2)
    assert pair.exact


def test_strangers_are_no_pairs():
    images = photographs()
    assert find_duplicates(looks_of(images[:30]), looks_of(images[30:]), THRESHOLDS) == []


def test_accuracy_is_told_with_and_without():
    right = np.array([True, True, False, True, False])
    affected = np.array([False, True, True, False, False])
    figures = accuracy_without(right, affected)
    interval = binomtest(2, 3).proportion_ci(method="wilson")
    assert figures["affected_test_images"] == 2
    assert figures["accuracy"] == pytest.approx(0.6)
    assert figures["accuracy_without"] == pytest.approx(2 / 3)
    assert figures["accuracy_without_ci_low"] == pytest.approx(interval.low)
    assert figures["accuracy_without_ci_high"] == pytest.approx(interval.high)
    assert figures["accuracy_on_affected"] == pytest.approx(0.5)


def test_figures_of_no_images_are_left_out():
    right = np.array([True, False])
    assert "accuracy_without" not in accuracy_without(right, np.array([True, True]))
    assert "accuracy_on_affected" not in accuracy_without(right, np.array([False, False]))
