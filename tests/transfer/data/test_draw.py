"""Which images train, validate and test: given splits, shares, groups that stay together, classes too rare to split."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer.data.draw import Sizes, draw_splits
from transfer.data.splits import Split
from transfer.runtime.errors import DataError
from transfer.sources.images import ImageSet, pixel_set

NAMES = ("cat", "dog", "fire truck")


def a_set(per_class: list[int], parts: list[str] | None = None, groups: list[str] | None = None) -> ImageSet:
    """Images of which each pixel is the image's number, in a shuffled order of classes."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(per_class)), per_class))
    images = np.tile(np.arange(len(labels), dtype=np.uint8)[:, None, None, None], (1, 2, 2, 3))
    whole = pixel_set(images, labels, NAMES[: len(per_class)], parts or [""] * len(labels))
    return whole if groups is None else replace(whole, groups=np.array(groups))


def numbers(split: Split) -> list[int]:
    images = split.images
    assert isinstance(images, np.ndarray)
    return images[:, 0, 0, 0].tolist()


def sizes(train: int | None = None, val: float = 0.2, test: float | None = None, rare: str = "error") -> Sizes:
    return Sizes(train, val, test, rare)  # type: ignore[arg-type]


@pytest.mark.parametrize("wanted", [sizes(), sizes(val=7), sizes(test=12), sizes(train=40, val=10, test=0.3)])
def test_unsplit_images_are_divided_in_proportion_and_none_is_used_twice(wanted: Sizes) -> None:
    splits = draw_splits(a_set([30, 20, 50]), wanted, 0)
    used = [number for split in splits.values() for number in numbers(split)]
    assert len(used) == len(set(used))
    test = 20 if wanted.test is None else round(wanted.test * 100) if wanted.test < 1 else wanted.test
    both = 100 - test if wanted.train is None else wanted.train
    val = round(wanted.val * both) if wanted.val < 1 else wanted.val
    counts = {name: np.bincount(split.labels) for name, split in splits.items()}
    assert {name: int(count.sum()) for name, count in counts.items()} == {"train": both - val, "val": val, "test": test}
    for count in counts.values():
        assert np.abs(count - count.sum() * np.array([0.3, 0.2, 0.5])).max() < 2


def test_given_splits_are_respected() -> None:
    parts = (["train"] * 3 + ["val", "test"]) * 12
    images = a_set([20, 20, 20], parts)
    splits = draw_splits(images, sizes(), 0)
    for name, split in splits.items():
        assert sorted(numbers(split)) == np.flatnonzero(np.array(parts) == name).tolist()
        own = np.flatnonzero(images.parts == name)
        assert own[split.positions].tolist() == numbers(split), "positions are those within the source's own part"
        assert (np.diff(split.labels) >= 0).all()


def test_the_order_of_a_source_does_not_matter_beyond_the_order_within_a_class() -> None:
    """As a folder lists classes one after the other, and an archive mixes them."""
    mixed = a_set([20, 15, 25])
    by_class = mixed.take(np.argsort(mixed.labels, kind="stable"))
    for name, split in draw_splits(mixed, sizes(), 3).items():
        assert numbers(split) == numbers(draw_splits(by_class, sizes(), 3)[name])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(8, 30))
def test_a_group_is_never_divided(seed: int, count: int) -> None:
    groups = [f"patient {number}" for number in np.random.default_rng(seed).integers(0, count, 120)]
    images = a_set([40, 40, 40], groups=groups)
    splits = draw_splits(images, sizes(), seed)
    sides: dict[str, set[str]] = {}
    for name, split in splits.items():
        for group in split.groups:
            sides.setdefault(group, set()).add(name)
    assert all(len(names) == 1 for names in sides.values())
    assert sum(len(split.labels) for split in splits.values()) == 120


def test_counts_of_grouped_images_are_near_what_is_asked() -> None:
    images = a_set([100, 100, 40], groups=[f"p{number}" for number in np.random.default_rng(0).integers(0, 60, 240)])
    splits = draw_splits(images, sizes(val=0.2, test=0.25), 0)
    assert abs(len(splits["test"].labels) - 60) < 12
    assert abs(len(splits["val"].labels) - 36) < 12


def test_images_without_a_group_beside_grouped_ones_are_each_their_own() -> None:
    groups = ["a", "b", "c"] * 10 + [""] * 30
    splits = draw_splits(a_set([20, 20, 20], groups=groups), sizes(), 0)
    assert sum(len(split.labels) for split in splits.values()) == 60


@pytest.mark.parametrize(
    ("images", "wanted", "complaint"),
    [
        (
            a_set([30, 2, 30]),
            sizes(),
            r"class 'dog' has too few images \(train 2 of at least 4\); add images, or set",
        ),
        (
            a_set([30, 0, 1]),
            sizes(),
            r"'dog' has too few images \(train 0 of at least 4\); 2 classes are as rare; add",
        ),
        (a_set([40, 40]), sizes(train=100), "subsample.train_size = 100: 100 images asked of 64 .*null for all"),
        (a_set([40, 40]), sizes(test=100), "subsample.test_size = 100: 100 images asked of 80"),
        (
            a_set([40, 40]),
            sizes(test=1),
            r"'dog' has too few images in the test split \(0 of at least 1\); make .*test_size larger",
        ),
        (
            a_set([9, 9], groups=["a"] * 18),
            sizes(),
            "test_size: at least 4 groups are needed for such a part, found: 1",
        ),
        (a_set([9, 9], groups=["a", "b"] * 9), sizes(train=9), "train_size = 9: images belong to groups"),
        (a_set([9, 9], ["train", "train", "test"] * 6, ["a"] * 18), sizes(), "group 'a' is in train and in test"),
        (a_set([2, 2]), sizes(rare="leave_out"), "rare_classes = leave_out: 0 classes are left"),
    ],
)
def test_what_cannot_be_is_one_line(images: ImageSet, wanted: Sizes, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint) as caught:
        draw_splits(images, wanted, 0)
    assert "\n" not in str(caught.value)


def test_rare_classes_can_be_left_out() -> None:
    splits = draw_splits(a_set([30, 2, 30]), sizes(rare="leave_out"), 0)
    for split in splits.values():
        assert split.classes == ("cat", "fire truck")
        assert set(split.labels.tolist()) == {0, 1}
    assert sum(len(split.labels) for split in splits.values()) == 60
