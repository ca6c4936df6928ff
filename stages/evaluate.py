"""Score the model on the test split, which no stage before this one sees.

Figures with their intervals, how far probabilities can be trusted, which classes are confused and which labels
look wrong. The validation split gives the temperature that corrects the probabilities.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from transfer.data.classes import CLUSTER_COLUMNS, cluster_rows, confusion_counts, known_labels, known_pairs
from transfer.data.resize import Resized, open_resized
from transfer.devices.device import best_device
from transfer.devices.launch import run_on_devices
from transfer.devices.processes import leave_to_first
from transfer.evaluation.answering import Answering
from transfer.evaluation.calibration import (
    accuracy_at,
    calibration,
    fit_temperature,
    reliability,
    risk_coverage,
    risks,
    scale,
)
from transfer.evaluation.label_errors import SUSPECT_COLUMNS, accuracy_without, suspect_rows, suspects
from transfer.evaluation.pairs import PAIR_COLUMNS, pairs
from transfer.evaluation.scores import CLASS_COLUMNS, group_gap, score
from transfer.network.classifier import load_model
from transfer.network.images import Images
from transfer.network.inference import view_probabilities
from transfer.pictures.sheets import error_sheet, prediction_grid, spread, suspect_sheet
from transfer.runtime.files import write_arrays, write_json, write_tsv
from transfer.runtime.parameters import Group

SHEET_IMAGES = 40


class Groups(Group):
    rigid: tuple[str, ...]


class Evaluate(Group):
    minimum_macro_f1: float = Field(ge=0, le=1)
    mirror: bool
    shift_fraction: float = Field(ge=0, le=0.5)
    batch_size: int = Field(gt=0)
    pictures: int = Field(gt=0)
    expected_pairs: tuple[tuple[str, str], ...]


class Parameters(Group):
    seed: int = Field(ge=0)
    groups: Groups
    evaluate: Evaluate


def predict(model_file: Path, split: Resized, config: Evaluate, name: str) -> np.ndarray:
    """Probabilities (views, N, classes) of each image in every view of the test-time augmentation."""
    model, card = load_model(model_file, split.classes, split.pixels.shape[1])
    images = Images(split.pixels, card.preprocessing, best_device())
    shift_px = round(config.shift_fraction * images.size_px)
    views = config.mirror, shift_px
    return view_probabilities(model.to(best_device()), images, config.batch_size, *views, name, card.precision)


def write_confusion(path: Path, split: Resized, predicted: np.ndarray) -> None:
    """Write the actual and the predicted class of every image, in the split's order."""
    named = np.array(split.classes)
    both = zip(named[split.labels], named[predicted], strict=True)
    write_tsv(path, [{"actual": actual, "predicted": answer} for actual, answer in both])


def write_tables(plots: Path, split: Resized, probabilities: np.ndarray, expected: Sequence[Sequence[int]]) -> None:
    predicted = probabilities.argmax(1)
    write_confusion(plots / "confusion.tsv", split, predicted)
    counts = confusion_counts(split.labels, predicted, len(split.classes))
    write_tsv(plots / "clusters.tsv", cluster_rows(counts, split.classes), CLUSTER_COLUMNS)
    write_tsv(plots / "pairs.tsv", pairs(counts, split.classes, expected), PAIR_COLUMNS)
    write_tsv(plots / "risk_coverage.tsv", risk_coverage(risks(probabilities, split.labels)))


def draw_pictures(folder: Path, split: Resized, probabilities: np.ndarray, count: int) -> None:
    shown = spread(split.labels, len(split.classes), count)
    grid = folder / "predictions.png"
    prediction_grid(grid, split.images[shown], split.labels[shown], probabilities[shown], split.classes)
    error_sheet(folder / "errors.png", split.images, split.labels, probabilities, split.classes, SHEET_IMAGES)


def write_label_errors(plots: Path, split: Resized, probabilities: np.ndarray) -> dict[str, float]:
    """List and show suspected label errors; tell how many there are, and the accuracy on all other images."""
    places, suggested = suspects(probabilities, split.labels)
    rows = suspect_rows(probabilities, split, places, suggested)
    write_tsv(plots / "label_errors.tsv", rows, SUSPECT_COLUMNS)
    suspect_sheet(plots / "pictures/label_errors.png", split.images[places], rows, SHEET_IMAGES)
    return {"suspected": len(places), **accuracy_without(places, probabilities, split.labels)}


def main(parameters: Parameters, files: Namespace) -> None:
    config, plots = parameters.evaluate, files.plots
    val, split = open_resized(files.val), open_resized(files.test)
    rigid = known_labels(parameters.groups.rigid, split.classes, "groups.rigid")
    expected = known_pairs(config.expected_pairs, split.classes, "evaluate.expected_pairs")
    val_probabilities = predict(files.model, val, config, "val").mean(0)
    views = predict(files.model, split, config, "test")
    leave_to_first()
    write_confusion(plots / "val_confusion.tsv", val, val_probabilities.argmax(1))
    temperature = fit_temperature(val_probabilities, val.labels)
    probabilities = views.mean(0)
    predicted, scaled = probabilities.argmax(1), scale(probabilities, temperature)
    about = {"labels": split.labels, "positions": split.positions, "predicted": predicted.astype(np.uint8)}
    answering = Answering(config.mirror, config.shift_fraction, temperature)
    write_arrays(files.predictions, **about, probabilities=probabilities, **answering.arrays())
    scores = score(probabilities, split.labels, split.classes, parameters.seed)
    met = scores["macro_f1"] >= config.minimum_macro_f1
    risk = risks(probabilities, split.labels)
    gap = group_gap(split.labels, predicted, rigid)
    metrics = {
        **scores,
        "accuracy_single_view": float((views[0].argmax(1) == split.labels).mean()),
        "val_accuracy": float((val_probabilities.argmax(1) == val.labels).mean()),
        "mva_met": met,
        "calibration": calibration(probabilities, split.labels, temperature),
        "risk_coverage": {"aurc": float(risk.mean()), "accuracy_at_80": accuracy_at(risk, 80)},
        **({"groups": gap} if gap else {}),
        "label_errors": write_label_errors(plots, split, scaled),
    }
    write_json(files.metrics, metrics)
    empty = dict.fromkeys(CLASS_COLUMNS, "")
    write_tsv(
        plots / "per_class.tsv", [{"class": name, **empty, **values} for name, values in scores["per_class"].items()]
    )
    write_tsv(plots / "reliability.tsv", reliability(split.labels, raw=probabilities, scaled=scaled))
    write_tables(plots, split, probabilities, expected)
    draw_pictures(plots / "pictures", split, probabilities, config.pictures)
    print(
        f"accuracy {scores['accuracy']:.4f} (95 % interval {scores['accuracy_ci_low']:.4f} to "
        f"{scores['accuracy_ci_high']:.4f}), macro F1 {scores['macro_f1']:.4f}: "
        f"minimum viable accuracy ({config.minimum_macro_f1}) {'met' if met else 'missed'}"
    )


if __name__ == "__main__":
    run_on_devices(
        main,
        Parameters,
        inputs=["model", "val", "test"],
        outputs=["predictions", "metrics", "plots"],
        parallel=True,
    )
