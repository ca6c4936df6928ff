"""List training images whose label looks wrong to a model that never saw them, by cross-validation.

The model is a logistic regression on the frozen backbone's features. Training keeps these images, but
leaves them out of batches of hard examples.
"""

from argparse import Namespace

import numpy as np
from pydantic import Field

from transfer.data.features import load_features
from transfer.data.resize import open_resized
from transfer.evaluation.label_errors import SUSPECT_COLUMNS, cross_validated, suspect_rows, suspects
from transfer.pictures.sheets import suspect_sheet
from transfer.runtime.command import run
from transfer.runtime.errors import DataError
from transfer.runtime.files import write_arrays, write_tsv
from transfer.runtime.parameters import Group


class LabelErrors(Group):
    folds: int = Field(ge=2)
    pictures: int = Field(gt=0)


class Parameters(Group):
    seed: int = Field(ge=0)
    label_errors: LabelErrors


def main(parameters: Parameters, files: Namespace) -> None:
    config = parameters.label_errors
    features, split = load_features(files.features), open_resized(files.train)
    if not np.array_equal(features.labels, split.labels):
        raise DataError(f"{files.features}: not of the images of {files.train}; run embed again")
    probabilities = cross_validated(features.plain, features.labels, config.folds, parameters.seed)
    places, suggested = suspects(probabilities, split.labels)
    rows = suspect_rows(probabilities, split, places, suggested)
    write_arrays(files.suspects, places=places)
    write_tsv(files.plots / "suspects.tsv", rows, SUSPECT_COLUMNS)
    suspect_sheet(files.plots / "pictures/suspects.png", split.images[places], rows, config.pictures)
    counts = np.bincount(split.labels, minlength=len(split.classes))
    for label in np.flatnonzero(counts < config.folds):
        told = f"its training images ({counts[label]}) are fewer than label_errors.folds ({config.folds})"
        print(f"class {split.classes[label]!r} is not judged: {told}")
    print(f"{len(places):,} of {len(split.labels):,} training images have a label that looks wrong")


if __name__ == "__main__":
    run(main, Parameters, inputs=["features", "train"], outputs=["suspects", "plots"])
