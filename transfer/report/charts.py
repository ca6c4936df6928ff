"""Charts for a page: SVG that takes the page's text colour and font, so that it is at home in light and dark."""

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

WIDTH_IN = 5.0  # at 72 dots an inch as wide as a phone, so that text is not shrunk there
TEXT = "#012345"  # stands for the page's text colour
BLUE, ORANGE = "#3b82c4", "#d9730d"  # readable on white and on black, told apart without red and green
STYLE: dict[Any, Any] = {  # of matplotlib's names
    "text.color": TEXT,
    "axes.edgecolor": TEXT,
    "axes.labelcolor": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "grid.color": TEXT,
    "grid.alpha": 0.15,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: searchable, and small
    "text.parse_math": False,  # a class may have a $ in its name
}


def as_svg(figure: Figure, name: str) -> str:
    """A figure as an <svg> element for a page, which gives it font and text colour.

    `name` keeps the chart's inner names apart from other charts'.
    """
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
        # The letters stay text, which the browser has a font for, whatever matplotlib's lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r" font-family: [^;\"]*;?", "", svg)
    return svg.replace(TEXT, "currentColor").strip()


def _blank(height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    return figure, figure.add_subplot()


Phases = Mapping[str, Sequence[Mapping[str, str]]]


def learning_curves(phases: Phases, measure: str, before: Phases | None = None, name: str = "learning") -> str:
    """Training and validation `measure` (accuracy or loss) of each epoch; a line where a later phase begins.

    `phases` has for each phase's name its epochs, which count on from one phase to the next; a start that was only
    validated has no training figure. `before` are those of another run, drawn fainter behind. Charts of one page need
    different names.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _blank(3.2)
        for split, colour, style in (("train", BLUE, "--"), ("val", ORANGE, "-")):
            for run, faint in ((before or {}, True), (phases, False)):
                for number, epochs in enumerate(run.values()):
                    known = [row for row in epochs if row[f"{split}_{measure}"]]
                    x, y = [int(row["epoch"]) for row in known], [float(row[f"{split}_{measure}"]) for row in known]
                    label = {"train": "training", "val": "validation"}[split] + (", before" if faint else "")
                    how: dict[str, Any] = {"alpha": 0.4 if faint else 1, "label": label if number == 0 else None}
                    axes.plot(x, y, style, color=colour, marker="o", markersize=3, linewidth=1.5, **how)
        starts = [int(epochs[0]["epoch"]) - 0.5 for epochs in phases.values()]
        for start in starts[1:]:
            axes.axvline(start, color=TEXT, linewidth=1, linestyle=":")
        for start, phase in zip(starts, phases, strict=True):
            axes.text(start, 1.02, f" {phase}", transform=axes.get_xaxis_transform(), fontsize=8, va="bottom")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if measure == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set(xlabel="epoch", ylabel=measure)
        axes.legend(loc="best")
        return as_svg(figure, f"{name} {measure}")


def confusion_matrix(counts: np.ndarray, classes: Sequence[str]) -> str:
    """Counts (C, C) of actual (rows) and predicted classes; colour is the share of the actual class.

    The diagonal is left without colour, or nothing else could be seen.
    """
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    np.fill_diagonal(shares, 0)
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure, axes = _blank(4.8)
        for (row, column), count in np.ndenumerate(counts):
            if shares[row, column]:
                strength = shares[row, column] / shares.max()
                axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=ORANGE, alpha=strength, linewidth=0))
            if count:
                weight = "bold" if row == column else "normal"
                axes.text(column, row, str(count), ha="center", va="center", fontsize=7.5, weight=weight)
        axes.set(xlim=(-0.5, len(classes) - 0.5), ylim=(len(classes) - 0.5, -0.5), aspect="equal")
        axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
        axes.set_yticks(range(len(classes)), classes, fontsize=8)
        axes.set(xlabel="predicted", ylabel="actual")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        return as_svg(figure, "confusion")


def reliability_diagram(views: Mapping[str, Sequence[tuple[float, float, int]]]) -> str:
    """Accuracy against confidence, a curve a view (name: (confidence, accuracy, images) a bin), and the diagonal."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _blank(3.6)
        axes.plot([0, 1], [0, 1], ":", color=TEXT, linewidth=1, label="as sure as right")
        for (name, bins), colour, style in zip(views.items(), (BLUE, ORANGE), ("--", "-"), strict=False):
            confidence, accuracy, images = np.array(bins).T
            axes.plot(confidence, accuracy, style, color=colour, linewidth=1.2, label=name)
            sizes = 4 + 60 * images / images.max()
            axes.scatter(confidence, accuracy, sizes, color=colour, alpha=0.7, linewidth=0)
        axes.set(xlabel="confidence (dots: images)", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.legend(loc="upper left")
        return as_svg(figure, "reliability")


def risk_coverage_curve(points: Sequence[tuple[float, float]]) -> str:
    """Share of errors among the surest answers, by the share of images that is answered."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _blank(3.0)
        coverage, risk = np.array(points).T
        axes.plot(coverage, risk, color=BLUE, linewidth=1.5)
        axes.set(xlabel="images answered, the surest first", ylabel="errors among them", xlim=(0, 1))
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        return as_svg(figure, "risk coverage")
