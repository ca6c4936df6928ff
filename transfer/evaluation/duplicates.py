"""Find images that are there twice: equal to the byte, or the same shot processed differently."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from transfer.evaluation.scores import wilson_interval

BLOCK_ROWS = 1024


def exact_pairs(a: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    """Places (P, 2) int64, sorted, of images (N, ...) of a and b that are equal to the byte, or of two within a."""
    places = defaultdict(list)
    for place, image in enumerate(a):
        places[image.tobytes()].append(place)
    if b is None:
        pairs = [
            (first, second) for same in places.values() for i, first in enumerate(same) for second in same[i + 1 :]
        ]
    else:
        pairs = [(first, second) for second, image in enumerate(b) for first in places.get(image.tobytes(), [])]
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Features (N, F) scaled to length one, so that products are cosines; rows of zeros stay zeros."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(lengths > 0, lengths, 1)


def similar_pairs(
    views: Sequence[np.ndarray],
    others: np.ndarray | None,
    neighbours: int,
    min_similarity: float,
    block_rows: int = BLOCK_ROWS,
) -> tuple[np.ndarray, np.ndarray]:
    """Each image's most similar ones by the cosine of their features, where it is at least `min_similarity`.

    For each row of `others` (M, F) its `neighbours` nearest rows of each view of a set: plain (N, F), perhaps
    mirrored (N, F) too. With None for `others`, the set is compared with itself: for each row of the first view
    its nearest among the other images. Returns places (P, 2) int64 (set, others), sorted, each pair once and
    within one set the lower place first, and cosines (P,), the highest of any view. Of the whole matrix of
    cosines `block_rows` rows are held at a time.
    """
    within = others is None
    rows = unit_rows(views[0] if others is None else others)
    found: dict[tuple[int, int], float] = {}
    for view in map(unit_rows, views):
        count = min(neighbours, len(view) - within)
        for start in range(0, len(rows) if count else 0, block_rows):
            cosines = rows[start : start + block_rows] @ view.T
            if within:
                own = np.arange(len(cosines))
                cosines[own, start + own] = -np.inf
            nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
            values = np.take_along_axis(cosines, nearest, axis=1)
            for row, column in zip(*np.nonzero(values >= min_similarity), strict=True):
                pair = int(nearest[row, column]), start + int(row)
                pair = (min(pair), max(pair)) if within else pair
                found[pair] = max(found.get(pair, -1.0), float(values[row, column]))
    ordered = sorted(found)
    return np.array(ordered, np.int64).reshape(-1, 2), np.array([found[pair] for pair in ordered])


def pixel_correlation(a: np.ndarray, b: np.ndarray, max_shift_px: int = 2) -> float:
    """Normalised correlation of two images (H, W, 3) uint8 in their best position, between -1 and 1.

    The middle of b, also mirrored left to right, is laid over a with shifts of up to `max_shift_px` each way.
    Each channel's mean is taken away, so that brightness and contrast do not matter. 0 where it is not
    defined: one colour all over correlates with nothing.
    """
    margin = max_shift_px
    height, width, _ = b.shape
    best = -1.0
    for view in (b, b[:, ::-1]):
        middle = np.ascontiguousarray(view[margin : height - margin, margin : width - margin])
        best = max(best, _best_match(a, middle))
    return best


def _best_match(image: np.ndarray, part: np.ndarray) -> float:
    # Without their means first, or OpenCV's single precision is lost on images of little contrast.
    part = (part - part.mean((0, 1))).astype(np.float32)
    if not part.any():  # OpenCV calls this a perfect match
        return 0.0
    image = (image - image.mean((0, 1))).astype(np.float32)
    return float(np.clip(cv2.matchTemplate(image, part, cv2.TM_CCOEFF_NORMED), -1, 1).max())


@dataclass(frozen=True)
class Looks:
    """Images (N, H, W, 3) uint8 and one or more views of their features (N, F), the plain one first."""

    images: np.ndarray
    views: Sequence[np.ndarray]


@dataclass(frozen=True)
class Thresholds:
    """When two images are near duplicates: both, features and pixels, must agree (see docs/decisions/duplicates.md)."""

    neighbours: int
    min_feature_similarity: float
    min_pixel_correlation: float
    max_shift_px: int


@dataclass(frozen=True, order=True)
class Pair:
    """Places of two images, whether they are equal to the byte, and how alike their features and pixels are."""

    places: tuple[int, int]
    exact: bool
    feature_similarity: float
    pixel_correlation: float


def find_duplicates(looks: Looks, others: Looks | None, thresholds: Thresholds) -> list[Pair]:
    """Pairs of one set's and another's images that are equal or nearly so, or of one set's own with None.

    Features propose (each image's nearest neighbours), pixels decide. Sorted by places. Similarities are rounded
    to 4 digits, below which they depend on the machine.
    """
    theirs = looks if others is None else others
    exact = exact_pairs(looks.images, None if others is None else others.images)
    mine, other = unit_rows(looks.views[0])[exact[:, 0]], unit_rows(theirs.views[0])[exact[:, 1]]
    cosines = (mine * other).sum(1).tolist()
    pairs = {
        (i, j): Pair((i, j), True, round(cosine, 4), 1.0)
        for (i, j), cosine in zip(exact.tolist(), cosines, strict=True)
    }
    near, cosines = similar_pairs(
        looks.views,
        None if others is None else others.views[0],
        thresholds.neighbours,
        thresholds.min_feature_similarity,
    )
    for (i, j), cosine in zip(near.tolist(), cosines.tolist(), strict=True):
        if (i, j) not in pairs:
            correlation = pixel_correlation(looks.images[i], theirs.images[j], thresholds.max_shift_px)
            if correlation >= thresholds.min_pixel_correlation:
                pairs[i, j] = Pair((i, j), False, round(cosine, 4), round(correlation, 4))
    return sorted(pairs.values())


def accuracy_without(right: np.ndarray, affected: np.ndarray) -> dict[str, float]:
    """Accuracy of all answers, of those not `affected` and of those affected, (N,) bool each.

    With Wilson's 95 % intervals; figures of no answers are left out.
    """
    figures = {"affected_test_images": int(affected.sum()), "accuracy": float(right.mean())}
    for name, some in (("accuracy_without", right[~affected]), ("accuracy_on_affected", right[affected])):
        if len(some):
            low, high = wilson_interval(int(some.sum()), len(some))
            figures |= {name: float(some.mean()), f"{name}_ci_low": low, f"{name}_ci_high": high}
    return figures
