"""Draw phase 2's loss over the learning rate, as params.yaml sets all else: `python -m commands.find_lr`.

Reads what `dvc repro train_head label_errors` left and changes nothing of it. The picture goes to state/find-lr.png.
"""

import argparse
import shlex
from argparse import Namespace
from pathlib import Path

import matplotlib.pyplot as plt

from commands.entry_point import exit_with
from transfer.runtime.errors import DataError
from transfer.runtime.parameters import load_parameters, read_mapping
from transfer.training.fine_tuning import INPUTS, Parameters, prepare
from transfer.training.lr_range import LOWEST, LrRange, measure_lr_range


def inputs_of(root: Path) -> Namespace:
    """The files that dvc.yaml gives to fine_tune. Raises DataError if one is not there."""
    words = shlex.split(read_mapping(root / "dvc.yaml")["stages"]["fine_tune"]["cmd"])
    files = {name: root / words[words.index(f"--{name}") + 1] for name in INPUTS}
    if missing := [path for path in files.values() if not path.exists()]:
        raise DataError(f"{missing[0]}: no such file; run `dvc repro train_head label_errors` first")
    return Namespace(**files)


def draw(path: Path, found: LrRange, now: float) -> None:
    path.parent.mkdir(exist_ok=True)
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.plot(found.rates, found.losses)
    axes.axvline(found.steepest, color="C2", linestyle="--", label=f"steepest fall: {found.steepest:.1e}")
    axes.axvline(now, color="C1", linestyle=":", label=f"train.lr: {now:.1e}")
    axes.set(xscale="log", xlabel="learning rate of the backbone", ylabel="training loss, smoothed")
    axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:.0e}")  # the project's pictures parse no formulas
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(root: Path, steps: int) -> int:
    files, parameters = inputs_of(root), load_parameters(Parameters, root / "params.yaml")
    made, train = prepare(parameters, files), parameters.train
    found = measure_lr_range(made.model, made.task, made.optimizer, train.lr, train.batch_size, steps, parameters.seed)
    if len(found.rates) < 2:
        raise DataError(
            f"the loss diverged at {LOWEST:g}, the lowest rate tried; train phase 1 anew with a lower train.head.lr"
        )
    picture = root / "state" / "find-lr.png"
    draw(picture, found, train.lr)
    print(
        f"steepest fall of the loss at {found.steepest:.1e}, lowest at {found.lowest:.1e}; train.lr is {train.lr:.1e}"
    )
    print(f"{picture}: the loss over the rate; what is best after all epochs, only a training tells")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m commands.find_lr", description=__doc__)
    parser.add_argument("--steps", type=int, default=100, help="batches trained on, 10 or more (default %(default)s)")
    arguments = parser.parse_args()
    if arguments.steps < 10:
        parser.error(f"--steps {arguments.steps}: must be 10 or more")
    exit_with(lambda: main(Path(), arguments.steps))
