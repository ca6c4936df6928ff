"""Draw validation accuracy over the number of training images: `python -m commands.curve experiments/curve.yaml`.

Every point is a DVC experiment, NAME-LINE-IMAGES; one that is there already is not run again, so that a stopped curve
goes on. The table goes to the screen, the picture to state/NAME.png. Options after the file go to every experiment.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from commands.ablate import slug
from commands.entry_point import exit_with
from commands.overrides import Search, flat, read_search
from commands.revisions import experiments, read
from commands.trials import Trial, add_options, run_trials, shared_parameters
from transfer.evaluation.scores import wilson_interval
from transfer.runtime.errors import ParameterError
from transfer.runtime.parameters import read_mapping
from transfer.runtime.wording import number, percent

Point = tuple[int, float, float, float]  # images, accuracy, and its 95 % interval


class Line(BaseModel):
    """`change` is nested overrides, `epochs` those of phase 2 by the number of training images."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    change: dict[str, Any] = {}
    epochs: dict[PositiveInt, PositiveInt] = Field(min_length=1)


class Curve(Search):
    """`lines` by name, each laid over `base`."""

    lines: dict[str, Line] = Field(min_length=1)


def trials_of(curve: Curve, parameters: dict[str, Any], more: tuple[str, ...]) -> dict[str, dict[int, Trial]]:
    """An experiment for each line and number of training images. Raises ParameterError."""
    values = curve.values(parameters)
    found: dict[str, dict[int, Trial]] = {}
    for name, line in curve.lines.items():
        own = values | flat(parameters, line.change)
        held_out = own.get("subsample.val_size", parameters["subsample"]["val_size"])
        if not isinstance(held_out, int):
            raise ParameterError(f"subsample.val_size = {held_out}: a curve needs as many for each point; set a number")
        for images, epochs in line.epochs.items():
            point = {**own, "subsample.train_size": images + held_out, "train.fine_tune.epochs": epochs}
            trial = Trial(f"{curve.name}-{slug(name)}-{images}", point, (*more, curve.stage))
            found.setdefault(name, {})[images] = trial
    return found


def point_of(root: Path, images: int, revision: str) -> Point:
    """Validation accuracy of an experiment."""
    tune, drawn = (
        json.loads(read(root, revision, f"metrics/{stage}.json") or "{}") for stage in ("fine_tune", "subsample")
    )
    accuracy, count = tune["val"]["accuracy"], drawn["val"]["images"]
    return images, accuracy, *wilson_interval(round(accuracy * count), count)


def table(points: dict[str, list[Point]]) -> str:
    lines = ["| line | training images | validation accuracy | 95 % interval |", "|---|---|---|---|"]
    for name, found in points.items():
        for images, accuracy, low, high in found:
            lines.append(
                f"| {name} | {images:,} | {percent(accuracy)} | {number(100 * low, 1)} to {number(100 * high, 1)} |"
            )
    return "\n".join(lines)


def draw(path: Path, points: dict[str, list[Point]]) -> None:
    plt.rcParams["text.parse_math"] = False  # a line may have a $ in its name
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, found in points.items():
        images, accuracies, lows, highs = zip(*found, strict=True)
        axes.plot(images, accuracies, marker="o", label=name)
        axes.fill_between(images, lows, highs, alpha=0.2)
    every = sorted({images for found in points.values() for images, *_ in found})
    axes.set_xscale("log")
    axes.set_xticks(every, [f"{images:,}" for images in every], minor=False)
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axes.set(xlabel="training images", ylabel="validation accuracy, 95 % interval")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(root: Path, path: Path, jobs: int, more: tuple[str, ...]) -> int:
    curve = read_search(Curve, path)
    trials = trials_of(curve, read_mapping(root / "params.yaml"), more)
    failed = run_trials(root, [trial for line in trials.values() for trial in line.values()], jobs)
    there = experiments(root)
    points = {
        name: [point_of(root, images, there[trial.name]) for images, trial in line.items() if trial.name in there]
        for name, line in trials.items()
    }
    if points := {name: found for name, found in points.items() if found}:
        picture = root / "state" / f"{curve.name}.png"
        draw(picture, points)
        print(f"\n{table(points)}\n\n{picture}: the same as a picture")
    return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m commands.curve", description=__doc__)
    parser.add_argument("file", type=Path, help="YAML file of the curve, such as experiments/curve.yaml")
    add_options(parser)
    arguments = parser.parse_args()
    exit_with(lambda: main(Path(), arguments.file, arguments.jobs, shared_parameters(arguments)))
