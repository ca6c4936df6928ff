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
            r"'dog' has too few images \(train 0 of at least 4\), as has 'fire truck'; add",
        ),
        (a_set([9, 9], ["test"] * 18), sizes(), "all 18 images are in test, none to train on; add a train split, or"),
        (a_set([9, 9], ["test", "val"] * 9), sizes(), "all 18 images are in test and val, none to train on"),
        (a_set([40, 40]), sizes(train=100), "subsample.train_size = 100: 100 images asked of 64 .*null for all"),
        (a_set([40, 40]), sizes(test=100), "subsample.test_size = 100: 100 images asked of 80"),
        (
            a_set([40, 40]),
            sizes(test=1),
            r"'dog' has too few images in the test split \(0 of at least 1\); make .*test_size larger, or set",
        ),
        (
            a_set([9, 9], groups=["a"] * 18),
            sizes(),
            "test_size: the 18 images there are belong to 1 group; groups are not divided, three or more are needed",
        ),
        (a_set([9, 9], groups=["a", "b"] * 9), sizes(train=9), "train_size = 9: images belong to groups"),
        (a_set([9, 9], ["train", "train", "test"] * 6, ["a"] * 18), sizes(), "group 'a' is in train and in test"),
        (a_set([2, 2]), sizes(rare="leave_out"), "leave_out: 0 classes have enough images in every split"),
        (
            a_set([9, 9], groups=["a", "b", "c"] * 6),
            sizes(val=20),
            "val_size: 20 images asked of 12 there are; ask for fewer",
        ),
        (a_set([9, 9], groups=["a", "b"] * 9), sizes(test=20), "test_size: 20 images asked of 18 there are"),
        (
            a_set([40, 40]),
            sizes(val=63),
            r"train split \(0 of at least 2\); make subsample.val_size or test_size smaller, or set",
        ),
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


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("per_class", [[60, 4, 60], [90, 5, 90], [6, 60, 60]])
def test_a_class_that_rounding_leaves_without_images_can_be_left_out(per_class: list[int], grouped: bool) -> None:
    images = a_set(per_class)
    if grouped:  # all of the rare class lie in one group, so that no two splits have it
        rare = images.labels == int(np.argmin(per_class))
        images = replace(images, groups=np.where(rare, "rare", [f"g{i % 17}" for i in range(len(rare))]))
    wanted = sizes(val=0.05, test=0.05)
    with pytest.raises(
        DataError, match=f"class '{NAMES[np.argmin(per_class)]}' .*or set subsample.rare_classes to leave"
    ):
        draw_splits(images, wanted, 0)
    splits = draw_splits(images, replace(wanted, rare_classes="leave_out"), 0)
    for split in splits.values():
        assert split.classes == tuple(name for label, name in enumerate(NAMES) if label != np.argmin(per_class))
        assert set(split.labels.tolist()) == {0, 1}


def test_a_class_whose_images_belong_to_too_few_groups_is_told_of_groups() -> None:
    images = a_set([60, 60, 12])
    groups = np.where(images.labels == 2, "camera", [f"g{i % 20}" for i in range(132)])
    with pytest.raises(
        DataError, match=r"'fire truck' .* its images belong to 1 group, .*not divided; add images of others"
    ):
        draw_splits(replace(images, groups=groups), sizes(), 0)


def grouped(size_of: list[int], classes: int, seed: int = 0) -> ImageSet:
    """Groups of these sizes, each with images of every class."""
    groups = [f"p{number}" for number, size in enumerate(size_of) for _ in range(size)]
    labels = np.random.default_rng(seed).integers(0, classes, len(groups))
    images = pixel_set(np.zeros((len(groups), 1, 1, 3), np.uint8), labels, NAMES[:classes], [""] * len(groups))
    return replace(images, groups=np.array(groups))


@pytest.mark.parametrize("test", [0.05, 0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.6, 0.7, 120, 75, 6])
@pytest.mark.parametrize("size_of", [[3] * 100, [1] * 300, [*range(1, 21), *[2] * 45]])
def test_counts_of_whole_groups_are_those_asked_for_where_groups_can_give_them(size_of: list[int], test: float) -> None:
    images = grouped(size_of, 2)
    splits = draw_splits(images, sizes(val=0.2, test=test), 0)
    count = test if test >= 1 else round(test * 300)
    assert len(splits["test"].labels) == count
    val = round(0.2 * (300 - count))
    assert abs(len(splits["val"].labels) - val) <= (1 if size_of[0] == 3 else 0)
    for split in splits.values():
        assert abs((split.labels == 0).sum() - len(split.labels) * (images.labels == 0).mean()) <= 2


def test_a_share_below_one_group_is_one_group() -> None:
    splits = draw_splits(grouped([10] * 10, 2), sizes(test=0.05, val=0.05), 0)
    assert [len(splits[name].labels) for name in ("train", "val", "test")] == [80, 10, 10]


def test_a_group_of_nearly_all_images_leaves_one_to_each_other_split() -> None:
    splits = draw_splits(replace(grouped([50, *[2] * 5], 2), labels=np.arange(60) % 2), sizes(), 0)
    assert [len(set(splits[name].groups)) for name in ("train", "val", "test")] == [1, 1, 4]
    assert "p0" in splits["train"].groups


def test_which_groups_are_drawn_depends_on_the_seed_and_not_on_their_size() -> None:
    drawn = [set(draw_splits(grouped([*range(1, 25)], 2), sizes(), seed)["test"].groups) for seed in range(20)]
    assert len(set().union(*drawn)) > 20
    assert len(set(map(frozenset, drawn))) > 15


def test_classes_of_one_group_each_stay_in_proportion() -> None:
    """As patients have one diagnosis: every group is of one class."""
    groups = [f"p{number}" for number in range(120) for _ in range(1 + number % 4)]
    labels = np.array([int(name[1:]) % 10 // 5 + int(name[1:]) % 20 // 19 for name in groups])
    images = pixel_set(np.zeros((len(groups), 1, 1, 3), np.uint8), labels, NAMES, [""] * len(groups))
    for split in draw_splits(replace(images, groups=np.array(groups)), sizes(), 0).values():
        expected = np.bincount(labels) * len(split.labels) / len(labels)
        assert np.abs(np.bincount(split.labels, minlength=3) - expected).max() <= 3
