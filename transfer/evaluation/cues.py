"""Test images that keep some cues and lack others: colour, shape, texture, layout.

They are made at the images' own size, as the corruptions are. Filters and shuffled patches as in Geirhos et al. 2019
and Yin et al. 2019; the strengths are our own, for images of 32 pixels.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from transfer.evaluation.scores import share_of

FILTER_SHARE = 1.5 / 32  # standard deviation of the blur that parts low from high frequencies, as a share of the side
COLOUR_SHARE = 4 / 32  # of the blur that leaves colours and where they are
PATCHES = 4  # a side


def grey(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def hue_shifted(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + 90) % 180  # OpenCV's circle has 180 steps: the opposite colour
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def colour_only(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), COLOUR_SHARE * len(image))


def low_pass(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), FILTER_SHARE * len(image))


def high_pass(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
    fine = image - cv2.GaussianBlur(image.astype(np.float32), (0, 0), FILTER_SHARE * len(image))
    return (fine + image.mean((0, 1))).round().clip(0, 255).astype(np.uint8)


def patches_shuffled(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    side = len(image) // PATCHES * PATCHES
    rows = [np.split(row, PATCHES, axis=1) for row in np.split(image[:side, :side], PATCHES, axis=0)]
    pieces = [piece for row in rows for piece in row]
    order = generator.permutation(len(pieces))
    return np.vstack([np.hstack([pieces[i] for i in order[k : k + PATCHES]]) for k in range(0, len(pieces), PATCHES)])


@dataclass(frozen=True)
class Cue:
    """A way to change an image (H, W, 3) uint8, and what it leaves."""

    apply: Callable[[np.ndarray, np.random.Generator], np.ndarray]
    leaves: str


CUES = {
    "grey": Cue(grey, "shape and texture, no colour"),
    "hue_shifted": Cue(hue_shifted, "shape and texture, the opposite colour"),
    "colour_only": Cue(colour_only, "colours and where they are, neither shape nor texture"),
    "low_pass": Cue(low_pass, "rough shape and colour, no texture"),
    "high_pass": Cue(high_pass, "edges and texture, the mean colour"),
    "patches_shuffled": Cue(patches_shuffled, "texture and colour, no shape"),
}


def with_cue(images: np.ndarray, name: str, seed: int) -> Iterator[np.ndarray]:
    """Yield images (N, H, W, 3) uint8 RGB one by one, changed as CUES says; chance depends on seed and name alone."""
    generator = np.random.default_rng([seed, *name.encode()])
    for image in images:
        yield CUES[name].apply(image, generator)


def accuracy_of(right: np.ndarray) -> dict[str, float]:
    """Accuracy of answers (N,) bool with Wilson's interval."""
    return share_of("accuracy", right)


def cue_rows(right: Mapping[str, np.ndarray], labels: np.ndarray, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Accuracy of each class under each cue, of answers (N,) bool by cue; classes without an image are left out."""
    return [
        {"class": name, "cue": cue, "images": int(own.sum()), **accuracy_of(found[own])}
        for cue, found in right.items()
        for label, name in enumerate(classes)
        if (own := labels == label).any()
    ]
