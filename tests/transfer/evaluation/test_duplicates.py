"""Duplicates: made copies of photographs are found however they were processed, strangers are not."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from benchmarks.duplicates import COPIES, recall
from tests.transfer.evaluation.test_pixels import photographs
from transfer.evaluation.duplicates import (
    Copy,
    Links,
    Thresholds,
    accuracy_without,
    candidates,
    copies,
    correlation,
    details,
    find_links,
    thumbnails,
)

THRESHOLDS = Thresholds(neighbours=5, min_correlation=0.75, max_shift_px=2)
GREY = np.full((32, 32, 3), 120, np.uint8)


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_processed_copy_is_found_and_nothing_else(copy: Callable[[np.ndarray], np.ndarray]):
    images = photographs()
    images = images[details(images).astype(float).std((1, 2, 3)) > 10]  # without pieces of empty sky
    count = len(images)
    made = np.stack([copy(image) for image in images])
    links = find_links(np.concatenate([images, made]), THRESHOLDS)
    found = {pair for pair in links.near if pair[1] - pair[0] == count}
    # What is halved loses the details of smooth photographs; of CIFAR-10's images 99 % are found all the same.
    assert len(found) >= (0.5 if copy is COPIES["rescaled by 1/2"] else 0.9) * count
    assert set(links.near) == found  # photographs of different things
    assert count > 30


def test_recall_is_measured_by_kind():
    images = np.concatenate([photographs(), photographs()[:, ::-1], 255 - photographs()])
    found, correlations, links = recall(images[details(images).astype(float).std((1, 2, 3)) > 10], 3, THRESHOLDS)
    assert list(found) == list(COPIES)
    assert min(share for kind, share in found.items() if kind != "rescaled by 1/2") > 0.6
    nothing, none, _ = recall(images, 3, Thresholds(neighbours=5, min_correlation=1.0, max_shift_px=0))
    assert (nothing["JPEG 50"], {*none} - {1.0}) == (0, set())
    assert min(correlations) >= THRESHOLDS.min_correlation
    assert len(links.first) == len(images[details(images).astype(float).std((1, 2, 3)) > 10])


def test_larger_images_are_compared_as_well():
    images = photographs()[:20]
    large = np.stack([cv2.resize(image, (80, 80), interpolation=cv2.INTER_CUBIC) for image in images])
    large = np.concatenate([large, large[:3, :, ::-1]])
    assert set(find_links(large, THRESHOLDS).near) == {(0, 20), (1, 21), (2, 22)}


def slow_correlation(a: np.ndarray, b: np.ndarray, shift: int) -> float:
    """All shifts, with numpy's correlation coefficient on channels without their means."""
    best, size = -1.0, 32 - 2 * shift
    part = b[shift : shift + size, shift : shift + size].astype(float)
    for y in range(2 * shift + 1):
        for x in range(2 * shift + 1):
            window = a[y : y + size, x : x + size].astype(float)
            ours, theirs = (piece - piece.mean((0, 1)) for piece in (window, part))
            best = max(best, np.corrcoef(ours.ravel(), theirs.ravel())[0, 1])
    return best


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 59), st.integers(0, 59), st.integers(0, 3))
def test_correlation_is_at_least_that_of_a_slow_loop(first: int, second: int, shift: int):
    images = details(photographs())
    a, b = images[first % len(images)], images[second % len(images)]
    ours, slow = correlation(a, b, shift), slow_correlation(a, b, shift)
    assert ours >= slow - 1e-3
    assert slow >= 0.3 or ours == pytest.approx(slow, abs=1e-3)  # from there on parts are tried too


def test_an_image_without_details_is_like_no_other():
    image = photographs(1)
    plain, other = details(GREY[None])[0], details(image)[0]
    assert correlation(plain, plain, 2) == correlation(plain, other, 2) == correlation(other, plain, 2) == 0
    slope = np.broadcast_to(np.linspace(0, 250, 32)[None, :, None], (32, 32, 3)).astype(np.uint8)
    assert correlation(other, details(slope[None])[0], 2) < 0.5


def test_candidates_are_the_nearest_by_brute_force():
    images = photographs()[:30]
    rows, turned = thumbnails(images), thumbnails(np.ascontiguousarray(images[:, :, ::-1]))
    expected = set()
    for is_mirrored, others in enumerate((rows, turned)):
        for place in range(30):
            order = [other for other in np.argsort(-(others @ rows[place])).tolist() if other != place]
            expected |= {(min(place, other), max(place, other), bool(is_mirrored)) for other in order[:4]}
    for block_rows in (1, 7, 1024):
        places, mirrored = candidates(images, 4, block_rows)
        found = [(a, b, turn) for (a, b), turn in zip(places.tolist(), mirrored.tolist(), strict=True)]
        assert found == sorted(expected)


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_images_than_neighbours(count: int):
    assert find_links(photographs(2)[:count], THRESHOLDS).near == {}


def test_equal_images_are_copies_of_the_first():
    images = photographs(20)
    both = np.concatenate([images[:10], images[5:]])
    links = find_links(both, THRESHOLDS)
    assert list(copies(links, range(10, 25), range(10))) == [
        Copy(place, place - 5, True, 1.0) for place in range(10, 15)
    ]
    assert list(copies(links, range(10), range(10))) == []
    assert list(copies(links, range(25), range(25))) == [Copy(place, place - 5, True, 1.0) for place in range(10, 15)]
    assert links.groups().tolist() == [2] * 5


def test_1200_equal_frames_are_1199_copies_and_one_group():
    frames = np.concatenate([np.broadcast_to(photographs(1), (1200, 32, 32, 3)), photographs(4)[1:]])
    links = find_links(frames, THRESHOLDS)
    found = list(copies(links, range(1203), range(1203)))
    assert len(found) == 1199
    assert {copy.original for copy in found} == {0}
    assert links.groups().tolist() == [1200]
    assert links.near == {}


def test_a_copy_names_its_best_original_on_the_other_side():
    links = Links(np.array([0, 1, 0, 3, 4]), {(0, 3): 0.8, (1, 3): 0.9, (3, 4): 0.99})
    assert list(copies(links, [3, 4], [0, 1, 2])) == [Copy(3, 1, False, 0.9)]
    assert list(copies(links, [3], [2])) == [Copy(3, 2, False, 0.8)]  # the bytes of image 0
    assert list(copies(links, range(5), range(5))) == [
        Copy(2, 0, True, 1.0),
        Copy(3, 1, False, 0.9),
        Copy(4, 3, False, 0.99),
    ]
    assert links.groups().tolist() == [5]


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
