"""How accuracy falls under corruption, with examples of what each strength looks like."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from transfer.evaluation.corruptions import CORRUPTIONS, STRENGTHS, corrupted
from transfer.pictures.sheets import save_figure
from transfer.runtime.wording import percent

Estimate = tuple[float, float, float]  # a share with the ends of its 95 % interval
COLUMNS = 3
CLEAN, CORRUPTED = "#57606a", "#0969da"


def corruption_chart(
    path: Path,
    clean: Estimate,
    under: Mapping[tuple[str, str], Estimate],
    examples: np.ndarray,
    title: str,
    seed: int,
) -> None:
    """A panel a corruption: accuracy without it and at each strength, and below it the examples as they then look.

    `under` has an estimate for each (corruption, strength); examples (n, H, W, 3) uint8 are corrupted here.
    """
    rows = -(-len(CORRUPTIONS) // COLUMNS)
    figure = Figure(figsize=(11, rows * (3 + 0.75 * len(examples)) + 0.2))
    outer = figure.add_gridspec(
        rows,
        COLUMNS,
        left=0.06,
        right=0.99,
        top=1 - 0.6 / figure.get_figheight(),
        bottom=0.01,
        wspace=0.05,
        hspace=0.14,
    )
    lowest = min(low for _, low, _ in [clean, *under.values()])
    for place, (name, corruption) in enumerate(CORRUPTIONS.items()):
        inner = outer[place].subgridspec(2, 1, height_ratios=[2.3, 0.93 * len(examples)], hspace=0.13)
        axes = figure.add_subplot(inner[0])
        _draw_fall(axes, [clean, *(under[name, strength] for strength in STRENGTHS)])
        axes.set_ylim(max(np.floor(10 * lowest - 0.5) / 10, 0), 1.02)
        axes.set_title(f"{corruption.title} ({corruption.unit})", fontsize=9)
        axes.tick_params(labelleft=place % COLUMNS == 0)
        looks = {"clean": examples} | {
            f"{strength}: {amount:g}": list(corrupted(examples, name, strength, seed))
            for strength, amount in corruption.amounts.items()
        }
        _draw_examples(figure.add_subplot(inner[1], sharex=axes), looks)
    figure.suptitle(title, fontsize=11, y=1 - 0.12 / figure.get_figheight(), va="top")
    save_figure(path, figure)


def _draw_fall(axes: Axes, estimates: Sequence[Estimate]) -> None:
    shares, lows, highs = np.transpose(estimates)
    axes.axhspan(lows[0], highs[0], color=CLEAN, alpha=0.15, linewidth=0)
    axes.axhline(shares[0], color=CLEAN, linestyle="--", linewidth=1)
    axes.errorbar(
        range(len(shares)),
        shares,
        [shares - lows, highs - shares],
        color=CORRUPTED,
        marker="o",
        markersize=4,
        capsize=3,
    )
    for x, (share, low) in enumerate(zip(shares, lows, strict=True)):
        at = (x, low), (6, -4)
        axes.annotate(percent(share), *at, textcoords="offset points", ha="right", va="top", fontsize=8)
    axes.tick_params(axis="x", bottom=False, labelbottom=False)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)


def _draw_examples(axes: Axes, looks: Mapping[str, Sequence[np.ndarray] | np.ndarray]) -> None:
    """Draw images a column a caption, each column under its point of the chart."""
    for column, images in enumerate(looks.values()):
        for row, image in enumerate(images):
            axes.imshow(image, extent=(column - 0.46, column + 0.46, row + 0.46, row - 0.46), interpolation="nearest")
    axes.set(xlim=(-0.5, len(looks) - 0.5), ylim=(max(map(len, looks.values())) - 0.5, -0.5), yticks=[])
    axes.set_xticks(range(len(looks)), looks, fontsize=8)
    axes.tick_params(top=False, bottom=False, labeltop=True, labelbottom=False, pad=1)
    axes.set_frame_on(False)
    axes.set_anchor("N")
