"""Describe the training and validation images, and what each interpolation makes of them."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from transfer.data.resize import Resized, open_resized
from transfer.evaluation.pixels import (
    CHANNELS,
    COMPARED,
    DETAIL_FROM,
    NYQUIST,
    measure_enlarged,
    measure_original,
    pixel_statistics,
    share_closer,
)
from transfer.pictures.data import example_sheet, interpolation_sheet, mean_sheet
from transfer.runtime.command import run
from transfer.runtime.errors import DataError
from transfer.runtime.files import write_json, write_tsv
from transfer.runtime.parameters import Group, SharedGroup
from transfer.runtime.wording import plural


class Explore(Group):
    examples: int = Field(ge=1, le=20)
    interpolation_images: int = Field(gt=0)
    interpolation_examples: int = Field(ge=1, le=6)


class Resize(SharedGroup):
    size_px: int = Field(ge=8, le=1024)


class Parameters(Group):
    explore: Explore
    resize: Resize


def test_counts(path: Path, classes: tuple[str, ...]) -> dict[str, int]:
    """Test images a class from the metrics of subsample: the test split itself is not for looking at yet."""
    try:
        counts = json.loads(path.read_text(encoding="utf-8"))["test"]["per_class"]
        return {name: int(counts[name]) for name in classes}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: no number of test images a class ({error!r}); run subsample again") from None


def class_rows(split: str, data: Resized) -> list[dict[str, Any]]:
    """A row a class with the means over its images; no figures for a class without any."""
    rows = []
    for label, name in enumerate(data.classes):
        own = data.images[data.labels == label]
        figures = pixel_statistics(own) if len(own) else {}
        shown = {key: figures.get(f"{key}_mean", "") for key in ("brightness", "contrast", *CHANNELS)}
        rows.append({"split": split, "class": name, "images": len(own), **shown})
    return rows


def spread(count: int, wanted: int) -> np.ndarray:
    """About `wanted` places evenly over `count`."""
    return np.unique(np.linspace(0, count - 1, min(wanted, count)).round().astype(int))


def main(parameters: Parameters, files: Namespace) -> None:
    config, size_px = parameters.explore, parameters.resize.size_px
    train, val = open_resized(files.train), open_resized(files.val)
    pictures = files.plots / "pictures"
    tested = test_counts(files.counts, train.classes)
    rows = class_rows("train", train) + class_rows("val", val)
    unseen = dict.fromkeys(("brightness", "contrast", *CHANNELS), "")
    rows += [{"split": "test", "class": name, "images": count, **unseen} for name, count in tested.items()]
    write_tsv(files.plots / "classes.tsv", rows)
    some = train.images[spread(len(train.labels), config.interpolation_images)]
    original = measure_original(some)
    measured = {name: measure_enlarged(some, size_px, name) for name in COMPARED}
    enlarged = {"images": len(some), "size_px": size_px, "detail_from": DETAIL_FROM, "detail_to": NYQUIST}
    content = {
        "train": {"images": len(train.labels), **pixel_statistics(train.images)},
        "val": {"images": len(val.labels), **pixel_statistics(val.images)},
        "test": {"images": sum(tested.values())},
        "interpolation": {name: one.figures for name, one in measured.items()},
        "enlarged": enlarged | {f"original_{key}": value for key, value in original.figures.items()},
        "cubic_closer_than_linear": share_closer(some, "cubic", "linear"),
    }
    write_json(files.metrics, content)
    example_sheet(pictures / "examples.png", train.images, train.labels, train.classes, config.examples)
    mean_sheet(pictures / "means.png", train.images, train.labels, train.classes)
    shown = some[spread(len(some), config.interpolation_examples)]
    title = f"Training images enlarged to {size_px} px (their middle), and figures over {len(some):,} of them"
    interpolation_sheet(pictures / "interpolation.png", shown, size_px, measured, original, title)
    print(f"{plural(len(train.labels), 'training image')} and {len(val.labels):,} for validation described")


if __name__ == "__main__":
    run(
        main,
        Parameters,
        inputs=["train", "val", "counts"],
        outputs=["metrics", "plots"],
    )
