"""What accuracy the same minutes give: `python -m benchmarks.over_time --run ours:20:6 --run fastai_fine_tune:1:3 …`.

Each `--run` is a system of `benchmarks.run` with its epochs of phase 1 and 2, all on the same images, one after the
other. After each phase there is a point: minutes since the process began, start-up included, and accuracy on the
validation images. Writes OUTPUT and, beside it, the picture; a stopped series goes on.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from benchmarks.figures import OURS
from benchmarks.run import PACKAGES, STATE, SYSTEMS, measure, surroundings
from benchmarks.settings import read_settings
from benchmarks.task import Size, make_task
from commands.entry_point import exit_with
from transfer.evaluation.scores import wilson_interval, with_interval
from transfer.runtime.errors import ParameterError
from transfer.runtime.files import write_json


def read_run(text: str) -> tuple[str, int, int]:
    """A system and its epochs of phase 1 and 2. Raises ParameterError for anything else."""
    system, _, epochs = text.rpartition(":")
    system, _, head_epochs = system.rpartition(":")
    if system not in SYSTEMS or not (head_epochs.isdigit() and epochs.isdigit() and int(epochs)):
        raise ParameterError(f"--run {text}: must be SYSTEM:EPOCHS:EPOCHS, with one of {', '.join(SYSTEMS)}")
    return system, int(head_epochs), int(epochs)


def points_of(record: dict[str, Any], val_images: int) -> list[dict[str, float]]:
    """Minutes and accuracy after each phase; the end of the last is that of the process."""
    accuracies = [phase["val_accuracy"] for phase in record["phases"]]
    ends = [record["wall_s"] - record["phases"][1]["seconds"], record["wall_s"]]
    return [
        {"minutes": end / 60}
        | with_interval("val_accuracy", accuracy, wilson_interval(round(accuracy * val_images), val_images))
        for end, accuracy in zip(ends, accuracies, strict=True)
    ]


def draw(path: Path, runs: list[dict[str, Any]], title: str) -> None:
    figure, axes = plt.subplots(figsize=(7.5, 4.4), layout="constrained")
    colours = {system: f"C{number}" for number, system in enumerate(dict.fromkeys(run["system"] for run in runs))}
    for run in runs:
        minutes, accuracy, low, high = (
            [point[key] for point in run["points"]]
            for key in ("minutes", "val_accuracy", "val_accuracy_ci_low", "val_accuracy_ci_high")
        )
        reach = [
            [a - b for a, b in zip(accuracy, low, strict=True)],
            [b - a for a, b in zip(accuracy, high, strict=True)],
        ]
        label = f"{SYSTEMS[run['system']]}: {run['head_epochs']} + {run['epochs']} epochs"
        style = {"fmt": "o-" if run["system"] == OURS else "o--", "capsize": 3, "color": colours[run["system"]]}
        axes.errorbar(minutes, accuracy, yerr=reach, label=label, **style)
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axes.set(xlabel="minutes since the start", ylabel="validation accuracy, 95 % interval", xlim=(0, None))
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main(arguments: argparse.Namespace) -> int:
    kept = json.loads(arguments.output.read_text(encoding="utf-8"))["runs"] if arguments.output.exists() else []
    place, title = surroundings(PACKAGES), ""
    for system, head_epochs, epochs in map(read_run, arguments.run):
        size = Size(arguments.images, arguments.val_images, arguments.size, 64, head_epochs, epochs, arguments.threads)
        settings_file = make_task(STATE, size, arguments.set_param)
        settings = read_settings(settings_file)
        title = f"{settings.architecture} at {settings.size_px} pixels, {settings.images:,} training images"
        what = {"system": system, "head_epochs": head_epochs, "epochs": epochs}
        if any(what.items() <= run.items() for run in kept):
            continue
        record = measure(system, settings_file, settings, evaluate=False)
        kept.append({**what, "points": points_of(record, settings.val_images), **record})
        print(f"{what}: {kept[-1]['points']}", flush=True)
        write_json(arguments.output, {**place, "weights": arguments.weights_name, "task": title, "runs": kept})
    draw(arguments.output.with_suffix(".png"), kept, title)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.over_time", description=__doc__)
    parser.add_argument("--run", action="append", required=True, metavar="SYSTEM:EPOCHS:EPOCHS", help="to measure")
    parser.add_argument("--images", type=int, default=8_960, help="training images (default %(default)s)")
    parser.add_argument("--val-images", type=int, default=2_000, help="(default %(default)s)")
    parser.add_argument("--size", type=int, default=128, help="pixels (default %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="and workers (default %(default)s)")
    parser.add_argument("-S", "--set-param", action="append", default=[], metavar="KEY=VALUE", help="as for DVC")
    parser.add_argument("--weights-name", default="torchvision's weights", help="for the JSON (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="JSON to write, and go on from")
    return parser.parse_args()


if __name__ == "__main__":
    exit_with(lambda: main(parse()))
