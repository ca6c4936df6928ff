"""Which images are trained on, validated on and tested: what a source says is respected, the rest is drawn."""

from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np

from transfer.data.splits import Split
from transfer.data.stratified import stratified_groups, stratified_positions
from transfer.runtime.errors import DataError
from transfer.runtime.wording import plural
from transfer.sources.images import ImageSet

SHOWN_CLASSES = 5
TEST_SHARE = 0.2  # where neither source nor parameters say
FEWEST = {"train": 2, "val": 1, "test": 1}  # images of a class in each split


@dataclass(frozen=True)
class Sizes:
    """Counts, or shares below 1: of val in train_size, of test in all images. None: all there are."""

    train: int | None
    val: float
    test: float | None
    rare_classes: Literal["error", "leave_out"]


def draw_splits(images: ImageSet, sizes: Sizes, seed: int) -> dict[str, Split]:
    """train, val and test, each sorted by class and then in the source's order.

    Drawn splits have every class in proportion; counts are exact unless images belong to groups, which are never
    divided. A class that is too rare for one of the splits is left out, or an error, as `sizes` say.
    Raises DataError for more images than there are, a group on both sides, or fewer than two classes.
    """
    if not np.isin(images.parts, ("train", "")).any():
        given = " and ".join(sorted(set(images.parts.tolist())))
        raise DataError(
            f"all {plural(len(images.parts), 'image')} are in {given}, none to train on; add a train split, or give "
            f"one split's own folder as download.url to have splits drawn from it"
        )
    _check_groups(images, sizes)
    images = _without_rare(images, sizes.rare_classes)
    while True:
        splits = _draw(images, sizes, seed)
        few = {name: np.flatnonzero(_per_class(split) < FEWEST[name]).tolist() for name, split in splits.items()}
        if not any(few.values()):
            return splits
        if sizes.rare_classes == "error":
            raise DataError(_too_few(images, splits, few, sizes))
        counts = np.bincount(images.labels, minlength=len(images.classes))  # the rarest first: the others may fit then
        fewest = min(counts[label] for labels in few.values() for label in labels)
        images = _without(images, {label for labels in few.values() for label in labels if counts[label] == fewest})


def _draw(images: ImageSet, sizes: Sizes, seed: int) -> dict[str, Split]:
    pools = {part: np.flatnonzero(images.parts == part) for part in ("train", "val", "test", "")}
    rest = np.sort(np.concatenate([pools["train"], pools[""]]))
    if len(pools["test"]):
        test_pool, test = pools["test"], _some(images, pools["test"], sizes.test, "subsample.test_size", seed)
    else:
        wanted = TEST_SHARE if sizes.test is None else sizes.test
        spared = 1 if len(pools["val"]) else 2  # groups to train on, and to validate on
        test_pool, (test, rest) = rest, _divide(images, rest, wanted, "subsample.test_size", seed, spared)
    if len(pools["val"]):
        val_pool, val = pools["val"], pools["val"]
        train = _some(images, rest, sizes.train and sizes.train - len(val), "subsample.train_size", seed)
    else:
        val_pool, (val, train) = rest, _train_and_val(images, rest, sizes, seed)
    chosen = {"train": (rest, train), "val": (val_pool, val), "test": (test_pool, test)}
    return {name: _split(images, pool, positions) for name, (pool, positions) in chosen.items()}


def _split(images: ImageSet, pool: np.ndarray, positions: np.ndarray) -> Split:
    positions = positions[np.argsort(images.labels[positions], kind="stable")]
    part = images.take(positions)
    known = {one.name: getattr(part, one.name) for one in fields(part)}
    return Split(**known, positions=np.searchsorted(pool, positions).astype(np.int64))


def _train_and_val(images: ImageSet, pool: np.ndarray, sizes: Sizes, seed: int) -> tuple[np.ndarray, np.ndarray]:
    total = len(pool) if sizes.train is None else sizes.train
    count = sizes.val if sizes.val >= 1 else max(round(sizes.val * total), 1)
    if _grouped(images, pool):
        return _divide_groups(images, pool, int(count), "subsample.val_size", seed)
    try:  # Validation first: its images stay the same however many are trained on.
        val, train = stratified_positions(images.labels[pool], [int(count), total - int(count)], seed)
    except DataError as error:
        raise DataError(f"subsample.train_size = {sizes.train}: {error}; ask for fewer, or set null for all") from None
    return pool[val], pool[train]


def _some(images: ImageSet, pool: np.ndarray, size: float | None, parameter: str, seed: int) -> np.ndarray:
    """So many or such a share of the pool, every class in proportion."""
    if size is None:
        return pool
    return _divide(images, pool, size, parameter, seed)[0]


def _divide(
    images: ImageSet, pool: np.ndarray, size: float, parameter: str, seed: int, spared: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """A part of so many images, or such a share, and the rest, `spared` groups at least."""
    count = int(size) if size >= 1 else max(round(size * len(pool)), 1)
    if _grouped(images, pool):
        return _divide_groups(images, pool, count, parameter, seed, spared)
    try:
        (part,) = stratified_positions(images.labels[pool], [count], seed)
    except DataError as error:
        raise DataError(f"{parameter} = {size:g}: {error}; ask for fewer") from None
    return pool[part], np.delete(pool, part)


def _grouped(images: ImageSet, pool: np.ndarray) -> bool:
    return bool((images.groups[pool] != "").any())


def _divide_groups(
    images: ImageSet, pool: np.ndarray, count: int, parameter: str, seed: int, spared: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Whole groups with as near to `count` images as can be found, and the rest."""
    if count > len(pool):
        raise DataError(f"{parameter}: {count} images asked of {len(pool)} there are; ask for fewer")
    numbers = _group_numbers(images, pool)
    if count == len(pool):
        return pool, pool[:0]
    if numbers.max() < spared:
        there = plural(int(numbers.max()) + 1, "group")
        raise DataError(
            f"{parameter}: the {len(pool)} images there are belong to {there}; groups are not divided, "
            f"{('two', 'three')[spared - 1]} or more are needed"
        )
    part = stratified_groups(images.labels[pool], numbers, count, seed, spared)
    return pool[part], np.delete(pool, part)


def _group_numbers(images: ImageSet, pool: np.ndarray) -> np.ndarray:
    """The number of each image's group, from 0 on; an image without one is a group of its own."""
    names, numbers = np.unique(images.groups[pool], return_inverse=True)
    alone = images.groups[pool] == ""
    numbers[alone] = len(names) + np.arange(alone.sum())
    return np.unique(numbers, return_inverse=True)[1]


def _check_groups(images: ImageSet, sizes: Sizes) -> None:
    """Groups cannot be kept together if the source itself puts one on both sides, or an exact count is asked."""
    if sizes.train is not None and (images.groups != "").any():
        raise DataError(
            f"subsample.train_size = {sizes.train}: images belong to groups, which are not divided; set null"
        )
    side = np.where(images.parts == "test", "test", np.where(images.parts == "val", "val", "train"))
    if not (images.parts != "").any():
        return
    of_group: dict[str, str] = {}
    for group, where in zip(images.groups.tolist(), side.tolist(), strict=True):
        if group and of_group.setdefault(group, where) != where:
            raise DataError(f"group {group!r} is in {of_group[group]} and in {where}; give each group to one split")


def _without_rare(images: ImageSet, rare_classes: str) -> ImageSet:
    """The set without the classes that cannot be in every split, or an error that names the first."""
    given = [part for part in FEWEST if (images.parts == part).any()]
    drawn = sum(count for part, count in FEWEST.items() if part not in given or part == "train")
    counts = {part: np.bincount(images.labels[images.parts == part], minlength=len(images.classes)) for part in given}
    counts["train"] = np.bincount(images.labels, minlength=len(images.classes)) - sum(
        (counts[part] for part in ("val", "test") if part in counts), start=np.zeros(len(images.classes), int)
    )
    need = {part: FEWEST[part] if part != "train" else drawn for part in counts}
    rare = [label for label in range(len(images.classes)) if any(counts[part][label] < need[part] for part in need)]
    if not rare:
        return images
    if rare_classes == "error":
        label = rare[0]
        there = ", ".join(f"{part} {counts[part][label]} of at least {need[part]}" for part in counts)
        others = [repr(images.classes[other]) for other in rare[1 : SHOWN_CLASSES + 1]]
        more = f" and {len(rare) - 1 - len(others)} more" if len(rare) - 1 > len(others) else ""
        every = f", as {'have' if len(rare) > 2 else 'has'} {', '.join(others)}{more}" if others else ""
        raise DataError(
            f"class {images.classes[label]!r} has too few images ({there}){every}; "
            "add images, or set subsample.rare_classes to leave_out"
        )
    return _without(images, set(rare))


def _without(images: ImageSet, left_out: set[int]) -> ImageSet:
    kept = [label for label in range(len(images.classes)) if label not in left_out]
    if len(kept) < 2:
        raise DataError(
            f"subsample.rare_classes = leave_out: {plural(len(kept), 'class has', 'classes have')} enough images in "
            "every split, two or more are needed; add images, or make the splits larger"
        )
    new = np.full(len(images.classes), -1)
    new[kept] = range(len(kept))
    part = images.take(np.flatnonzero(np.isin(images.labels, kept)))
    return replace(part, labels=new[part.labels], classes=tuple(images.classes[label] for label in kept))


def _per_class(split: Split) -> np.ndarray:
    return np.bincount(split.labels, minlength=len(split.classes))


def _too_few(images: ImageSet, splits: dict[str, Split], few: dict[str, list[int]], sizes: Sizes) -> str:
    """The first class that a drawn split has too few images of, and what helps."""
    name, label = next((name, labels[0]) for name, labels in few.items() if labels)
    groups = len(set(_group_numbers(images, np.flatnonzero(images.labels == label))))
    if _grouped(images, np.arange(len(images.labels))) and groups < len(FEWEST):
        help_ = f"its images belong to {plural(groups, 'group', 'groups')}, which are not divided; add images of others"
    elif name == "train" and sizes.train is None:
        help_ = "make subsample.val_size or test_size smaller"
    else:
        help_ = f"make subsample.{name}_size larger"
    there = f"{_per_class(splits[name])[label]} of at least {FEWEST[name]}"
    return (
        f"class {images.classes[label]!r} has too few images in the {name} split ({there}); {help_}, "
        "or set subsample.rare_classes to leave_out"
    )
