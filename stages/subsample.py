"""Draw stratified training and validation splits, and a test split where none is given; keep the test split apart."""

import hashlib
import sys
from argparse import Namespace
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from transfer.data.classes import Groups, known_labels, known_pairs
from transfer.data.draw import Sizes, draw_splits
from transfer.data.splits import Split, save_split
from transfer.runtime.command import run
from transfer.runtime.files import write_json
from transfer.runtime.hand_overs import write_hand_overs
from transfer.runtime.parameters import Group, SharedGroup
from transfer.runtime.wording import plural
from transfer.sources.images import EncodedImages, ImageSet, load_images


def _count_or_share(size: float) -> float:
    if not (0 < size < 1 or (size >= 1 and size == int(size))):
        raise ValueError("must be a number of images, or a share between 0 and 1")
    return size


Size = Annotated[float, AfterValidator(_count_or_share)]


class Subsample(Group):
    train_size: int | None = Field(gt=0)
    val_size: Size
    test_size: Size | None
    rare_classes: Literal["error", "leave_out"]

    @model_validator(mode="after")
    def _leave_some_to_train(self) -> Self:
        if self.train_size is not None and self.val_size >= self.train_size:
            raise ValueError(f"val_size must be below train_size, of which it is a part ({self.train_size})")
        return self


class Evaluate(SharedGroup):
    expected_pairs: list[Annotated[list[str], Field(min_length=2, max_length=2)]]


class Parameters(Group):
    seed: int = Field(ge=0)
    groups: Groups
    subsample: Subsample
    evaluate: Evaluate


def describe(split: Split) -> dict:
    """Images a class, groups if there are any, and a digest of which images they are."""
    counts = np.bincount(split.labels, minlength=len(split.classes))
    groups = len(set(split.groups[split.groups != ""]))
    return {
        "images": len(split.labels),
        **({"groups": groups} if groups else {}),
        "per_class": {name: int(count) for name, count in zip(split.classes, counts, strict=True)},
        "positions_sha256": hashlib.sha256(split.positions.astype("<i8").tobytes()).hexdigest(),
    }


def handed(images: ImageSet) -> dict[str, np.ndarray]:
    """What a set holds, for a table of hand-overs: of encoded images how long and how large each is."""
    pixels = images.images
    if not isinstance(pixels, EncodedImages):
        return {"images": pixels, "labels": images.labels}
    about = {"bytes of each file": pixels.ends - pixels.starts, "heights and widths": images.sizes}
    return {**about, "labels": images.labels}


def main(parameters: Parameters, files: Namespace) -> None:
    wanted = parameters.subsample
    images, _ = load_images(files.images)
    # Now, not after hours of training.
    known_labels(parameters.groups.rigid, images.classes, "groups.rigid")
    known_pairs(parameters.evaluate.expected_pairs, images.classes, "evaluate.expected_pairs")
    sizes = Sizes(wanted.train_size, wanted.val_size, wanted.test_size, wanted.rare_classes)
    splits = draw_splits(images, sizes, parameters.seed)
    if left_out := [name for name in images.classes if name not in splits["train"].classes]:
        print(
            f"left out as too rare: {plural(len(left_out), 'class', 'classes')}, {', '.join(left_out)}", file=sys.stderr
        )
    for name, split in splits.items():
        save_split(getattr(files, name), split)
    drawn = {f"{name} {what}": array for name, split in splits.items() for what, array in handed(split).items()}
    steps = {"download → subsample": handed(images), "subsample → resize": drawn}
    write_hand_overs(files.plots / "hand_overs.tsv", steps)
    write_json(files.metrics, {name: describe(split) for name, split in splits.items()})


if __name__ == "__main__":
    run(main, Parameters, inputs=["images"], outputs=["train", "val", "test", "metrics", "plots"])
