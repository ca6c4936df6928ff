"""Test images that keep some cues and lack others: colour, shape, texture, layout.

They are made at the images' own size, as the corruptions are. Filters and shuffled patches as in Geirhos et al. 2019
and Yin et al. 2019; the strengths are our own, for images of 32 pixels.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from transfer.data.classes import CONFIDENCE
from transfer.evaluation.scores import FEWEST, newcombe_interval, paired_difference, share_of, with_interval

FILTER_SHARE = 1.5 / 32  # standard deviation of the blur that parts low from high frequencies, as a share of the side
COLOUR_SHARE = 4 / 32  # of the blur that leaves colours and where they are
PATCHES = 4  # a side
COLOUR_FIGURES = ("grey_cost", "hue_cost", "colour_alone")
COLOUR_ENDS = (f"{name}{end}" for name in COLOUR_FIGURES for end in ("", "_ci_low", "_ci_high"))
COLOUR_COLUMNS = ("class", "images", "accuracy", *COLOUR_ENDS, "verdict")
SMALL = 0.1  # share of a class's images; what certainly matters to fewer is not what the class is known by


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


def colour_rows(
    predicted: Mapping[str, np.ndarray], labels: np.ndarray, classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Is a class known by its colour? A row for each class, of answers (N,) by cue and `unchanged`.

    grey_cost and hue_cost: accuracy lost without colour, and by the opposite one, paired. colour_alone: share of its
    images that colour alone has recognised, less the share of other classes' images that are then taken for it.
    Intervals hold 95 % for all classes together (Bonferroni). Confirmed if grey_cost and colour_alone are above 0,
    refuted if one of them is below SMALL, each by its whole interval.
    """
    confidence = 1 - (1 - CONFIDENCE) / len(classes)
    rows = []
    for label, name in enumerate(classes):
        own = labels == label
        if not (count := int(own.sum())) or count == len(labels):
            continue
        right = {cue: predicted[cue][own] == label for cue in ("unchanged", "grey", "hue_shifted")}
        grey, hue = (paired_difference(right[cue], right["unchanged"], confidence) for cue in ("grey", "hue_shifted"))
        hits, taken = (predicted["colour_only"][group] == label for group in (own, ~own))
        ends = newcombe_interval(int(hits.sum()), count, int(taken.sum()), len(taken), confidence)
        alone = float(hits.mean() - taken.mean()), *ends
        refuted, confirmed = grey[2] < SMALL or alone[2] < SMALL, grey[1] > 0 < alone[1]
        word = "undecided"
        if count >= FEWEST and (refuted or confirmed):
            word = "refuted" if refuted else "confirmed"
        row = {"class": name, "images": count, "accuracy": float(right["unchanged"].mean()), "verdict": word}
        for key, (value, low, high) in zip(COLOUR_FIGURES, (grey, hue, alone), strict=True):
            row |= with_interval(key, value, (low, high))
        rows.append(row)
    return rows
