"""List training images whose label looks wrong to a model that never saw them, by cross-validation.

The model is a logistic regression on the frozen backbone's features. Training keeps these images, but
leaves them out of batches of hard examples.
"""

from argparse import Namespace

import numpy as np
from pydantic import Field

from transfer.data.features import load_features
from transfer.data.splits import load_split
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
    wanted = parameters.label_errors
    features, split = load_features(files.train_features), load_split(files.train_split)
    if not np.array_equal(features.labels, split.labels):
        raise DataError(f"{files.train_features}: not of the images of {files.train_split}; run embed again")
    probabilities = cross_validated(features.plain, features.labels, wanted.folds, parameters.seed)
    places, suggested = suspects(probabilities, split.labels)
    rows = suspect_rows(probabilities, split, places, suggested)
    write_arrays(files.suspects, places=places)
    write_tsv(files.table, rows, SUSPECT_COLUMNS)
    suspect_sheet(files.sheet, split.images[places], rows, wanted.pictures)
    print(f"{len(places)} of {len(split.labels)} training images have a label that looks wrong")


if __name__ == "__main__":
    run(main, Parameters, inputs=["train_features", "train_split"], outputs=["suspects", "table", "sheet"])
