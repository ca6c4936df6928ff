"""Which images belong to a set: every class in proportion, exact to the image."""

from collections.abc import Sequence

import numpy as np

from transfer.runtime.errors import DataError

MOST_SHOWN = 20  # classes whose counts an error lists
FEWEST_TRIES, MOST_TRIES, GROUPS_TRIED = 3, 50, 20_000  # orders of groups, of which the best is taken: about a second


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
        per_class = f" ({counts.tolist()} a class)" if len(counts) <= MOST_SHOWN else ""
        raise DataError(f"{sum(sizes)} images asked of {len(labels)} there are{per_class}")
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


def stratified_groups(labels: np.ndarray, groups: np.ndarray, count: int, seed: int, spared: int = 1) -> np.ndarray:
    """Positions, sorted, of whole groups with about `count` images, every class in proportion; `spared` groups stay.

    groups (N,) number each image's group from 0 on. Of several orders of the groups, the fill is taken that has, first,
    images of the most classes on both sides, second, the nearest count, third, the nearest proportions.
    scikit-learn's stratified folds of groups are not used because they know no counts but N divided by 2, 3, 4 ....
    """
    there = np.bincount(labels)
    wanted = quotas(there, count, np.zeros_like(there))
    pairs, images = np.unique(groups * len(there) + labels, return_counts=True)
    group, label = np.divmod(pairs, len(there))
    cuts = np.flatnonzero(np.diff(group)) + 1
    members = list(zip(np.split(label, cuts), np.split(images, cuts), strict=True))
    best, best_score = np.empty(0), (np.inf,)
    for attempt in range(min(max(GROUPS_TRIED // len(members), FEWEST_TRIES), MOST_TRIES)):
        taken = _fill(members, wanted, len(members) - spared, np.random.default_rng([seed, attempt]))
        got = np.bincount(labels[taken[groups]], minlength=len(there))
        one_sided = int((((got == 0) | (got == there)) & (there > 0)).sum())
        score = (one_sided, abs(int(got.sum()) - count), int(((got - wanted) ** 2).sum()))
        if score < best_score:
            best, best_score = taken, score
        if not any(score):
            break
    return np.flatnonzero(best[groups])


def _fill(
    members: list[tuple[np.ndarray, np.ndarray]], wanted: np.ndarray, most: int, rng: np.random.Generator
) -> np.ndarray:
    """Which groups are taken (G,), `most` of them at most, in a random order, for `wanted` images of each class.

    Of each group, `members` are its labels and how many images of each.
    """
    sizes = [int(images.sum()) for _, images in members]
    taken, got, room = np.zeros(len(members), bool), np.zeros_like(wanted), int(wanted.sum())

    def farther(number: int) -> int:
        """How much farther from `wanted` a group brings the counts, in squares."""
        label, images = members[number]
        return int((images * (images + 2 * (got[label] - wanted[label]))).sum())

    def take(number: int) -> int:
        nonlocal most
        most -= 1
        taken[number] = True
        label, images = members[number]
        got[label] += images
        return sizes[number]

    order = rng.permutation(len(members)).tolist()
    for number in order:
        if most and sizes[number] <= room and (farther(number) < 0 or not got[members[number][0]].all()):
            room -= take(number)
    for number in sorted(
        (number for number in order if not taken[number]), key=farther
    ):  # the count before proportions
        if most and sizes[number] <= room:
            room -= take(number)
    left = sorted(
        (number for number in order if not taken[number]), key=lambda number: (sizes[number], farther(number))
    )
    if most and (sizes[left[0]] - room < room or not taken.any()):
        take(left[0])
    return taken
