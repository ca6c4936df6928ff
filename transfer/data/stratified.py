"""Which images belong to a set: every class in proportion, exact to the image."""

from collections.abc import Sequence

import numpy as np

from transfer.runtime.errors import DataError


def quotas(counts: np.ndarray, size: int, taken: np.ndarray) -> np.ndarray:
    """Share `size` images among classes of `counts` images: proportional, exact in sum.

    Largest remainders get the images left over by rounding down, among classes that have more than
    those `taken` already; ties go to the class of which the fewest for its size are taken, then to
    the lower label. So a later set gets less of what an earlier one had too much of, and two sets
    together can be all images.
    scikit-learn's stratified split is not used because it refuses requests that leave out, or take,
    fewer images than there are classes.
    """
    total = counts.sum()
    # In whole numbers: rounding of fractions would tell equal remainders apart.
    share, remainder = np.divmod(size * counts, total)
    ahead = taken * total - taken.sum() * counts
    order = np.lexsort((ahead, -remainder, taken + share >= counts))
    share[order[: size - share.sum()]] += 1
    return share


def stratified_positions(labels: np.ndarray, sizes: Sequence[int], seed: int) -> list[np.ndarray]:
    """Draw disjoint sets of `sizes` positions, each with every class in proportion to `labels`.

    Each set is sorted and depends only on the seed and the sizes up to its own: with the validation
    set drawn first, it stays the same images however large a training set follows.

    Raises DataError if more images are asked, in all or of a class, than there are.
    """
    counts = np.bincount(labels)
    if sum(sizes) > len(labels):
        raise DataError(f"{sum(sizes)} images asked of {len(labels)} there are ({counts.tolist()} a class)")
    ordered = [
        np.random.default_rng([seed, label]).permutation(np.flatnonzero(labels == label))
        for label in range(len(counts))
    ]
    taken = np.zeros_like(counts)
    sets = []
    for size in sizes:
        share = quotas(counts, size, taken)
        if (short := np.flatnonzero(taken + share > counts)).size:
            label = short[0]
            raise DataError(f"{taken[label] + share[label]} images asked of class {label}, which has {counts[label]}")
        chosen = [order[start : start + n] for order, start, n in zip(ordered, taken, share, strict=True)]
        sets.append(np.sort(np.concatenate(chosen)))
        taken += share
    return sets


def some_of(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Positions of `count` images, or of all if there are fewer, each class in proportion."""
    return stratified_positions(labels, [min(count, len(labels))], seed)[0]
