"""The task of a benchmark: images, splits and weights made by the pipeline's own stages, and settings for all."""

import argparse
import hashlib
import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.utils.serialize import dumps_yaml

from benchmarks.ours import Pipeline
from benchmarks.processes import ROOT
from benchmarks.settings import Settings, write_settings
from commands.overrides import merge
from transfer.data.splits import load_split
from transfer.runtime.errors import DataError, ParameterError
from transfer.runtime.files import whole
from transfer.runtime.parameters import parse_yaml, read_mapping

FETCHED = ["download", "backbone"]
TEST_IMAGES = 200
HEAD_LR, LR, HEAD_LR_MULTIPLE, WEIGHT_DECAY, LABEL_SMOOTHING = 0.002, 0.0005, 3.0, 0.05, 0.1


@dataclass(frozen=True)
class Size:
    """How much work a benchmark is. `images` is a multiple of the batch size, so that all train on the same number."""

    images: int
    val_images: int
    size_px: int
    batch_size: int
    head_epochs: int
    epochs: int
    threads: int


def add_task_options(parser: argparse.ArgumentParser) -> None:
    """The options of every benchmark on a task: --threads, -S and --weights-name."""
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="and workers (default %(default)s)")
    parser.add_argument("-S", "--set-param", action="append", default=[], metavar="KEY=VALUE", help="as for DVC")
    parser.add_argument("--weights-name", default="torchvision's weights", help="for the text (default: %(default)s)")


def parse_whole_batches(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse a command line whose --images fill batches of --batch-size, so that all systems train on the same."""
    arguments = parser.parse_args()
    if arguments.images % arguments.batch_size or arguments.images < 1:
        parser.error(f"--images {arguments.images}: must be a multiple of --batch-size, so that all train on the same")
    return arguments


def read_overrides(assignments: Sequence[str]) -> dict[str, Any]:
    """`-S` assignments such as `backbone.url=/data/` as nested parameters. Raises ParameterError for one without =."""
    nested: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise ParameterError(f"-S {assignment}: must be KEY=VALUE")
        *groups, key = name.split(".")
        place = nested
        for group in groups:
            place = place.setdefault(group, {})
        place[key] = parse_yaml(value)
    return nested


def parameters_for(size: Size, assignments: Sequence[str]) -> dict[str, Any]:
    """params.yaml with the task's sizes and rates, and the given assignments over them."""
    content = read_mapping(ROOT / "params.yaml")
    task = {
        "backbone": {"name": "resnet18"},
        "subsample": {
            "train_size": size.images + size.val_images,
            "val_size": size.val_images,
            "test_size": TEST_IMAGES,
        },
        "resize": {"size_px": size.size_px},
        "train": {
            "lr": LR,
            "batch_size": size.batch_size,
            "head": {
                "hidden": [],
                "epochs": size.head_epochs,
                "batch_size": size.batch_size,
                "lr": HEAD_LR,
                "weight_decay": WEIGHT_DECAY,
                "label_smoothing": LABEL_SMOOTHING,
                "patience": 0,
            },
            "fine_tune": {
                "epochs": size.epochs,
                "head_lr_multiple": HEAD_LR_MULTIPLE,
                "weight_decay": WEIGHT_DECAY,
                "label_smoothing": LABEL_SMOOTHING,
                "patience": 0,
                "keep": "last",
            },
        },
    }
    try:
        return merge(merge(content, task), read_overrides(assignments))
    except KeyError as error:
        raise ParameterError(f"-S {error.args[0]}: no such parameter in params.yaml, or a group") from None


def make_task(folder: Path, size: Size, assignments: Sequence[str]) -> Path:
    """Fetch and split what the task needs below `folder`, once for each task, and give its settings file."""
    parameters = parameters_for(size, assignments)
    text = dumps_yaml(parameters)
    place = folder / hashlib.sha256(f"{text}{size}".encode()).hexdigest()[:12]
    settings_file, params = place / "settings.json", place / "params.yaml"
    if settings_file.exists():
        return settings_file
    with whole(params) as partial:
        partial.write_text(text, encoding="utf-8")
    # What is fetched is shared by all tasks that fetch the same.
    source = dumps_yaml({group: parameters[group] for group in FETCHED})
    fetched = folder / f"fetched-{hashlib.sha256(source.encode()).hexdigest()[:12]}"
    pipeline, fetcher = Pipeline(place, params), Pipeline(fetched, params)
    fetcher.paths["metrics"] = pipeline.paths["metrics"]
    for stage in FETCHED:
        if not Path(fetcher.paths[{"download": "images", "backbone": "backbone"}[stage]]).exists():
            _run(fetcher.command(stage))
    pipeline.paths["images"] = fetcher.paths["images"]
    _run(pipeline.command("subsample"))
    train, tune = parameters["train"], parameters["train"]["fine_tune"]
    write_settings(
        settings_file,
        Settings(
            train=f"{pipeline.paths['splits']}/train.npz",
            val=f"{pipeline.paths['splits']}/val.npz",
            weights=fetcher.paths["backbone"],
            params=str(params),
            architecture=parameters["backbone"]["name"],
            images=parameters["subsample"]["train_size"] - parameters["subsample"]["val_size"],
            val_images=parameters["subsample"]["val_size"],
            classes=len(load_split(Path(pipeline.paths["splits"], "train.npz")).classes),
            size_px=parameters["resize"]["size_px"],
            batch_size=train["batch_size"],
            head_epochs=train["head"]["epochs"],
            epochs=tune["epochs"],
            head_lr=train["head"]["lr"],
            lr=train["lr"],
            head_lr_multiple=tune["head_lr_multiple"],
            weight_decay=tune["weight_decay"],
            label_smoothing=tune["label_smoothing"],
            threads=size.threads,
            workers=size.threads,
            seed=parameters["seed"],
        ),
    )
    return settings_file


def _run(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise DataError((done.stderr.strip().splitlines() or [shlex.join(command)])[-1].removeprefix("error: "))
