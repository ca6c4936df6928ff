"""The pictures of an evaluation: examples of predictions, errors, and labels that look wrong."""

from pathlib import Path

import numpy as np

from transfer.data.resize import Resized
from transfer.evaluation.label_errors import SUSPECT_COLUMNS, suspect_rows, suspects
from transfer.pictures.sheets import error_sheet, prediction_grid, spread, suspect_sheet
from transfer.runtime.files import write_tsv

SHEET_IMAGES = 40


def draw_predictions(folder: Path, split: Resized, probabilities: np.ndarray, count: int) -> None:
    """`count` predictions, shared evenly by the classes, and the surest errors, of probabilities (N, classes)."""
    shown = spread(split.labels, len(split.classes), count)
    grid = folder / "predictions.png"
    prediction_grid(grid, split.images[shown], split.labels[shown], probabilities[shown], split.classes)
    error_sheet(folder / "errors.png", split.images, split.labels, probabilities, split.classes, SHEET_IMAGES)


def write_label_errors(plots: Path, split: Resized, probabilities: np.ndarray) -> dict[str, int]:
    """List and show test images whose label looks wrong, and tell how many there are."""
    places, suggested = suspects(probabilities, split.labels)
    rows = suspect_rows(probabilities, split, places, suggested)
    write_tsv(plots / "label_errors.tsv", rows, SUSPECT_COLUMNS)
    suspect_sheet(plots / "pictures/label_errors.png", split.images[places], rows, SHEET_IMAGES)
    return {"suspected": len(places)}
