"""Stratified splits: shares exact in sum and within one image of proportion, disjoint and sorted sets,
the same draw for the same seed, a validation set that does not depend on the training size, what is
refused, and the round trip through a file.
"""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer.data.splits import Split, load_split, save_split
from transfer.data.stratified import quotas, stratified_positions
from transfer.runtime.errors import DataError
from transfer.sources.images import pixel_set

few = settings(max_examples=40, deadline=None)

CLASS_SIZES = st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(any)
SEEDS = st.integers(0, 2**32)
BALANCED = np.repeat(np.arange(10, dtype=np.uint8), 5000)


def shuffled_labels(class_sizes: list[int], seed: int) -> np.ndarray:
    """Labels (N,) uint8 with `class_sizes[label]` of each, in a random order."""
    labels = np.repeat(np.arange(len(class_sizes), dtype=np.uint8), class_sizes)
    return np.random.default_rng(seed).permutation(labels)


def counted(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(labels, minlength=classes)


@st.composite
def requests(draw: st.DrawFn) -> tuple[np.ndarray, int, int, int]:
    """Labels, a validation and a training size that fit into them, and a seed."""
    labels = shuffled_labels(draw(CLASS_SIZES), draw(SEEDS))
    val_size = draw(st.integers(0, len(labels)))
    train_size = draw(st.integers(0, len(labels) - val_size))
    return labels, val_size, train_size, draw(SEEDS)


@few
@given(CLASS_SIZES, st.data())
def test_shares_add_up_and_are_within_one_of_proportion(class_sizes: list[int], data: st.DataObject) -> None:
    counts = np.array(class_sizes)
    size = data.draw(st.integers(0, int(counts.sum())))
    share = quotas(counts, size, np.zeros_like(counts))
    assert share.sum() == size
    assert (share >= 0).all()
    assert (share <= counts).all()
    assert (np.abs(share - size * counts / counts.sum()) < 1).all()


def test_an_image_left_over_goes_to_the_largest_remainder() -> None:
    assert quotas(np.array([5, 3, 1]), 4, np.zeros(3, np.int64)).tolist() == [2, 1, 1]  # of 2.2, 1.3 and 0.4


def test_equal_remainders_go_to_the_lower_label() -> None:
    # Of 1/3, 1/3 and 2 1/3: the remainders are equal, which floating point would deny.
    assert quotas(np.array([1, 1, 7]), 3, np.zeros(3, np.int64)).tolist() == [1, 0, 2]
    assert quotas(np.array([100] * 10), 13, np.zeros(10, np.int64)).tolist() == [2, 2, 2, 1, 1, 1, 1, 1, 1, 1]


@few
@given(requests())
def test_two_sets_are_exact_disjoint_sorted_and_in_proportion(request: tuple[np.ndarray, int, int, int]) -> None:
    labels, val_size, train_size, seed = request
    counts = np.bincount(labels)
    val, train = stratified_positions(labels, [val_size, train_size], seed)
    assert (len(val), len(train)) == (val_size, train_size)
    assert not set(val.tolist()) & set(train.tolist())
    for positions in (val, train):
        assert positions.dtype == np.int64
        assert (np.diff(positions) > 0).all()
        exact = len(positions) * counts / counts.sum()
        assert (np.abs(counted(labels[positions], len(counts)) - exact) < 1).all()


@few
@given(requests())
def test_the_same_seed_draws_the_same_positions(request: tuple[np.ndarray, int, int, int]) -> None:
    labels, val_size, train_size, seed = request
    first, second = (stratified_positions(labels, [val_size, train_size], seed) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@few
@given(requests())
def test_the_validation_set_stays_when_the_training_size_grows(request: tuple[np.ndarray, int, int, int]) -> None:
    labels, val_size, train_size, seed = request
    small, _ = stratified_positions(labels, [val_size, train_size], seed)
    large, rest = stratified_positions(labels, [val_size, len(labels) - val_size], seed)
    assert np.array_equal(small, large)
    assert sorted([*large, *rest]) == list(range(len(labels)))


@few
@given(CLASS_SIZES, SEEDS, st.integers(1, 5))
def test_more_images_than_there_are_is_refused(class_sizes: list[int], seed: int, excess: int) -> None:
    labels = shuffled_labels(class_sizes, seed)
    with pytest.raises(DataError, match=rf"{len(labels) + excess} images asked of {len(labels)} "):
        stratified_positions(labels, [excess, len(labels)], seed)


def test_a_class_that_earlier_sets_used_up_is_refused_by_its_label() -> None:
    labels = np.repeat(np.arange(3), [1, 1, 5])
    with pytest.raises(DataError, match="6 images asked of class 2, which has 5"):
        stratified_positions(labels, [2, 2, 3], 0)


def test_a_balanced_data_set_can_be_used_whole_with_any_validation_size() -> None:
    for val_size in (1, 2001, 2005, 49_999):
        val, train = stratified_positions(BALANCED, [val_size, 50_000 - val_size], 0)
        assert np.array_equal(np.sort(np.concatenate([val, train])), np.arange(50_000)), val_size


def test_ten_thousand_of_fifty_thousand_balanced_are_a_thousand_a_class() -> None:
    val, train = stratified_positions(BALANCED, [2000, 8000], 0)
    assert counted(BALANCED[val], 10).tolist() == [200] * 10
    assert counted(BALANCED[train], 10).tolist() == [800] * 10
    assert counted(BALANCED[np.concatenate([val, train])], 10).tolist() == [1000] * 10


def test_another_seed_gives_other_images() -> None:
    (first,), (second,) = (stratified_positions(BALANCED, [10_000], seed) for seed in (0, 1))
    # A fifth is what chance has in common.
    assert 0.15 < len(np.intersect1d(first, second)) / 10_000 < 0.25


def test_images_are_drawn_from_the_whole_of_each_class() -> None:
    (positions,) = stratified_positions(BALANCED, [10_000], 0)
    place = positions % 5000  # within its class
    assert counted(place // 500, 10).tolist() == pytest.approx([1000] * 10, rel=0.15)


def test_a_saved_split_comes_back_the_same(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
    whole = pixel_set(images, np.array([0, 1, 1, 0, 1, 0]), ("cat", "fire truck"), ["test"] * 6)
    split = Split(**vars(whole), positions=np.arange(3, 9))
    save_split(tmp_path / "train.npz", split)
    loaded = load_split(tmp_path / "train.npz")
    for name, value in vars(split).items():
        np.testing.assert_array_equal(value, getattr(loaded, name), name)


def test_a_missing_split_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.npz: no such file; run the stage") as caught:
        load_split(tmp_path / "train.npz")
    assert "\n" not in str(caught.value)
