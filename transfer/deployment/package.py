"""What a package says of its model: all that it takes to go from an image's bytes to an answer.

Here and in what serving imports nothing needs torch.
"""

import json
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, ValidationError

from transfer.data.preparation import Preparation
from transfer.evaluation.neighbours import Rejection
from transfer.runtime.errors import DataError
from transfer.runtime.files import open_arrays
from transfer.runtime.parameters import Group

DESCRIPTION, REFERENCE = "package.json", "reference.npz"
ONNX, INT8, PROGRAM, WEIGHTS = "model.onnx", "model_int8.onnx", "model.pt2", "model.safetensors"


class Package(Group):
    """The content of package.json."""

    format: Literal[1] = 1
    architecture: str
    classes: tuple[str, ...]
    preparation: Preparation
    # Of pixels in 0 to 1, a channel; the exported networks take pixels in 0 to 255 and do this themselves.
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    # Views over which probabilities are averaged, inside the exported networks too.
    mirror: bool
    shift_fraction: float = Field(ge=0)
    # The logarithms of the averaged probabilities are divided by it.
    temperature: float = Field(gt=0)
    rejection: Rejection
    # Of the weights that the exported networks were made of.
    model_sha256: str


def read_package(folder: Path) -> Package:
    """What the package in `folder` says. Raises DataError if there is none."""
    path = folder / DESCRIPTION
    try:
        return Package.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file; make it by `dvc repro`, bring it by `dvc pull`, or name a package's folder"
        ) from None
    except (ValidationError, ValueError) as error:
        raise DataError(f"{path}: not a package's description ({' '.join(str(error).split())})") from None


def read_reference(folder: Path) -> np.ndarray:
    """Features (N, F) float32 of training images, each of length 1."""
    with open_arrays(folder / REFERENCE, "features") as arrays:
        return arrays["features"].astype(np.float32)
