"""Test whether the model decides by the object or by its surroundings, and whether its maps can be trusted."""

from argparse import Namespace
from typing import Any

import numpy as np
import torch
from pydantic import Field

from transfer.data.resize import open_resized
from transfer.devices.device import best_device
from transfer.devices.launch import run_on_devices
from transfer.explanation import audit
from transfer.explanation.cam import Explain, choose_layer, explain
from transfer.explanation.objects import REJECTED, TAKEN, counterfactuals, find_objects
from transfer.explanation.sheet import audit_sheet, first_of_classes
from transfer.explanation.verdict import check, verdict
from transfer.network.classifier import load_model
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


def main(parameters: Parameters, files: Namespace) -> None:
    config, way, seed = parameters.audit, parameters.explain, parameters.seed
    split = open_resized(files.test)
    labels, pixels, classes = split.labels, split.pixels, split.classes
    model, card = load_model(files.model, classes, pixels.shape[1])
    device = best_device()
    model = model.to(device)
    chosen = audit.some_of(labels, config.images, seed)
    labels, pixels = labels[chosen], pixels[chosen]
    images = Images(pixels, card.preprocessing, device)
    layer = choose_layer(model, images.plain(slice(0, 1)), way.layer, way.min_map_px)

    def answer(pixels: np.ndarray) -> np.ndarray:
        logits = run_over(model, Images(pixels, card.preprocessing, device), way.batch_size, label="audit")
        return torch.softmax(logits.cpu().double(), dim=1).numpy()

    def maps_of(network: torch.nn.Module, places: np.ndarray) -> np.ndarray:
        module = network.get_submodule(layer.name)
        return explain(network, module, images, places, said[places], way.method, way.batch_size)

    chances = answer(pixels)
    said = chances.argmax(1)
    maps = maps_of(model, np.arange(len(labels)))
    masks, judged = find_objects(pixels, config.min_object_share, config.max_object_share, config.min_mask_agreement)
    taken, known = np.flatnonzero(judged == TAKEN), np.flatnonzero(maps.any((1, 2)))
    figures: dict[str, Any] = {
        "images": len(labels),
        "method": way.method,
        "layer": layer.name,
        "map_px": layer.width,
        "empty_maps": len(labels) - len(known),
        "coverage": len(taken) / len(labels),
        "rejected": {why: int((judged == why).sum()) for why in REJECTED},
    }
    table, versions, curves = {}, {}, {}
    if taken.size:
        changed = counterfactuals(pixels[taken], masks[taken], labels[taken], seed)
        versions = {"original": (pixels[taken], chances[taken])}
        versions |= {name: (made, answer(made)) for name, made in changed.items()}
        table = audit.right_answers({name: answers for name, (_, answers) in versions.items()}, labels[taken])
        table |= audit.localisation(maps[taken], masks[taken], layer.width, seed)
        figures |= audit.summarise(table, seed)
    if known.size:
        some = known[audit.some_of(labels[known], config.faithfulness_images, seed)]
        noise = audit.random_maps(len(some), layer.width, images.size_px, np.random.default_rng(seed))
        compared, grey = {"cam": maps[some], "random": noise}, images.mean.cpu().numpy()
        curves = audit.faithfulness_curves(answer, pixels[some], grey, compared, said[some])
        figures["faithfulness"] = audit.faithfulness(curves, seed)
        some = known[audit.some_of(labels[known], config.sanity_images, seed)]
        figures["sanity"] = audit.sanity(model, maps[some], lambda network: maps_of(network, some), seed)
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
