"""Choose when the model says that it does not know, and measure how well that works.

The confidence below which an answer is unsure, and the distance beyond which an image is unlike the training images,
are chosen on the validation split. Test images and images that are none of any class show what they are worth.
"""

from argparse import Namespace
from typing import Any

import numpy as np
import torch
from pydantic import Field

from transfer.data.preparation import Preparation
from transfer.data.resize import open_resized, resized
from transfer.data.stratified import some_of
from transfer.devices.device import batch_size_for, best_device, fitting_in_memory
from transfer.devices.launch import run_on_devices
from transfer.devices.precision import autocast
from transfer.evaluation.answering import read_answering
from transfer.evaluation.calibration import scale
from transfer.evaluation.neighbours import Rejection, neighbour_distances, unit
from transfer.evaluation.scores import share_of, wilson_interval, with_interval
from transfer.evaluation.unknown import UNKNOWN, UnknownSet, confidence_threshold, separation
from transfer.network.classifier import load_card
from transfer.network.program import Program, load_program
from transfer.runtime.files import write_arrays, write_json, write_tsv
from transfer.runtime.parameters import Group
from transfer.runtime.progress import Progress
from transfer.runtime.wording import percent, plural


class Unknown(Group):
    risk: float = Field(ge=0, le=1)
    known: float = Field(gt=0, lt=1)
    neighbours: int = Field(gt=0)
    reference_images: int = Field(gt=0)
    images: int = Field(gt=0)
    sets: tuple[UnknownSet, ...]
    batch_size: int | None = Field(gt=0)


class Parameters(Group):
    seed: int = Field(ge=0)
    unknown: Unknown


class Model:
    """A classifier that gives calibrated probabilities (N, classes) and features (N, F) of prepared images."""

    def __init__(self, files: Namespace, batch_size: int | None) -> None:
        answering = read_answering(files.predictions)
        self.card, self.batch_size, self.temperature = load_card(files.model), batch_size, answering.temperature
        self.program = load_program(files.model, answering.mirror, answering.shift_fraction).to(best_device())
        # Features are those of the image as it is: where they are all that is asked for, one view will do.
        self.one_view = (
            Program(self.program.model, self.card, mirror=False, shift_fraction=0.0).to(best_device()).eval()
        )

    def features(self, pixels: np.ndarray, label: str) -> np.ndarray:
        return self._run(self.one_view, pixels, label)[1]

    def __call__(self, pixels: np.ndarray, label: str) -> tuple[np.ndarray, np.ndarray]:
        probabilities, features = self._run(self.program, pixels, label)
        return scale(probabilities, self.temperature), features

    @torch.no_grad()
    def _run(self, program: Program, pixels: np.ndarray, label: str) -> tuple[np.ndarray, np.ndarray]:
        device, probabilities, features = best_device(), [], []
        size = batch_size_for(self.batch_size, pixels.shape[1], device)
        with autocast(device, self.card.precision), fitting_in_memory(size, f"{label} images"):
            for start in Progress(range(0, len(pixels), size), desc=label, unit="batch"):
                batch = torch.from_numpy(pixels[start : start + size]).to(device)
                chances, found = program(batch)
                probabilities.append(chances.double().cpu().numpy())
                features.append(found.cpu().numpy())
        return np.concatenate(probabilities), np.concatenate(features)


def choose(model: Model, files: Namespace, parameters: Parameters) -> tuple[Rejection, np.ndarray, dict[str, float]]:
    """The thresholds, the features (N, F) of the training images that distances are to, and the coverage."""
    config = parameters.unknown
    train, val = open_resized(files.train), open_resized(files.val)
    chosen = some_of(train.labels, config.reference_images, parameters.seed)
    # Half precision, as it is written.
    reference = unit(model.features(train.pixels[chosen], "train")).astype(np.float16)
    probabilities, features = model(val.pixels, "val")
    distances = neighbour_distances(features, reference.astype(np.float32), config.neighbours)
    confidence, coverage = confidence_threshold(probabilities, val.labels, config.risk)
    furthest = float(np.quantile(distances, config.known, method="higher"))
    rejection = Rejection(
        min_confidence=confidence,
        risk=config.risk,
        max_distance=furthest,
        known=config.known,
        neighbours=config.neighbours,
    )
    return rejection, reference, {"val_coverage": coverage}


def answered(probabilities: np.ndarray, labels: np.ndarray, rejection: Rejection) -> dict[str, float]:
    """How many test images are answered for sure, and how many of these answers are wrong."""
    sure = probabilities.max(1) >= rejection.min_confidence
    wrong, count = int((probabilities.argmax(1) != labels)[sure].sum()), int(sure.sum())
    coverage = with_interval("coverage", count / len(labels), wilson_interval(count, len(labels)))
    return coverage | (with_interval("risk", wrong / count, wilson_interval(wrong, count)) if count else {})


def main(parameters: Parameters, files: Namespace) -> None:
    config, model = parameters.unknown, Model(files, parameters.unknown.batch_size)
    rejection, reference, figures = choose(model, files, parameters)
    test = open_resized(files.test)
    preparation = Preparation.of(open_resized(files.train), test)
    chosen = some_of(test.labels, config.images, parameters.seed)
    pixels, labels = test.pixels[chosen], test.labels[chosen]

    def scores(pixels: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities (N, classes) and distances (N,)."""
        probabilities, features = model(pixels, name)
        return probabilities, neighbour_distances(features, reference.astype(np.float32), config.neighbours)

    probabilities, distances = scores(pixels, "test")
    side = min(preparation.original_px, preparation.size_px)
    known = np.stack([resized(each, side, preparation.interpolation, preparation.aspect) for each in pixels])
    far = int((distances > rejection.max_distance).sum())
    sets: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(config.sets):
        images = UNKNOWN[name](known, np.random.default_rng([parameters.seed, number]))
        chances, away = scores(np.stack([preparation.from_image(each) for each in images]), name)
        refused = rejection.refuses(chances.max(1), away)
        sets[name] = {
            "images": len(chances),
            **separation(distances, away, "distance"),
            **separation(-probabilities.max(1), -chances.max(1), "confidence"),
            **share_of("refused", refused),
        }
    metrics = {
        "rejection": rejection.model_dump(),
        **figures,
        "images": len(labels),
        **answered(probabilities, labels, rejection),
        **with_interval("unlike", far / len(labels), wilson_interval(far, len(labels))),
        "sets": sets,
    }
    print(f"{percent(metrics['coverage'])} of {plural(len(labels), 'test image')} answered for sure")
    write_arrays(files.unknown, features=reference, rejection=np.array(rejection.model_dump_json()))
    write_json(files.metrics, metrics)
    columns = ("set", *dict.fromkeys(key for figures in sets.values() for key in figures))
    write_tsv(files.plots / "sets.tsv", [{"set": name, **figures} for name, figures in sets.items()], columns)


if __name__ == "__main__":
    run_on_devices(
        main,
        Parameters,
        inputs=["model", "train", "val", "test", "predictions"],
        outputs=["unknown", "metrics", "plots"],
    )
