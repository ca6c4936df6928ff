"""What accuracy the same minutes give: `python -m benchmarks.over_time --run ours:20:6 --run fastai_fine_tune:1:3 …`.

Each `--run` is a system of `benchmarks.run` with its epochs of phase 1 and 2, all on the same images, one after the
other. After each phase there is a point: minutes since the process began, start-up included, and accuracy on the
validation images. Writes OUTPUT and, beside it, the picture; a stopped series goes on, from state/bench/.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import OURS
from benchmarks.run import PACKAGES, STATE, SYSTEMS, run_all, surroundings
from benchmarks.settings import read_settings
from benchmarks.task import Size, add_task_options, make_task, parse_whole_batches
from commands.entry_point import exit_with
from transfer.evaluation.scores import wilson_interval, with_interval
from transfer.pictures.sheets import plt, save_figure
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
    figure, axes = plt.subplots(figsize=(9, 5.2), layout="constrained")
    for run in runs:
        minutes, accuracy, low, high = (
            np.array([point[key] for point in run["points"]])
            for key in ("minutes", "val_accuracy", "val_accuracy_ci_low", "val_accuracy_ci_high")
        )
        label = f"{SYSTEMS[run['system']].replace('`', '')}: {run['head_epochs']} + {run['epochs']} epochs"
        style = "o-" if run["system"] == OURS else "o--"
        axes.errorbar(minutes, accuracy, yerr=[accuracy - low, high - accuracy], fmt=style, capsize=3, label=label)
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axes.set(xlabel="minutes since the start", ylabel="validation accuracy, 95 % interval", xlim=(0, None))
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9, loc="lower right")
    save_figure(path, figure)


def main(arguments: argparse.Namespace) -> int:
    place, runs, title = surroundings(PACKAGES), [], ""
    for system, head_epochs, epochs in [read_run(text) for text in arguments.run]:
        sizes = arguments.images, arguments.val_images, arguments.size, arguments.batch_size
        settings_file = make_task(STATE, Size(*sizes, head_epochs, epochs, arguments.threads), arguments.set_param)
        settings = read_settings(settings_file)
        title = f"{settings.architecture} at {settings.size_px} pixels, {settings.images:,} training images"
        records = run_all(settings_file, [system], 1, evaluate=False)
        record = next(record for record in records if record["system"] == system)
        points = points_of(record, settings.val_images)
        runs.append({"head_epochs": head_epochs, "epochs": epochs, "points": points, **record})
    write_json(arguments.output, {**place, "weights": arguments.weights_name, "task": title, "runs": runs})
    draw(arguments.output.with_suffix(".png"), runs, title)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.over_time", description=__doc__)
    parser.add_argument("--run", action="append", required=True, metavar="SYSTEM:EPOCHS:EPOCHS", help="to measure")
    parser.add_argument("--images", type=int, default=8_960, help="training images (default %(default)s)")
    parser.add_argument("--val-images", type=int, default=2_000, help="(default %(default)s)")
    parser.add_argument("--size", type=int, default=128, help="pixels (default %(default)s)")
    parser.add_argument("--batch-size", type=int, default=64, help="(default %(default)s)")
    add_task_options(parser)
    parser.add_argument("--output", type=Path, required=True, help="JSON to write, with a picture beside it")
    return parse_whole_batches(parser)


if __name__ == "__main__":
    exit_with(lambda: main(parse()))
