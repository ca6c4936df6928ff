"""Draw stratified training and validation splits; keep the test split apart."""

import hashlib
from argparse import Namespace
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from transfer.data.splits import Split, save_split, stratified_positions
from transfer.runtime.command import run
from transfer.runtime.errors import DataError
from transfer.runtime.files import write_json
from transfer.runtime.parameters import Group
from transfer.sources.cifar import LabelledImages, load_images


class Subsample(Group):
    train_size: int = Field(gt=0)
    val_size: int = Field(gt=0)
    test_size: int | None = Field(gt=0)

    @model_validator(mode="after")
    def _leave_some_to_train(self) -> Self:
        if self.val_size >= self.train_size:
            raise ValueError(f"val_size must be below train_size, of which it is a part ({self.train_size})")
        return self


class Parameters(Group):
    seed: int = Field(ge=0)
    subsample: Subsample


def take(part: LabelledImages, positions: np.ndarray, classes: tuple[str, ...]) -> Split:
    return Split(part.images[positions], part.labels[positions], positions, classes)


def describe(split: Split) -> dict:
    """Images a class, and a digest of which images they are."""
    counts = np.bincount(split.labels, minlength=len(split.classes))
    return {
        "images": len(split.labels),
        "per_class": {name: int(count) for name, count in zip(split.classes, counts, strict=True)},
        "positions_sha256": hashlib.sha256(split.positions.astype("<i8").tobytes()).hexdigest(),
    }


def main(parameters: Parameters, files: Namespace) -> None:
    wanted, seed = parameters.subsample, parameters.seed
    train, test, classes = load_images(files.images)
    test_size = len(test.labels) if wanted.test_size is None else wanted.test_size
    try:
        # Validation first: its images stay the same however many are trained on.
        sizes = [wanted.val_size, wanted.train_size - wanted.val_size]
        val_positions, train_positions = stratified_positions(train.labels, sizes, seed)
    except DataError as error:
        raise DataError(f"subsample.train_size = {wanted.train_size}: {error}; ask for fewer") from None
    try:
        (test_positions,) = stratified_positions(test.labels, [test_size], seed)
    except DataError as error:
        raise DataError(f"subsample.test_size = {wanted.test_size}: {error}; ask for fewer") from None
    splits = {
        "train": take(train, train_positions, classes),
        "val": take(train, val_positions, classes),
        "test": take(test, test_positions, classes),
    }
    for name, split in splits.items():
        save_split(getattr(files, name), split)
    write_json(files.metrics, {name: describe(split) for name, split in splits.items()})


if __name__ == "__main__":
    run(main, Parameters, inputs=["images"], outputs=["train", "val", "test", "metrics"])
