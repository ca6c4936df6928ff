"""Pictures for people: sheets of example images, drawn off screen."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np

from transfer.runtime.files import whole

matplotlib.use("Agg")
from matplotlib import font_manager
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

matplotlib.rcParams["text.parse_math"] = False  # a class may have a $ in its name
# For letters that matplotlib's own font lacks, what the machine has of these.
CJK = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "WenQuanYi Micro Hei",
    "Hiragino Sans",
    "PingFang SC",
    "Arial Unicode MS",
)
warnings.filterwarnings("ignore", "Glyph .* missing")  # it has none of them: boxes, once in each caption
matplotlib.rcParams["font.family"] = ["DejaVu Sans", *(font for font in CJK if font in font_manager.get_font_names())]

# Images of 32 pixels, enlarged for the network, and their maps hold no more; a sheet of larger ones is megabytes.
PANE_PX = 48
CAPTION_LETTERS = 16  # that fit above a picture of a sheet
RIGHT, WRONG = "#1a7f37", "#cf222e"  # told apart by lightness too, and wrong ones by their caption


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, whole or not at all, and close it."""
    with whole(path) as partial:
        # Without the library's version in it, equal pictures are equal files.
        figure.savefig(partial, format="png", dpi=110, metadata={"Software": None})
    plt.close(figure)


def show_pixels(axes: Axes, pixels: np.ndarray, caption: str = "", colour: str | None = None) -> None:
    """Draw one image (H, W, 3) uint8 without axes, with a caption above and a coloured frame."""
    axes.imshow(pixels, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.set_title(caption, fontsize=7.5, color=colour or "black", pad=3)
    for side in axes.spines.values():
        side.set(visible=colour is not None, color=colour, linewidth=3)


def percent(probability: float) -> str:
    """A probability for a caption, never rounded up to certainty."""
    return ">99 %" if probability > 0.99 else f"{100 * probability:.0f} %"


def caption_of(label: int, probabilities: np.ndarray, classes: Sequence[str]) -> str:
    """`cat 93 %` for a right answer, `cat → dog 61 %` (truth → answer) for a wrong one."""
    predicted = int(probabilities.argmax())
    said = f"{classes[predicted]} {percent(float(probabilities[predicted]))}"
    return said if predicted == label else _from_to(classes[label], said)


def _from_to(label: str, other: str) -> str:
    """`cat → dog 61 %`, in two lines if one would run into the next picture."""
    return f"{label} →{' ' if len(label) + len(other) <= CAPTION_LETTERS else chr(10)}{other}"


def spread(labels: np.ndarray, classes: int, count: int) -> np.ndarray:
    """Places of the first images of each class, about `count` in all, class after class."""
    each = max(count // classes, 1)
    return np.concatenate([np.flatnonzero(labels == label)[:each] for label in range(classes)])


def picture_sheet(
    path: Path,
    images: Sequence[np.ndarray] | np.ndarray,
    captions: Sequence[str],
    colours: Sequence[str | None],
    title: str,
    columns: int = 10,
) -> None:
    """A sheet of images (N, H, W, 3) uint8, each with a caption and perhaps a frame; it says so if there are none."""
    rows = max(-(-len(images) // columns), 1)
    figure, axes = plt.subplots(rows, columns, figsize=(1.35 * columns, 1.5 * rows + 0.5), squeeze=False)
    for place in axes.flat:
        place.axis("off")
    for place, pixels, caption, colour in zip(axes.flat, images, captions, colours, strict=False):
        place.axis("on")
        show_pixels(place, pixels, caption, colour)
    if not len(images):
        figure.text(0.5, 0.4, "none", ha="center", va="center", color="gray", fontsize=12)
    figure.suptitle(title, fontsize=10)
    figure.tight_layout(rect=(0, 0, 1, 0.99))
    save_figure(path, figure)


def prediction_grid(
    path: Path,
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
) -> None:
    """A grid of images (N, H, W, 3) uint8: right answers framed green, wrong ones red, `truth → answer`."""
    is_right = probabilities.argmax(1) == labels
    right = int(is_right.sum())
    title = (
        f"Test images by class: {right} of these {len(images)} right (green), {len(images) - right} wrong "
        "(red: truth → answer)"
    )
    captions = [caption_of(int(label), chances, classes) for label, chances in zip(labels, probabilities, strict=True)]
    picture_sheet(path, images, captions, [RIGHT if hit else WRONG for hit in is_right], title)


def error_sheet(
    path: Path, images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], count: int
) -> None:
    """The `count` wrong answers that the model was surest of: `truth → answer`."""
    wrong = np.flatnonzero(probabilities.argmax(1) != labels)
    surest = wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")][:count]
    captions = [caption_of(int(labels[place]), probabilities[place], classes) for place in surest]
    title = f"The {len(surest)} surest of {len(wrong)} wrong answers (truth → answer)"
    picture_sheet(path, images[surest], captions, [WRONG] * len(surest), title)


def suspect_sheet(path: Path, images: np.ndarray, rows: Sequence[Mapping[str, Any]], count: int) -> None:
    """The first `count` of images whose label may be wrong, from rows with `label` and `suggested`."""
    captions = [_from_to(row["label"], row["suggested"]) for row in rows[:count]]
    title = f"The {len(captions)} likeliest of {len(rows)} suspected label errors (label → suggestion)"
    picture_sheet(path, images[:count], captions, [None] * len(captions), title)


@dataclass(frozen=True)
class Explained:
    """One image (H, W, 3) uint8 with its map (H, W) in [0, 1], true label and class probabilities."""

    pixels: np.ndarray
    heat: np.ndarray
    label: int
    probabilities: np.ndarray


@dataclass(frozen=True)
class Compared:
    """One wrongly answered image (H, W, 3) uint8 with its maps (H, W) for the true and for the predicted class."""

    pixels: np.ndarray
    heats: Sequence[np.ndarray]
    label: int
    probabilities: np.ndarray


@dataclass(frozen=True)
class Pane:
    """One picture of a sheet (H, W, 3) uint8, drawn at PANE_PX: caption, its colour, frame or not, words over it."""

    pixels: np.ndarray
    caption: str = ""
    colour: str | None = None
    framed: bool = False
    note: str = ""


def panes_of(example: Explained | Compared, classes: Sequence[str]) -> list[Pane]:
    """Image, heat map and overlay; or image, overlay for the true class and overlay for the answer."""
    label, predicted = example.label, int(example.probabilities.argmax())
    colour = RIGHT if predicted == label else WRONG
    framed = Pane(example.pixels, colour=colour, framed=True)
    if isinstance(example, Compared):
        overlays = [
            Pane(
                overlay(example.pixels, heat),
                f"{classes[target]} {percent(float(example.probabilities[target]))}",
                shown,
                note=_no_evidence(heat),
            )
            for heat, target, shown in zip(example.heats, (label, predicted), (None, WRONG), strict=True)
        ]
        return [framed, *overlays]
    caption = caption_of(label, example.probabilities, classes)
    heat_map = Pane(heat_colours(example.heat), caption, colour, note=_no_evidence(example.heat))
    return [framed, heat_map, Pane(overlay(example.pixels, example.heat))]


def _no_evidence(heat: np.ndarray) -> str:
    return "" if heat.any() else "no evidence\nfor the class"


def overlay(pixels: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lay a map (H, W) in [0, 1] over an image (H, W, 3) uint8: half image, half colour."""
    return (0.5 * pixels + 0.5 * heat_colours(heat)).round().astype(np.uint8)


def heat_colours(heat: np.ndarray) -> np.ndarray:
    """Colour a map (H, W) in [0, 1]: (H, W, 3) uint8, dark for none, bright for most."""
    return matplotlib.colormaps["inferno"](heat, bytes=True)[..., :3]


def heat_map_sheet(
    path: Path,
    rows: Sequence[tuple[str, Sequence[Explained | Compared | None]]],
    columns: Sequence[str],
    classes: Sequence[str],
    title: str,
) -> None:
    """A sheet with a row of examples under each title, three pictures an example (see `panes_of`); None is a gap.

    `rows` are (row title, examples), `columns` the titles over the examples.
    """
    count = len(columns)
    pane_in, row_in, top_in = 1.05, 1.2, 0.3 + 0.2 * title.count("\n") + 0.6
    figure = plt.figure(figsize=(pane_in * 3 * count + 0.5, row_in * len(rows) + top_in))
    width, height = figure.get_size_inches()
    grid = figure.add_gridspec(
        len(rows), 4 * count - 1, width_ratios=([1, 1, 1, 0.12] * count)[:-1],
        left=0.3 / width, right=1 - 0.08 / width, top=1 - top_in / height, bottom=0.08 / height,
        wspace=0.04, hspace=0.2,
    )  # fmt: skip
    for row, (name, examples) in enumerate(rows):
        for column, example in enumerate(examples):
            places = [figure.add_subplot(grid[row, 4 * column + i]) for i in range(3)]
            if column == 0:
                places[0].set_ylabel(name, fontsize=9)
            if example is None:
                for place in places:
                    place.set(xticks=[], yticks=[])
                    place.set_frame_on(False)
                places[1].text(0.5, 0.5, "none", ha="center", va="center", color="gray", fontsize=8)
                continue
            for place, pane in zip(places, panes_of(example, classes), strict=True):
                show_pane(place, pane)
    for column, text in enumerate(columns):
        box = grid[0, 4 * column : 4 * column + 3].get_position(figure)
        figure.text((box.x0 + box.x1) / 2, 1 - (top_in - 0.3) / height, text, ha="center", fontsize=9)
    figure.suptitle(title, fontsize=11, y=1 - 0.1 / height, va="top")
    save_figure(path, figure)


def show_pane(axes: Axes, pane: Pane) -> None:
    """Draw one picture of a sheet."""
    pixels = pane.pixels
    if len(pixels) > PANE_PX:
        pixels = cv2.resize(pixels, (PANE_PX, PANE_PX), interpolation=cv2.INTER_AREA)
    show_pixels(axes, pixels, pane.caption, pane.colour if pane.framed else None)
    axes.title.set_color(pane.colour or "black")
    axes.text(0.5, 0.5, pane.note, ha="center", va="center", color="white", fontsize=7, transform=axes.transAxes)
