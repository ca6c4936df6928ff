"""Pictures of a change: learning curves, predictions and heat maps of the run before it and of the one after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from transfer.pictures.sheets import RIGHT, WRONG, overlay, picture_sheet
from transfer.report import charts
from transfer.report.evidence import Row
from transfer.runtime.files import whole

PLAIN_TEXT: dict[Any, Any] = {"text.parse_math": False}  # a class may have a $ in its name
# What makes a chart for a page a file of its own.
ALONE = '<svg xmlns="http://www.w3.org/2000/svg" style="background: white; font-family: sans-serif"'

Phases = Mapping[str, Sequence[Row]]
Names = Sequence[str] | np.ndarray


def learning_curves(path: Path, before: Phases, after: Phases, measure: str) -> None:
    """Accuracy or loss of each epoch of two runs, of each phase by its name, as an SVG file."""
    svg = charts.learning_curves(after, measure, before)
    with whole(path) as partial:
        partial.write_text(svg.replace("<svg", ALONE, 1) + "\n", encoding="utf-8")


def sample(labels: np.ndarray, indices: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of `indices`, at even steps through them ordered by their labels (N,), so of every class."""
    ordered = indices[np.argsort(labels[indices], kind="stable")]
    return ordered[np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int)]


def prediction_strip(path: Path, images: np.ndarray, labels: Names, wrong: Names, total: int, is_right: bool) -> None:
    """Images (N, H, W, 3) uint8 out of `total` that are newly right or wrong: `truth → the wrong prediction`."""
    what, when = ("right", "before") if is_right else ("wrong", "now")
    count = f"{len(images)} of {total}" if len(images) < total else f"{total}"
    title = f"{count} test images that are newly {what} (truth → the prediction {when})"
    captions = [f"{label} → {predicted}" for label, predicted in zip(labels, wrong, strict=True)]
    with matplotlib.rc_context(PLAIN_TEXT):
        columns = min(max(len(images), 5), 10)  # fewer leave no room for the title
        picture_sheet(path, images, captions, [RIGHT if is_right else WRONG] * len(images), title, columns)


@dataclass(frozen=True)
class View:
    """What one model makes of an image: the pixels (H, W, 3) uint8 it gets, its heat map (H, W), its prediction."""

    pixels: np.ndarray
    heat: np.ndarray
    predicted: str


def heat_map_pairs(path: Path, examples: Sequence[tuple[str, View, View]], title: str) -> None:
    """Two examples (true class, before, after) per row: image, overlay before, overlay after, framed by correctness.

    ∅ marks an empty map.
    """
    images, captions, colours = [], [], []
    for label, *views in examples:
        images.append(views[1].pixels)
        captions.append(label)
        colours.append(None)
        for when, view in zip(("before", "after"), views, strict=True):
            images.append(overlay(view.pixels, view.heat))
            captions.append(f"{when}: {view.predicted}" + ("" if view.heat.any() else " ∅"))
            colours.append(RIGHT if view.predicted == label else WRONG)
    with matplotlib.rc_context(PLAIN_TEXT):
        picture_sheet(path, images, captions, colours, title, columns=6)
