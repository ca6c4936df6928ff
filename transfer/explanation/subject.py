"""A model under audit, and everything that is measured on it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from transfer.data.resize import open_resized
from transfer.data.stratified import some_of
from transfer.devices.device import best_device
from transfer.devices.precision import Precision
from transfer.explanation import audit
from transfer.explanation.cam import Explain, Layer, choose_layer, explain
from transfer.explanation.plain_maps import centre_map, edge_maps, random_maps
from transfer.network.backbones import Preprocessing
from transfer.network.classifier import Classifier, load_model
from transfer.network.images import Images
from transfer.network.inference import run_over

NOISE = 8  # standard deviation in levels of 255, which no eye sees


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


def read_subject(model_file: Path, test: Path, count: int, way: Explain, seed: int) -> tuple[Subject, tuple[str, ...]]:
    """The model with `count` test images, each class in proportion, and the class names."""
    split = open_resized(test)
    model, card = load_model(model_file, split.classes, split.pixels.shape[1])
    model = model.to(best_device())
    chosen = some_of(split.labels, count, seed)
    pixels = split.pixels[chosen]
    first = Images(pixels[:1], card.preprocessing, best_device()).plain(slice(None))
    layer = choose_layer(model, first, way.layer, way.min_map_px)
    return Subject(model, card.preprocessing, card.precision, pixels, split.labels[chosen], layer, way), split.classes


def stability(subject: Subject, few: np.ndarray, maps: np.ndarray, answers: np.ndarray, seed: int) -> dict[str, Any]:
    """How alike the maps (n, S, S) of the images at `few` are to others that should be like them, or should not.

    second_class: the same image explained for the second answer, unlike if maps tell classes apart; mirror and noise:
    the image mirrored, its map turned back, and with noise that no eye sees; edges: those of the image.
    answers (N, classes) are probabilities.
    """
    first, second = np.argsort(-answers[few], axis=1)[:, :2].T
    pixels, every = subject.pixels[few], np.arange(len(few))
    noise = np.random.default_rng(seed).normal(0, NOISE, pixels.shape)
    noisy = (pixels + noise).round().clip(0, 255).astype(np.uint8)
    mirrored = replace(subject, pixels=np.ascontiguousarray(pixels[:, :, ::-1])).maps(subject.model, every, first)
    others = {
        "second_class": subject.maps(subject.model, few, second),
        "mirror": mirrored[:, :, ::-1],
        "noise": replace(subject, pixels=noisy).maps(subject.model, every, first),
        "edges": edge_maps(pixels, subject.layer.width),
    }
    return {name: audit.likeness(maps, kind, seed) for name, kind in others.items()}


def measure_maps(
    subject: Subject, maps: np.ndarray, answers: np.ndarray, counts: tuple[int, int], seed: int
) -> tuple[dict[str, Any], Mapping[str, np.ndarray]]:
    """Figures of how faithful, sane and stable the maps (N, S, S) are, and the curves of the first.

    `counts` are the images for faithfulness and for the other two, answers (N, classes) probabilities. Nothing is
    measured if all maps are empty.
    """
    labels, predicted, size_px = subject.labels, answers.argmax(1), subject.pixels.shape[1]
    known = np.flatnonzero(maps.any((1, 2)))
    if not known.size:
        return {}, {}
    some, few = (known[some_of(labels[known], count, seed)] for count in counts)
    pixels, width = subject.pixels[some], subject.layer.width
    noise = random_maps(len(some), width, size_px, np.random.default_rng(seed))
    centre = np.broadcast_to(centre_map(size_px), noise.shape)
    grey = np.float32(255) * np.array(subject.preprocessing.mean, np.float32)
    compared = {"cam": maps[some], "random": noise, "centre": centre, "edges": edge_maps(pixels, width)}
    curves = audit.faithfulness_curves(subject.predict, pixels, grey, compared, predicted[some])

    def explained(network: nn.Module) -> np.ndarray:
        return subject.maps(network, few, predicted[few])

    figures = {
        "faithfulness": audit.faithfulness(curves, seed),
        "sanity": audit.sanity(subject.model, maps[few], explained, seed),
        "stability": stability(subject, few, maps[few], answers, seed),
    }
    return figures, curves
