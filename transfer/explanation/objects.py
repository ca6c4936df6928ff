"""Objects and their surroundings: masks by GrabCut, and images in which one of the two is replaced."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from transfer.runtime.errors import DataError
from transfer.runtime.files import open_arrays, write_arrays
from transfer.runtime.kept import digest

# GrabCut's balance between colours and smooth outlines shifts with the size, so all images are cut at this one.
CUT_PX = 96
# Between the edge and the initial rectangle, as a share of the side. The second checks the first.
MARGIN, CHECK_MARGIN = 1 / 16, 3 / 32
ROUNDS = 3
# Beyond its mask an object still has an edge; this share of the side is taken away with it.
EDGE = 1 / 16
# Standard deviation of every blur, as a share of the side: no texture is left, of the shape a smear.
BLUR = 1 / 8
TAKEN = "taken"
REJECTED = SMALL, LARGE, UNSTEADY = "small", "large", "unsteady"


def cut_out(pixels: np.ndarray, margin: float) -> np.ndarray:
    """The object (S, S) bool in an image (S, S, 3) uint8 by GrabCut (Rother, Kolmogorov and Blake 2004).

    Outside a centred rectangle that leaves `margin` of the side on each side all is background; of what
    GrabCut then takes for the object the largest connected part counts. Nothing is found where it fails.
    """
    side = len(pixels)
    image = cv2.resize(pixels, (CUT_PX, CUT_PX), interpolation=cv2.INTER_AREA if side > CUT_PX else cv2.INTER_LINEAR)
    edge = round(CUT_PX * margin)
    marked = np.zeros((CUT_PX, CUT_PX), np.uint8)
    cv2.setRNGSeed(0)  # of this thread, so that neither the order of images nor their threads matter
    try:
        rectangle = (edge, edge, CUT_PX - 2 * edge, CUT_PX - 2 * edge)
        colours = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(image, marked, rectangle, *colours, ROUNDS, cv2.GC_INIT_WITH_RECT)
    except cv2.error:  # an image of too few colours for its mixture models
        return np.zeros((side, side), bool)
    inside = np.isin(marked, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    _, parts, sizes, _ = cv2.connectedComponentsWithStats(inside)
    if len(sizes) == 1:  # background only
        return np.zeros((side, side), bool)
    largest = (parts == 1 + sizes[1:, cv2.CC_STAT_AREA].argmax()).astype(np.float32)
    return cv2.resize(largest, (side, side), interpolation=cv2.INTER_LINEAR) > 0.5


def judge(mask: np.ndarray, check: np.ndarray, min_share: float, max_share: float, min_agreement: float) -> str:
    """Whether a mask is taken, or what it is rejected for.

    Small or large by its share of the image; unsteady if the mask `check` from another rectangle agrees
    with it less than `min_agreement` (intersection over union).
    """
    if mask.mean() < min_share:
        return SMALL
    if mask.mean() > max_share:
        return LARGE
    return TAKEN if (mask & check).sum() >= min_agreement * (mask | check).sum() else UNSTEADY


def find_objects(
    pixels: np.ndarray, min_share: float, max_share: float, min_agreement: float
) -> tuple[np.ndarray, np.ndarray]:
    """Masks (N, S, S) bool of the objects in images (N, S, S, 3) uint8, and what `judge` says of each (N,)."""

    def find(image: np.ndarray) -> tuple[np.ndarray, str]:
        mask = cut_out(image, MARGIN)
        if (said := judge(mask, mask, min_share, max_share, min_agreement)) == TAKEN:
            said = judge(mask, cut_out(image, CHECK_MARGIN), min_share, max_share, min_agreement)
        return mask, said

    with ThreadPoolExecutor() as threads:  # OpenCV lets go of Python's lock
        found = list(threads.map(find, pixels))
    return np.stack([mask for mask, _ in found]), np.array([said for _, said in found])


def known_objects(state: Path, made_by: str, pixels: np.ndarray, *limits: float) -> tuple[np.ndarray, np.ndarray]:
    """What `find_objects` gives, from the state folder if an earlier run with the fingerprint `made_by` cut the same.

    It takes half a minute of one core for 500 images, and depends on no model.
    """
    file = state / "objects" / f"{made_by}-{digest(pixels).hex()[:16]}.npz"
    with suppress(DataError), open_arrays(file, "masks", "judged") as arrays:
        return arrays["masks"], arrays["judged"]
    masks, judged = find_objects(pixels, *limits)
    with suppress(OSError):  # on a disk without room nothing is kept
        for earlier in file.parent.glob("*.npz"):
            earlier.unlink(missing_ok=True)
        write_arrays(file, masks=masks, judged=judged)
    return masks, judged


def smoothed(pixels: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """An image (S, S, 3) in which each pixel is the Gaussian mean of the pixels `kept` (S, S) bool around it.

    Normalised convolution (Knutsson and Westin 1993): nothing of the other pixels bleeds in. float32.
    """
    weights = kept.astype(np.float32)
    sigma = BLUR * len(pixels)
    total = cv2.GaussianBlur(weights, (0, 0), sigma)[..., None]
    blurred = cv2.GaussianBlur(pixels * weights[..., None], (0, 0), sigma)
    # Far from any kept pixel, the mean of all of them.
    mean = pixels[kept].mean(0, dtype=np.float32) if kept.any() else np.float32(127.5)
    return (blurred + 1e-4 * mean) / (total + 1e-4)


def compose(inside: np.ndarray, outside: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """One image within the mask and another without, with an edge as soft as the images are: (S, S, 3) uint8."""
    share = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), len(mask) / 96)[..., None]
    return (share * inside + (1 - share) * outside).round().clip(0, 255).astype(np.uint8)


def widened(mask: np.ndarray) -> np.ndarray:
    """A mask (S, S) bool and what is at most EDGE of the side away from it."""
    reach = round(EDGE * len(mask))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.dilate(mask.astype(np.uint8), disc).astype(bool)


def blur_background(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The object as it is, its surroundings blurred."""
    return compose(pixels, smoothed(pixels, ~widened(mask)), mask)


def blur_object(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The surroundings as they are, the object blurred within its outline."""
    return compose(smoothed(pixels, mask), pixels, mask)


def put_into(pixels: np.ndarray, mask: np.ndarray, scene: np.ndarray, scene_mask: np.ndarray) -> np.ndarray:
    """The object of one image in the surroundings of another, whose own object is painted over (Telea 2004)."""
    radius = EDGE * len(scene)
    empty_scene = cv2.inpaint(scene, widened(scene_mask).astype(np.uint8), radius, cv2.INPAINT_TELEA)
    return compose(pixels, empty_scene, mask)


def draw_partners(labels: np.ndarray, same_class: bool, rng: np.random.Generator) -> np.ndarray:
    """For each image another one at random, of the same class or of another; itself if there is none."""
    partners = np.arange(len(labels))
    for place, label in enumerate(labels):
        others = np.flatnonzero((labels == label) == same_class)
        if (others := others[others != place]).size:
            partners[place] = rng.choice(others)
    return partners


def counterfactuals(pixels: np.ndarray, masks: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Images (N, S, S, 3) uint8 with background or object changed, each kind under its name.

    background_same_class has the surroundings of another image of the class (Xiao et al. 2021), foreground_same_class
    the object of one: they show what cutting out costs by itself. foreground_swapped shows the object of another
    class. masks_permuted is background_swapped with the mask of any other image: what is left then is not the object's.
    """
    rng = np.random.default_rng(seed)
    others, alike = (draw_partners(labels, same, rng) for same in (False, True))
    turned = np.roll(rng.permutation(len(labels)), 1)
    kinds = {
        "background_blurred": lambda i: blur_background(pixels[i], masks[i]),
        "background_swapped": lambda i: put_into(pixels[i], masks[i], pixels[others[i]], masks[others[i]]),
        "background_same_class": lambda i: put_into(pixels[i], masks[i], pixels[alike[i]], masks[alike[i]]),
        "foreground_blurred": lambda i: blur_object(pixels[i], masks[i]),
        "masks_permuted": lambda i: put_into(pixels[i], masks[turned[i]], pixels[others[i]], masks[others[i]]),
        "foreground_same_class": lambda i: put_into(pixels[alike[i]], masks[alike[i]], pixels[i], masks[i]),
        "foreground_swapped": lambda i: put_into(pixels[others[i]], masks[others[i]], pixels[i], masks[i]),
    }
    return {name: np.stack([make(i) for i in range(len(pixels))]) for name, make in kinds.items()}
