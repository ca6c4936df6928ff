"""What the audit says of models whose answer is known: `python -m benchmarks.audit_controls --run .` after a run.

`frozen` is the untouched backbone with phase 1's head; `background reader` is that backbone with a linear head trained
on objects pasted into other classes' surroundings, each labelled by the surroundings: a planted Clever Hans.
"""

import argparse
import json
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from commands.entry_point import exit_with
from stages import audit
from transfer.data.resize import Resized, open_resized
from transfer.data.stratified import some_of
from transfer.devices.device import best_device
from transfer.devices.precision import resolve_precision
from transfer.explanation.objects import TAKEN, draw_partners, find_objects, put_into
from transfer.network.backbones import Backbone, load_backbone
from transfer.network.classifier import (
    Classifier,
    HeadShape,
    ModelCard,
    build_classifier,
    build_feature_extractor,
    load_head,
    save_model,
)
from transfer.network.images import Images
from transfer.network.inference import run_over
from transfer.runtime.files import write_json
from transfer.runtime.parameters import check_parameters, read_mapping


def pasted(split: Resized, config: audit.Audit, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Training images (N, S, S, 3) with surroundings of another class, and the label (N,) of the surroundings."""
    chosen = some_of(split.labels, count, seed)
    pixels, labels = split.pixels[chosen], split.labels[chosen]
    masks, judged = find_objects(pixels, config.min_object_share, config.max_object_share, config.min_mask_agreement)
    pixels, labels, masks = (each[judged == TAKEN] for each in (pixels, labels, masks))
    others = draw_partners(labels, False, np.random.default_rng(seed))
    made = [put_into(pixels[i], masks[i], pixels[other], masks[other]) for i, other in enumerate(others)]
    return np.stack(made), labels[others]


def background_reader(backbone: Backbone, split: Resized, config: audit.Audit, count: int, seed: int) -> Classifier:
    pixels, labels = pasted(split, config, count, seed)
    extractor, features = build_feature_extractor(backbone)
    images = Images(pixels, backbone.preprocessing, best_device())
    precision = resolve_precision("auto", best_device())
    inputs = run_over(extractor.to(best_device()).eval(), images, None, label="pasted", precision=precision)
    scale = float(inputs.norm(dim=1).mean())
    fitted = LogisticRegression(max_iter=2000).fit(inputs.cpu().numpy() / scale, labels)
    last = nn.Linear(features, len(split.classes))
    with torch.no_grad():
        last.weight[:] = torch.from_numpy(fitted.coef_ / scale)
        last.bias[:] = torch.from_numpy(fitted.intercept_)
    return Classifier(extractor.cpu(), nn.Sequential(last))


def main(arguments: argparse.Namespace) -> int:
    run = arguments.run
    parameters = check_parameters(audit.Parameters, read_mapping(run / "params.yaml"))
    split = open_resized(run / "data/resized/train")
    backbone, head = load_backbone(run / "models/backbone.safetensors"), load_head(run / "models/head.safetensors")
    linear = HeadShape(head.shape.features, (), False, 0.0, len(split.classes))
    reader = background_reader(backbone, split, parameters.audit, arguments.images, parameters.seed)
    models = {"frozen": (build_classifier(backbone, head), head.shape), "background reader": (reader, linear)}
    found: dict[str, Any] = {}
    for name, (model, shape) in models.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            how = split.pixels.shape[1], split.interpolation, resolve_precision("auto", best_device())
            card = ModelCard(backbone.architecture, shape, split.classes, backbone.preprocessing, *how)
            save_model(folder / "model", model, card)
            files = {"model": folder / "model", "test": run / "data/resized/test"}
            files |= {"metrics": folder / "audit.json", "plots": folder / "plots", "state": folder / "state"}
            audit.main(parameters, Namespace(**files))
            figures = json.loads((folder / "audit.json").read_text())
        found[name] = {key: figures[key] for key in ("counterfactual", "model", "maps")}
    if arguments.output:
        write_json(arguments.output, found)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.audit_controls", description=__doc__)
    parser.add_argument("--run", type=Path, default=Path(), help="a workspace with a finished run")
    parser.add_argument("--images", type=int, default=4000, help="training images to paste (default %(default)s)")
    parser.add_argument("--output", type=Path, help="JSON to write")
    exit_with(lambda: main(parser.parse_args()))
