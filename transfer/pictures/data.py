"""Pictures of a data set: examples, mean images and colours, enlargements, images that are there twice."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from transfer.data.resize import resized
from transfer.evaluation.pixels import CHANNELS, DETAIL_FROM, NYQUIST, Detail, colour_histograms
from transfer.pictures.sheets import save_figure, show_pixels

COLOURS = dict(zip(CHANNELS, ("#cf222e", "#1a7f37", "#0969da"), strict=True))
STYLES = {
    "original": ("black", "-"),
    "nearest": ("#cf222e", ":"),
    "linear": ("#bf8700", "--"),
    "cubic": ("#1a7f37", "-"),
    "lanczos4": ("#0969da", "-."),
}
HISTOGRAM_BINS = 32
# Key of a figure: its title, and how its values are written.
FIGURES = {
    "kept_energy": ("detail kept (line:\nthe original's share)", "{:.3f}"),
    "invented_energy": ("detail invented\n(share of energy)", "{:.3f}"),
    "round_trip_psnr_db": ("halved, enlarged\n(PSNR, dB)", "{:.1f}"),
    "sharpness": ("sharpness (variance\nof the Laplacian)", "{:.0f}"),
}


def example_sheet(path: Path, images: np.ndarray, labels: np.ndarray, classes: Sequence[str], columns: int) -> None:
    """A row a class: the first `columns` of its images (N, H, W, 3) uint8 at their own size."""
    figure, axes = plt.subplots(
        len(classes), columns, figsize=(0.75 * columns + 1.2, 0.77 * len(classes) + 0.6), squeeze=False
    )
    for row, (name, places) in enumerate(zip(classes, axes, strict=True)):
        own = images[labels == row][:columns]
        for place, pixels in zip(places, own, strict=False):
            show_pixels(place, pixels)
        for place in places[len(own) :]:
            show_nothing(place)
        places[0].set_ylabel(name, fontsize=9, rotation=0, ha="right", va="center", labelpad=6)
    figure.suptitle("Training images of each class", fontsize=11)
    figure.tight_layout(pad=0.4, h_pad=0.2, w_pad=0.2, rect=(0, 0, 1, 0.99))
    save_figure(path, figure)


def show_nothing(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[])
    axes.set_frame_on(False)


def mean_sheet(path: Path, images: np.ndarray, labels: np.ndarray, classes: Sequence[str], columns: int = 5) -> None:
    """For each class its mean image and, below, a histogram of each colour channel."""
    columns = min(columns, len(classes))
    rows = -(-len(classes) // columns)
    figure, axes = plt.subplots(
        2 * rows, columns, figsize=(1.75 * columns + 0.3, 2.95 * rows + 0.8), squeeze=False,
        height_ratios=[2.1, 1] * rows,
    )  # fmt: skip
    tallest = 0.0
    for label in range(rows * columns):
        row, column = divmod(label, columns)
        picture, histogram = axes[2 * row, column], axes[2 * row + 1, column]
        own = images[labels == label]
        if not len(own):
            show_nothing(picture)
            show_nothing(histogram)
            if label < len(classes):
                picture.set_title(f"{classes[label]} (no image)", fontsize=9)
            continue
        show_pixels(picture, own.mean(0).round().astype(np.uint8))
        picture.set_title(classes[label], fontsize=9)
        shares = colour_histograms(own, HISTOGRAM_BINS)
        tallest = max(tallest, np.quantile(shares, 0.99))  # a bar of pure black or white would flatten the rest
        for channel, share in zip(CHANNELS, shares, strict=True):
            histogram.stairs(share, np.linspace(0, 1, HISTOGRAM_BINS + 1), color=COLOURS[channel], label=channel)
        histogram.set(xticks=[0, 0.5, 1], yticks=[], xlim=(0, 1))
        histogram.tick_params(labelsize=7)
    for histogram in axes[1::2].flat:
        histogram.set_ylim(0, 1.1 * tallest)
    figure.suptitle(
        "Mean training image of each class, and how often each value of a channel occurs in it", fontsize=10
    )
    handles = [Line2D([], [], color=colour, label=channel) for channel, colour in COLOURS.items()]
    figure.legend(handles=handles, loc="lower center", ncols=3, fontsize=8, frameon=False)
    figure.tight_layout(h_pad=0.9, rect=(0, 0.04, 1, 1))
    save_figure(path, figure)


def interpolation_sheet(
    path: Path,
    images: np.ndarray,
    size_px: int,
    measured: Mapping[str, Detail],
    original: Detail,
    title: str,
) -> None:
    """The middle of images (N, S, S, 3) uint8 enlarged by each interpolation; below, spectra and figures.

    `measured` is the detail after each interpolation, `original` before; both may be of more images than are shown.
    """
    height = 1.72 * len(images) + 0.75
    figure = plt.figure(figsize=(9.5, height + 3.6))
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[height, 3.6]).flat
    axes = upper.subplots(len(images), len(measured) + 1, squeeze=False)
    for places, image in zip(axes, images, strict=True):
        views = [image, *(resized(image, size_px, name, "stretch") for name in measured)]
        for place, view in zip(places, views, strict=True):
            show_pixels(place, middle(view))
    for place, text in zip(axes[0], [f"original ({images.shape[1]} px)", *measured], strict=True):
        place.set_title(text, fontsize=9)
    upper.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=1 - 0.62 / height, wspace=0.03, hspace=0.04)
    upper.suptitle(title, fontsize=10, y=1 - 0.1 / height, va="top")
    spectrum, *bars = lower.subplots(1, 1 + len(FIGURES), width_ratios=[2.6] + [1] * len(FIGURES))
    draw_spectra(spectrum, {"original": original, **measured})
    for place, (key, (text, form)) in zip(bars, FIGURES.items(), strict=True):
        draw_bars(place, {name: one.figures.get(key) for name, one in measured.items()}, text, form)
        if key in original.figures:
            place.axhline(original.figures[key], color="black", linewidth=1)
            place.set_ylim(top=max(place.get_ylim()[1], 1.15 * original.figures[key]))
    lower.subplots_adjust(left=0.07, right=0.985, bottom=0.22, top=0.86, wspace=0.32)
    save_figure(path, figure)


def middle(image: np.ndarray) -> np.ndarray:
    """The middle half of an image each way, where pixels can be told apart."""
    height, width, _ = image.shape
    return image[height // 4 : height - height // 4, width // 4 : width - width // 4]


def draw_spectra(axes: Axes, details: Mapping[str, Detail]) -> None:
    """Radial spectra in decibels below the strongest wave of any."""
    strongest = max(detail.spectrum[1].max() for detail in details.values()) or 1.0
    for name, detail in details.items():
        waves, powers = detail.spectrum
        seen = (powers > 0) & (waves > 0)
        decibels = 10 * np.log10(powers[seen] / strongest)
        colour, style = STYLES[name]
        axes.plot(waves[seen], decibels, color=colour, linestyle=style, label=name, linewidth=1.3)
    axes.axvspan(DETAIL_FROM, NYQUIST, color="#1a7f37", alpha=0.12, linewidth=0, label="the original's detail")
    axes.axvline(NYQUIST, color="gray", linewidth=0.8)
    axes.set_xlabel("waves per original pixel (beyond 0.5: invented)", fontsize=8)
    axes.set_title("power spectrum (dB, ring averages)", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=6.5, frameon=False, loc="upper right")


def draw_bars(axes: Axes, values: Mapping[str, float | None], title: str, form: str) -> None:
    """A bar a value with its number on top; none where there is no value."""
    heights = [value or 0.0 for value in values.values()]
    bars = axes.bar(list(values), heights, color=[STYLES[name][0] for name in values], width=0.7)
    axes.bar_label(bars, ["none" if value is None else form.format(value) for value in values.values()], fontsize=6.5)
    axes.set_title(title, fontsize=8)
    axes.set(yticks=[], ylim=(0, 1.15 * max(heights) or 1))
    axes.tick_params(axis="x", labelsize=7.5, rotation=90, length=0)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)


def pair_sheet(path: Path, rows: Sequence[Mapping[str, Any]], count: int, columns: int = 5) -> None:
    """The first `count` pairs side by side, each second image once; without any, a page that says so.

    Rows hold kind, correlation, and split, position, class and pixels (H, W, 3) uint8 of both (`split_a`, ...).
    """
    once: dict[tuple, Mapping[str, Any]] = {}  # an image of many pairs would fill the page
    for row in rows:
        once.setdefault((row["split_b"], row["position_b"]), row)
    shown = list(once.values())[:count]
    columns = min(columns, max(len(shown), 3))
    lines = max(-(-len(shown) // columns), 1)
    height = 1.45 * lines + 0.6
    figure = plt.figure(figsize=(2.35 * columns + 0.2, height))
    title = f"Images that are there twice: {len(shown):,} of {len(rows):,}"
    figure.suptitle(title, fontsize=10, y=1 - 0.12 / height, va="top")
    if not shown:
        figure.text(0.5, 0.4, "none was found", ha="center", va="center", color="gray", fontsize=10)
    grid = figure.add_gridspec(
        lines, 3 * columns - 1, width_ratios=([1, 1, 0.22] * columns)[:-1],
        left=0.01, right=0.99, top=1 - 0.62 / height, bottom=0.2 / height, wspace=0.04, hspace=0.42,
    )  # fmt: skip
    for i, row in enumerate(shown):
        down, right = divmod(i, columns)
        pair = [figure.add_subplot(grid[down, 3 * right + place]) for place in (0, 1)]
        for axes, side in zip(pair, "ab", strict=True):
            show_pixels(axes, row[f"pixels_{side}"], f"{row[f'split_{side}']}: {row[f'class_{side}']}")
        said = "equal" if row["kind"] == "exact" else f"correlation {row['correlation']:.2f}"
        pair[1].text(
            -0.02, -0.05, said, transform=pair[1].transAxes, ha="center", va="top", fontsize=7, color="#57606a"
        )
    save_figure(path, figure)
