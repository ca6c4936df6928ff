"""A chart of many runs: an axis for each parameter and figure, a line for each run."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from transfer.report.charts import BLUE, ORANGE, STYLE, TEXT, WIDTH_IN, as_svg

INCHES_AN_AXIS = 1.1
LOG_FROM_RATIO = 30  # learning rates are tried in powers of ten
MOST_TICKS = 6
CLOSEST_TICKS = 0.07
COLOURS = LinearSegmentedColormap.from_list("worst to best", [BLUE, ORANGE])


def positions(values: Sequence[object]) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Positions (N) of the values on an axis from 0 to 1, NaN for None, and the ticks: (position, text).

    Numbers, also those written as text, lie in proportion, or by their logarithm where the largest is 30 times the
    smallest; anything else is spaced evenly, numbers first, in the order of its text and of the numbers in it.
    """
    known = [value for value in values if value is not None]
    if not known:
        return np.full(len(values), np.nan), []
    if all(_number(value) is not None for value in known):
        numbers = np.array([_number(value) for value in values], float)  # None is NaN
        low, high = np.nanmin(numbers), np.nanmax(numbers)
        log = low > 0 and high / low >= LOG_FROM_RATIO
        scale = np.log if log else np.asarray
        span = scale(high) - scale(low)
        placed = (scale(numbers) - scale(low)) / span if span else np.where(np.isnan(numbers), np.nan, 0.5)
        ticks = np.unique(numbers[~np.isnan(numbers)])
        if len(ticks) > MOST_TICKS:
            ticks = np.array([low, high])
        return placed, [(float(placed[np.flatnonzero(numbers == tick)[0]]), f"{tick:.4g}") for tick in ticks]
    texts = [None if value is None else str(value) for value in values]
    names = sorted({text for text in texts if text is not None}, key=_rank)
    place = {name: (number / (len(names) - 1) if len(names) > 1 else 0.5) for number, name in enumerate(names)}
    return np.array([np.nan if text is None else place[text] for text in texts]), [
        (place[name], name) for name in names
    ]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _rank(text: str) -> tuple[bool, float, list[Any]]:
    """Numbers by their value, then texts, in which resnet18 is before resnet101."""
    value = _number(text)
    parts = [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)]
    return value is None, value or 0, parts


def _apart(ticks: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """The ticks that can be read beside each other, both ends among them."""
    apart = ticks[-1:]
    for place, text in ticks[-2::-1]:
        if apart[-1][0] - place >= CLOSEST_TICKS and (place - ticks[0][0] >= CLOSEST_TICKS or place == ticks[0][0]):
            apart.append((place, text))
    return apart


def run_chart(columns: Mapping[str, Sequence[object]], by: str) -> str:
    """An SVG element: one line per run through its value in each of `columns` (N each), coloured by the column `by`.

    The run with the largest value of `by` is drawn bold; where a run has no value its line is broken.
    """
    placed = {name: positions(values) for name, values in columns.items()}
    height = np.stack([heights for heights, _ in placed.values()], axis=1)
    order = np.nan_to_num(placed[by][0], nan=0.0)
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        width = max(WIDTH_IN, INCHES_AN_AXIS * len(columns))
        figure = Figure(figsize=(width, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for run in np.argsort(order, kind="stable"):
            best = run == np.argmax(order)
            axes.plot(
                height[run],
                color=COLOURS(order[run]),
                linewidth=3 if best else 1.3,
                marker="o",
                markersize=5 if best else 3,
            )
        for number, (_, ticks) in enumerate(placed.values()):
            axes.axvline(number, color=TEXT, linewidth=0.8, alpha=0.5, zorder=0)
            for place, text in _apart(ticks):
                axes.text(number + 0.04, place + 0.015, text, fontsize=7.5, va="bottom")
        axes.set_xticks(range(len(columns)), list(columns), rotation=20, ha="right", rotation_mode="anchor")
        axes.set(xlim=(-0.1, len(columns) - 0.5), ylim=(-0.05, 1.1), yticks=[])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        return as_svg(figure, "parallel coordinates")
