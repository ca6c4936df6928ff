"""Find images that are there twice: equal to the byte, or the same shot processed differently.

Nothing but pixels decides, so that the answer depends on no network.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from transfer.evaluation.scores import share_of

COMPARED_PX = 32  # the side at which pixels are compared
THUMBNAIL_PX = 6  # coarse enough that a shift of 2 of 32 pixels changes little
ENLARGED = 0.9  # the share of the side that a copy may show, enlarged
WORTH_SCALING = 0.3  # correlation from which it is tried whether one is a part of the other
BLUR_PX = 2.5  # standard deviation; what it leaves is no detail
FAINTEST = 1.0  # grey levels of detail, below which there is only rounding
BLOCK_ROWS = 1024


def small(images: np.ndarray) -> np.ndarray:
    """Images (N, S, S, 3) uint8 at COMPARED_PX."""
    if images.shape[1] == COMPARED_PX:
        return images
    how = cv2.INTER_AREA if images.shape[1] > COMPARED_PX else cv2.INTER_LINEAR
    return np.stack([cv2.resize(image, (COMPARED_PX, COMPARED_PX), interpolation=how) for image in images])


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Images (N, S, S, 3) uint8 at THUMBNAIL_PX, each channel's mean taken away: rows (N, F) of length 1 or 0."""
    size = (THUMBNAIL_PX, THUMBNAIL_PX)
    rows = np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images]).astype(np.float32)
    rows = (rows - rows.mean((1, 2), keepdims=True)).reshape(len(images), -1)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def candidates(images: np.ndarray, neighbours: int, block_rows: int = BLOCK_ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Places (P, 2), the lower first, sorted, of images whose thumbnails are near, and whether mirrored ones (P,).

    For each image its `neighbours` nearest as it is, and as many mirrored. How near is not asked, so that no
    threshold has to fit the images.
    """
    rows = thumbnails(images)
    turned = thumbnails(np.ascontiguousarray(images[:, :, ::-1]))
    count, found = min(neighbours, len(rows) - 1), set()
    for start in range(0, len(rows) if count else 0, block_rows):
        own = np.arange(start, min(start + block_rows, len(rows)))
        for is_mirrored, others in enumerate((rows, turned)):
            cosines = rows[own] @ others.T
            cosines[np.arange(len(own)), own] = -np.inf
            nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
            for place, near in zip(own.tolist(), nearest.tolist(), strict=True):
                found.update((min(place, other), max(place, other), is_mirrored) for other in near)
    ordered = np.array(sorted(found), np.int64).reshape(-1, 3)
    return ordered[:, :2], ordered[:, 2].astype(bool)


def details(images: np.ndarray) -> np.ndarray:
    """What a blur takes away from images (N, S, S, 3) uint8: edges and texture, without light and colour; float16.

    Half precision is exact to a twentieth of a grey level, which no threshold hangs on, and half the memory.
    """
    found = np.empty(images.shape, np.float16)
    for place, image in enumerate(images):
        pixels = image.astype(np.float32)
        found[place] = pixels - cv2.GaussianBlur(pixels, (0, 0), BLUR_PX)
    return found


def correlation(a: np.ndarray, b: np.ndarray, max_shift_px: int) -> float:
    """Normalised correlation of the details (S, S, 3) of two images in their best position, between -1 and 1.

    The middle of b is laid over a with shifts of up to `max_shift_px` each way; where that is promising, each is
    also taken for a part of the other, ENLARGED of its side. 0 where it is not defined: an image without details is
    like no other. Whole images would correlate by their horizon alone.
    """
    side, margin = len(b), max_shift_px
    a, b = a.astype(np.float32), b.astype(np.float32)
    best = _best_match(a, b[margin : side - margin, margin : side - margin])
    if best >= WORTH_SCALING:
        reduced = (round(ENLARGED * side),) * 2
        for part, whole in ((a, b), (b, a)):
            best = max(best, _best_match(whole, cv2.resize(part, reduced, interpolation=cv2.INTER_AREA)))
    return best


def _best_match(image: np.ndarray, part: np.ndarray) -> float:
    if np.abs(part).max() < FAINTEST:  # OpenCV calls nothing a perfect match of anything
        return 0.0
    found = cv2.matchTemplate(image, np.ascontiguousarray(part), cv2.TM_CCOEFF_NORMED)
    return float(np.clip(found, -1, 1).max())


@dataclass(frozen=True)
class Thresholds:
    """How many neighbours are compared, and when two images are near duplicates (docs/decisions/duplicates.md)."""

    neighbours: int
    min_correlation: float
    max_shift_px: int


@dataclass(frozen=True)
class Links:
    """Which images are the same: `first` (N,) is the first image with equal bytes, `near` correlates two such firsts.

    A thousand equal frames are one first, not half a million pairs.
    """

    first: np.ndarray
    near: Mapping[tuple[int, int], float]

    def groups(self) -> np.ndarray:
        """The sizes of groups of two images or more that are linked, directly or by others, largest first."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        ends = np.array([*self.near], np.int64).reshape(-1, 2)
        rows = np.concatenate([np.arange(len(self.first)), ends[:, 0]])
        columns = np.concatenate([self.first, ends[:, 1]])
        shape = (len(self.first),) * 2
        _, member = connected_components(coo_array((np.ones(len(rows)), (rows, columns)), shape), directed=False)
        sizes = np.bincount(member)
        return np.sort(sizes[sizes > 1])[::-1]


def find_links(images: np.ndarray, thresholds: Thresholds) -> Links:
    """Which of images (N, S, S, 3) uint8 are equal or nearly so. Correlations have 4 digits, as machines agree."""
    known: dict[bytes, int] = {}
    first = np.array([known.setdefault(image.tobytes(), place) for place, image in enumerate(images)])
    firsts, images = np.unique(first), small(images)
    pairs, mirrored = candidates(images[firsts], thresholds.neighbours)
    pairs, fine = firsts[pairs], details(images)

    def compare(place: int) -> float:
        a, b = fine[pairs[place]]
        return correlation(a, b[:, ::-1] if mirrored[place] else b, thresholds.max_shift_px)

    with ThreadPoolExecutor() as threads:  # OpenCV lets go of Python's lock
        found = list(threads.map(compare, range(len(pairs))))
    near: dict[tuple[int, int], float] = {}
    for (a, b), value in zip(pairs.tolist(), found, strict=True):
        if value >= thresholds.min_correlation:
            near[a, b] = max(near.get((a, b), -1.0), round(value, 4))
    return Links(first, near)


@dataclass(frozen=True)
class Copy:
    """An image and the one that it copies: equal bytes, or the highest correlation."""

    image: int
    original: int
    exact: bool
    correlation: float


def copies(links: Links, images: Sequence[int], among: Sequence[int]) -> Iterator[Copy]:
    """For each of `images` that is also `among` others, equal or nearly so, its best original; one row an image.

    With the same list twice: for each image that has a copy earlier in the list.
    """
    within = list(images) == list(among)
    members = defaultdict(list)
    for place in among:
        members[int(links.first[place])].append(place)
    near = defaultdict(list)
    for (a, b), value in links.near.items():
        near[a].append((value, b))
        near[b].append((value, a))
    for image in images:
        own = int(links.first[image])
        options = [(2.0, own), *near[own]]
        found = [
            (value, -place)
            for value, other in options
            for place in members[other][:1]
            if (place < image if within else place != image)
        ]
        if found:
            value, place = max(found)
            yield Copy(image, -place, value == 2.0, min(value, 1.0))


def accuracy_without(right: np.ndarray, affected: np.ndarray) -> dict[str, float]:
    """Accuracy of all answers, of those not `affected` and of those affected, (N,) bool each.

    With Wilson's 95 % intervals; figures of no answers are left out.
    """
    figures = {"affected_test_images": int(affected.sum()), "accuracy": float(right.mean())}
    for name, some in (("accuracy_without", right[~affected]), ("accuracy_on_affected", right[affected])):
        if len(some):
            figures |= share_of(name, some)
    return figures
