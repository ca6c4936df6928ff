"""Score the model on the test split, which no stage before this one sees.

Figures with their intervals, how far probabilities can be trusted, which classes are confused and which labels
look wrong. The validation split gives the temperature that corrects the probabilities.
"""

from argparse import Namespace
from typing import Any

import numpy as np
from pydantic import Field

from transfer.data.classes import Groups, known_labels, known_pairs
from transfer.data.resize import open_resized
from transfer.data.stratified import some_of
from transfer.devices.device import batch_size_for, best_device
from transfer.devices.launch import run_on_devices
from transfer.devices.processes import leave_to_first
from transfer.evaluation.answering import Answering
from transfer.evaluation.calibration import calibration, fit_temperature, scale, selective_figures
from transfer.evaluation.duplicates import accuracy_without
from transfer.evaluation.inputs import read_affected
from transfer.evaluation.scores import group_gap, score, share_of, verdict
from transfer.evaluation.tables import steps_of, write_class_scores, write_confusion, write_tables
from transfer.network.classifier import load_model
from transfer.network.images import Images
from transfer.network.inference import view_probabilities
from transfer.pictures.evaluation import draw_predictions, write_label_errors
from transfer.runtime.files import write_arrays, write_json
from transfer.runtime.hand_overs import write_hand_overs
from transfer.runtime.parameters import Group

TRAIN_SAMPLE = 1000  # training images whose plain view is scored, to tell how well they were learned


class Evaluate(Group):
    minimum_macro_f1: float = Field(ge=0, le=1)
    mirror: bool
    shift_fraction: float = Field(ge=0, le=0.5)
    batch_size: int | None = Field(gt=0)
    pictures: int = Field(gt=0)
    expected_pairs: tuple[tuple[str, str], ...]


class Parameters(Group):
    seed: int = Field(ge=0)
    groups: Groups
    evaluate: Evaluate


def headline(metrics: dict[str, Any]) -> dict[str, float]:
    """What DVC's own tables show of the test split."""
    return {name: metrics[name] for name in ("accuracy", "macro_f1")} | {"ece": metrics["calibration"]["ece_scaled"]}


def main(parameters: Parameters, files: Namespace) -> None:
    config, plots = parameters.evaluate, files.plots
    train, val, split = (open_resized(files.resized / name) for name in ("train", "val", "test"))
    affected = read_affected(files.duplicates, split)
    rigid = known_labels(parameters.groups.rigid, split.classes, "groups.rigid")
    expected = known_pairs(config.expected_pairs, split.classes, "evaluate.expected_pairs")
    model, card = load_model(files.model, split.classes, split.pixels.shape[1])
    model = model.to(best_device())

    def predict(pixels: np.ndarray, name: str, mirror: bool, shift_fraction: float) -> np.ndarray:
        images = Images(pixels, card.preprocessing, best_device())
        views = mirror, round(shift_fraction * images.size_px)
        return view_probabilities(model, images, config.batch_size, *views, name, card.precision)

    sample = some_of(train.labels, TRAIN_SAMPLE, parameters.seed)
    learned = predict(train.pixels[sample], "train", False, 0.0)[0].argmax(1) == train.labels[sample]
    val_views = predict(val.pixels, "val", config.mirror, config.shift_fraction)
    views = predict(split.pixels, "test", config.mirror, config.shift_fraction)
    leave_to_first()
    write_confusion(plots / "val_confusion.tsv", val, val_views)
    probabilities, val_probabilities = views.mean(0), val_views.mean(0)
    predicted = probabilities.argmax(1)
    temperature = fit_temperature(val_probabilities, val.labels)
    about = {"positions": split.positions, "predicted": predicted, "probabilities": probabilities}
    asked = Answering(config.mirror, config.shift_fraction, temperature)
    write_arrays(files.predictions, labels=split.labels, **about, **asked.arrays())
    scores = score(probabilities, split.labels, split.classes, parameters.seed)
    gap = group_gap(split.labels, predicted, rigid)
    metrics = {
        **scores,
        "accuracy_single_view": float((views[0].argmax(1) == split.labels).mean()),
        "val_accuracy": float((val_probabilities.argmax(1) == val.labels).mean()),
        "train_images": len(sample),
        **share_of("train_accuracy", learned),
        "mva_met": scores["macro_f1"] >= config.minimum_macro_f1,
        "calibration": calibration(probabilities, split.labels, temperature, parameters.seed),
        "risk_coverage": selective_figures(probabilities, split.labels),
        **({"groups": gap} if gap else {}),
        "duplicates": accuracy_without(predicted == split.labels, affected),
        "label_errors": write_label_errors(plots, split, scale(probabilities, temperature)),
    }
    write_json(files.metrics, metrics)
    write_json(files.headline, headline(metrics))
    write_tables(plots, split, views, temperature, expected)
    write_class_scores(plots / "per_class.tsv", scores)
    size = batch_size_for(config.batch_size, split.pixels.shape[1], best_device())
    batch = Images(split.pixels[:size], card.preprocessing, best_device()).plain(slice(None))
    write_hand_overs(plots / "hand_overs.tsv", steps_of(split, model, batch, views))
    draw_predictions(plots / "pictures", split, probabilities, config.pictures)
    print(verdict(scores, config.minimum_macro_f1))


if __name__ == "__main__":
    run_on_devices(
        main,
        Parameters,
        inputs=["model", "resized", "duplicates"],
        outputs=["predictions", "metrics", "headline", "plots"],
        parallel=True,
    )
