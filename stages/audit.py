"""Test whether the model decides by the object or by its surroundings, and whether its maps can be trusted."""

from argparse import Namespace
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import nn

from transfer.data.resize import open_resized
from transfer.devices.device import best_device
from transfer.devices.launch import run_on_devices
from transfer.devices.precision import Precision
from transfer.explanation import audit
from transfer.explanation.cam import Explain, Layer, choose_layer, explain
from transfer.explanation.objects import REJECTED, TAKEN, counterfactuals, find_objects
from transfer.explanation.sheet import audit_sheet, first_of_classes
from transfer.explanation.verdict import check, verdict
from transfer.network.backbones import Preprocessing
from transfer.network.classifier import Classifier, load_model
from transfer.network.images import Images
from transfer.network.inference import run_over
from transfer.runtime.files import write_json, write_tsv
from transfer.runtime.parameters import Group


class Audit(Group):
    images: int = Field(gt=0)
    faithfulness_images: int = Field(gt=0)
    sanity_images: int = Field(gt=0)
    min_object_share: float = Field(gt=0, le=1)
    max_object_share: float = Field(gt=0, le=1)
    min_mask_agreement: float = Field(ge=0, le=1)
    max_background_ratio: float = Field(ge=0)
    max_sanity_correlation: float = Field(ge=-1, le=1)


class Parameters(Group):
    seed: int = Field(ge=0)
    explain: Explain
    audit: Audit


@dataclass(frozen=True)
class Subject:
    """The model under audit, the images that it is tried on, and how its predictions are explained."""

    model: Classifier
    preprocessing: Preprocessing
    precision: Precision
    pixels: np.ndarray
    labels: np.ndarray
    layer: Layer
    explain: Explain

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Probabilities (N, classes) for pixels (N, S, S, 3)."""
        images = Images(pixels, self.preprocessing, best_device())
        logits = run_over(self.model, images, self.explain.batch_size, label="audit", precision=self.precision)
        return torch.softmax(logits.cpu().double(), dim=1).numpy()

    def maps(self, network: nn.Module, indices: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Heat maps (n, S, S) of the images at `indices`, each for its target class, as `network` sees them."""
        images, module = Images(self.pixels, self.preprocessing, best_device()), network.get_submodule(self.layer.name)
        return explain(network, module, images, indices, targets, self.explain.method, self.explain.batch_size)


def read_subject(files: Namespace, count: int, way: Explain, seed: int) -> tuple[Subject, tuple[str, ...]]:
    """The model with `count` test images, each class in proportion, and the class names."""
    split = open_resized(files.test)
    model, card = load_model(files.model, split.classes, split.pixels.shape[1])
    model = model.to(best_device())
    chosen = audit.some_of(split.labels, count, seed)
    pixels = split.pixels[chosen]
    first = Images(pixels[:1], card.preprocessing, best_device()).plain(slice(None))
    layer = choose_layer(model, first, way.layer, way.min_map_px)
    return Subject(model, card.preprocessing, card.precision, pixels, split.labels[chosen], layer, way), split.classes


def measure_maps(subject: Subject, config: Audit, maps: np.ndarray, predicted: np.ndarray, seed: int) -> tuple:
    """Figures of how faithful and how sane the maps are, and the curves of the first."""
    labels, size_px = subject.labels, subject.pixels.shape[1]
    grey = np.float32(255) * np.array(subject.preprocessing.mean, np.float32)
    known = np.flatnonzero(maps.any((1, 2)))
    if not known.size:
        return {}, {}
    some = known[audit.some_of(labels[known], config.faithfulness_images, seed)]
    noise = audit.random_maps(len(some), subject.layer.width, size_px, np.random.default_rng(seed))
    compared = {"cam": maps[some], "random": noise}
    curves = audit.faithfulness_curves(subject.predict, subject.pixels[some], grey, compared, predicted[some])
    few = known[audit.some_of(labels[known], config.sanity_images, seed)]

    def explained(network: nn.Module) -> np.ndarray:
        return subject.maps(network, few, predicted[few])

    sanity = audit.sanity(subject.model, maps[few], explained, seed)
    return {"faithfulness": audit.faithfulness(curves, seed), "sanity": sanity}, curves


def main(parameters: Parameters, files: Namespace) -> None:
    config, seed = parameters.audit, parameters.seed
    subject, classes = read_subject(files, config.images, parameters.explain, seed)
    labels, pixels = subject.labels, subject.pixels
    probabilities = subject.predict(pixels)
    predicted = probabilities.argmax(1)
    maps = subject.maps(subject.model, np.arange(len(labels)), predicted)
    masks, judged = find_objects(pixels, config.min_object_share, config.max_object_share, config.min_mask_agreement)
    taken = np.flatnonzero(judged == TAKEN)
    figures: dict[str, Any] = {
        "images": len(labels),
        "method": parameters.explain.method,
        "layer": subject.layer.name,
        "map_px": subject.layer.width,
        "empty_maps": int((~maps.any((1, 2))).sum()),
        "coverage": len(taken) / len(labels),
        "rejected": {why: int((judged == why).sum()) for why in REJECTED},
    }
    table, versions = {}, {}
    if taken.size:
        changed = counterfactuals(pixels[taken], masks[taken], labels[taken], seed)
        versions = {"original": (pixels[taken], probabilities[taken])}
        versions |= {name: (made, subject.predict(made)) for name, made in changed.items()}
        table = audit.right_answers({name: found for name, (_, found) in versions.items()}, labels[taken])
        table |= audit.localisation(maps[taken], masks[taken], subject.layer.width, seed)
        figures |= audit.summarise(table, seed)
    measured, curves = measure_maps(subject, config, maps, predicted, seed)
    figures |= measured
    figures["per_class"] = audit.per_class(table, labels, taken, classes, seed)
    figures["checks"] = check(figures, config.max_background_ratio, config.max_sanity_correlation)
    figures["passed"] = all(figures["checks"].values())
    figures["verdict"] = verdict(figures, figures["checks"], classes)
    write_json(files.metrics, figures)
    write_tsv(files.plots / "classes.tsv", audit.class_rows(figures["per_class"]))
    examples = first_of_classes(labels[taken], masks[taken], maps[taken], versions, classes)
    audit_sheet(files.plots / "pictures/sheet.png", examples, figures, curves, classes)
    print(figures["verdict"])


if __name__ == "__main__":
    run_on_devices(main, Parameters, inputs=["model", "test"], outputs=["metrics", "plots"])
