"""One picture of an audit: examples of what was changed and what the model said, and the figures as charts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from transfer.explanation.verdict import NAMED
from transfer.pictures.sheets import RIGHT, WRONG, Pane, overlay, percent, save_figure, show_pane

COLUMNS = {
    "original": "image",
    "object": "object",
    "map": "map",
    "background_blurred": "background\nblurred",
    "background_swapped": "background of\nanother class",
    "background_same_class": "background of\nthe same class",
    "masks_permuted": "the same, mask\nof another",
    "foreground_blurred": "object\nblurred",
    "foreground_same_class": "object of\nthe same class",
    "foreground_swapped": "object of\nanother class",
}
BLUE, ORANGE, GREY = "#0969da", "#bc4c00", "#8c959f"
PANE_IN = 1.05
ROWS = 6


@dataclass(frozen=True)
class Example:
    """An image (S, S, 3) uint8 with label, object mask (S, S) and map (S, S), and it and its changed versions.

    `versions` has for "original" and each change the image and the model's probabilities.
    """

    label: int
    mask: np.ndarray
    heat: np.ndarray
    versions: Mapping[str, tuple[np.ndarray, np.ndarray]]


def first_of_classes(
    labels: np.ndarray,
    masks: np.ndarray,
    maps: np.ndarray,
    versions: Mapping[str, tuple[np.ndarray, np.ndarray]],
    classes: Sequence[str],
) -> list[Example]:
    """The first image of up to ROWS classes, those whose surroundings tempt most before the others."""
    order = sorted(np.unique(labels), key=lambda label: (classes[label] not in NAMED, label))
    examples = []
    for label in order[:ROWS]:
        row = np.flatnonzero(labels == label)[0]
        own = {name: (pixels[row], chances[row]) for name, (pixels, chances) in versions.items()}
        examples.append(Example(int(label), masks[row], maps[row], own))
    return examples


def verdict_text(figures: Mapping[str, Any]) -> str:
    """Both verdicts, a line each."""
    model, maps = figures["model"], figures["maps"]
    return (
        f"The model decides by the object: {model['word']}. {_sentence(model['why'])}\n"
        f"The maps show what its answers rest on: {maps['word']}. {_sentence(maps['why'])}"
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _panes(example: Example, classes: Sequence[str]) -> list[Pane]:
    pixels, _ = example.versions["original"]
    answers = {name: answer_pane(*shown, example.label, classes) for name, shown in example.versions.items()}
    answers |= zip(("object", "map"), object_panes(pixels, example.mask, example.heat), strict=True)
    return [answers[name] for name in COLUMNS]


def answer_pane(pixels: np.ndarray, chances: np.ndarray, label: int, classes: Sequence[str]) -> Pane:
    """An image (S, S, 3) with what the model said to it, green if that is the label."""
    said = int(chances.argmax())
    return Pane(pixels, f"{classes[said]} {percent(float(chances[said]))}", RIGHT if said == label else WRONG)


def object_panes(pixels: np.ndarray, mask: np.ndarray, heat: np.ndarray) -> list[Pane]:
    """The object alone, on magenta, which no photograph has; and the map over the image."""
    alone = np.where(mask[..., None], pixels, np.array([190, 60, 190], np.uint8))
    return [Pane(alone), Pane(overlay(pixels, heat), note="" if heat.any() else "no evidence")]


def audit_sheet(
    path: Path,
    rows: Sequence[Example],
    figures: Mapping[str, Any],
    curves: Mapping[str, np.ndarray],
    classes: Sequence[str],
) -> None:
    """Draw a row for each example, with the columns of COLUMNS, and charts of an audit's figures and curves."""
    text = "\n".join(fill(line, 150) for line in verdict_text(figures).splitlines())
    chart_in, text_in = 2.6, 0.45 + 0.16 * (text.count("\n") + 1)
    width = PANE_IN * len(COLUMNS) + 1.2
    rows_in = 1.22 * max(len(rows), 1) + 0.35
    height = text_in + rows_in + chart_in + 0.9
    figure = plt.figure(figsize=(width, height))
    figure.text(0.3 / width, 1 - 0.12 / height, text, va="top", fontsize=9)
    panes = figure.add_gridspec(
        max(len(rows), 1), len(COLUMNS), left=0.35 / width, right=1 - 0.1 / width,
        top=1 - (text_in + 0.35) / height, bottom=(chart_in + 0.9) / height, wspace=0.05, hspace=0.2,
    )  # fmt: skip
    for column, title in enumerate(COLUMNS.values()):
        box = panes[0, column].get_position(figure)
        figure.text((box.x0 + box.x1) / 2, 1 - text_in / height, title, ha="center", va="center", fontsize=8)
    for row, example in enumerate(rows):
        for column, pane in enumerate(_panes(example, classes)):
            axes = figure.add_subplot(panes[row, column])
            show_pane(axes, pane)
            if column == 0:
                axes.set_ylabel(classes[example.label], fontsize=9)
    if not rows:
        text = "GrabCut found an object in no image"
        figure.text(0.5, (chart_in + 0.9 + rows_in / 2) / height, text, ha="center", fontsize=10)
    charts = figure.add_gridspec(
        1, 5, left=0.45 / width, right=1 - 0.1 / width, bottom=0.75 / height, top=(chart_in + 0.3) / height,
        wspace=0.4, width_ratios=[0.85, 0.12, 1.1, 1.2, 1],
    )  # fmt: skip
    drawn = {0: _localisation_chart, 2: _counterfactual_chart, 3: _curves_chart, 4: _sanity_chart}
    for place, draw in drawn.items():  # place 1 is room for long names
        axes = figure.add_subplot(charts[0, place])
        draw(axes, curves if draw is _curves_chart else figures)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    save_figure(path, figure)


def _nothing(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[])
    axes.text(0.5, 0.5, "none", ha="center", va="center", color="gray", fontsize=8, transform=axes.transAxes)


def _localisation_chart(axes: Axes, figures: Mapping[str, Any]) -> None:
    axes.set_title("On the object", fontsize=9)
    kinds = {"cam": BLUE, "centre": GREY, "random": "#d0d7de", "edges": ORANGE, "oracle": "#116329"}
    for group, name in enumerate(("energy_inside", "pointing")):
        if name not in figures:
            return _nothing(axes)
        values = figures[name]
        for place, (kind, colour) in enumerate(kinds.items()):
            label = {"cam": "maps", "oracle": "mask itself"}.get(kind, kind) if group == 0 else None
            axes.bar(group + 0.17 * (place - 2), values[kind], 0.15, color=colour, label=label)
        _interval(axes, group - 0.34, values["cam_ci_low"], values["cam_ci_high"])
    axes.set(xticks=[0, 1], xticklabels=["energy", "hits"], ylim=(0, 1))
    axes.legend(fontsize=6.5, frameon=False, loc="upper left", handlelength=1)
    return None


def _interval(axes: Axes, place: float, low: float, high: float) -> None:
    axes.plot([place, place], [low, high], color="black", linewidth=1)


def _counterfactual_chart(axes: Axes, figures: Mapping[str, Any]) -> None:
    axes.set_title("Accuracy after a change", fontsize=9)
    if "counterfactual" not in figures:
        return _nothing(axes)
    shown = {"clean_accuracy": ("image", GREY)} | {
        name: (title, ORANGE if name.startswith("foreground") else BLUE)
        for name, title in COLUMNS.items()
        if name.startswith(("background", "masks", "foreground"))
    }
    values = [figures["counterfactual"][name] for name in shown]
    places = range(len(shown))
    axes.barh(places, values, color=[colour for _, colour in shown.values()])
    for place, value in zip(places, values, strict=True):
        axes.text(value + 0.01, place, f"{100 * value:.0f} %", va="center", fontsize=7)
    axes.set(yticks=places, yticklabels=[title for title, _ in shown.values()], xlim=(0, 1.12), xticks=[0, 0.5, 1])
    axes.invert_yaxis()
    return None


def _curves_chart(axes: Axes, curves: Mapping[str, np.ndarray]) -> None:
    axes.set_title("Insertion and deletion", fontsize=9)
    if not curves:
        return _nothing(axes)
    for name, values in curves.items():
        kind, maps = name.split("_")
        colour, style = (
            BLUE if kind == "insertion" else ORANGE,
            {"cam": "-", "random": ":", "edges": "-."}.get(maps, "--"),
        )
        label = f"{kind}, {'maps' if maps == 'cam' else maps}"
        axes.plot(np.linspace(0, 1, values.shape[1]), values.mean(0), style, color=colour, label=label)
    axes.set(ylim=(0, 1.25), yticks=[0, 0.5, 1], xlim=(0, 1), xticks=[0, 0.5, 1])
    axes.set_xlabel("share of pixels", fontsize=7)
    axes.set_ylabel("probability of the answer", fontsize=7)
    axes.legend(fontsize=6, frameon=False, loc="upper center", ncols=2, handlelength=1.5, columnspacing=1)
    return None


def _sanity_chart(axes: Axes, figures: Mapping[str, Any]) -> None:
    axes.set_title("Maps of random weights", fontsize=9)
    if "sanity" not in figures:
        return _nothing(axes)
    steps = figures["sanity"]
    values = [1.0, *(step.get("rank_correlation", np.nan) for step in steps.values())]
    axes.plot(values, "o-", color=BLUE, markersize=3)
    axes.axhline(0, color=GREY, linewidth=0.8)
    names = ["trained", *steps]
    axes.set(xticks=range(len(names)), ylim=(np.nanmin([-0.3, *values]), 1.05))
    axes.set_xticklabels(names, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_ylabel("rank correlation", fontsize=7)
    return None
