"""Pictures of a change: learning curves, answers and heat maps of the run before it and of the one after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from transfer.pictures.sheets import RIGHT, WRONG, overlay, picture_sheet, save_figure
from transfer.report.evidence import Row

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator, PercentFormatter

BEFORE: dict[str, Any] = {"color": "#9db8d9", "linewidth": 4}  # broad, to be seen where both are the same
AFTER: dict[str, Any] = {"color": "#d9730d", "linewidth": 1.4, "marker": "o", "markersize": 2.5}
PLAIN_TEXT: dict[Any, Any] = {"text.parse_math": False}  # a class may have a $ in its name

Phases = Mapping[str, Sequence[Row]]


def learning_curves(path: Path, before: Phases, after: Phases) -> None:
    """Accuracy and loss of each epoch of two runs, of each phase by its name; training dashed, validation solid."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
    for place, measure in zip(axes, ("accuracy", "loss"), strict=True):
        for phases, look, name in ((before, BEFORE, "before"), (after, AFTER, "after")):
            for number, epochs in enumerate(phases.values()):
                x = [int(row["epoch"]) for row in epochs]
                for split, line, shown in (("train", (0, (2, 1)), "training"), ("val", "-", "validation")):
                    y = [float(row[f"{split}_{measure}"]) for row in epochs]
                    label = None if number else f"{name}, {shown}"
                    place.plot(x, y, linestyle=line, label=label, **look)
                if number:
                    place.axvline(x[0] - 0.5, color=look["color"], linewidth=1, linestyle=":")
        place.xaxis.set_major_locator(MaxNLocator(integer=True))
        place.set(xlabel="epoch (dotted: a phase begins)", ylabel=measure)
        place.grid(alpha=0.2)
        place.spines[["top", "right"]].set_visible(False)
    axes[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes[1].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    save_figure(path, figure)


def sample(labels: np.ndarray, places: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of `places`, at even steps through them ordered by their labels (N,), so of every class."""
    ordered = places[np.argsort(labels[places], kind="stable")]
    return ordered[np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int)]


def answer_strip(
    path: Path, images: np.ndarray, labels: Sequence[str], wrong: Sequence[str], total: int, mended: bool
) -> None:
    """Images (N, H, W, 3) uint8 out of `total` that are newly right or wrong: `truth → the wrong answer`."""
    what, when = ("right", "before") if mended else ("wrong", "now")
    count = f"{len(images)} of {total}" if len(images) < total else f"{total}"
    title = f"{count} images that are newly {what} (truth → the answer {when})"
    captions = [f"{label} → {answer}" for label, answer in zip(labels, wrong, strict=True)]
    with matplotlib.rc_context(PLAIN_TEXT):
        columns = min(max(len(images), 5), 10)  # fewer leave no room for the title
        picture_sheet(path, images, captions, [RIGHT if mended else WRONG] * len(images), title, columns)


@dataclass(frozen=True)
class View:
    """What one model makes of an image: the pixels (H, W, 3) uint8 it sees, its heat map (H, W), and its answer."""

    pixels: np.ndarray
    heat: np.ndarray
    answer: str


def heat_map_pairs(path: Path, examples: Sequence[tuple[str, View, View]], title: str) -> None:
    """Two examples (true class, before, after) a row: image, overlay before, overlay after, framed as the answers.

    ∅ marks an empty map.
    """
    images, captions, colours = [], [], []
    for label, *views in examples:
        images.append(views[1].pixels)
        captions.append(label)
        colours.append(None)
        for when, view in zip(("before", "after"), views, strict=True):
            images.append(overlay(view.pixels, view.heat))
            captions.append(f"{when}: {view.answer}" + ("" if view.heat.any() else " ∅"))
            colours.append(RIGHT if view.answer == label else WRONG)
    with matplotlib.rc_context(PLAIN_TEXT):
        picture_sheet(path, images, captions, colours, title, columns=6)
