"""What preprocessing is worth: `python -m benchmarks.preprocessing` after `dvc repro backbone label_errors`.

The run's own, against pixels that are only divided by 255, and against bilinear enlargement. For each the stages embed,
train a head (the probe) and fine-tune anew, with the run's parameters; one view of each test image is asked, paired.
"""

import argparse
import gc
import tempfile
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from commands.entry_point import exit_with
from stages import embed, fine_tune, resize, train_head
from transfer.data.resize import open_resized
from transfer.devices.device import best_device
from transfer.devices.precision import resolve_precision
from transfer.evaluation.scores import paired_difference, share_of, with_interval
from transfer.network.backbones import load_backbone, save_backbone
from transfer.network.classifier import build_classifier, load_head, load_model
from transfer.network.images import Images
from transfer.network.inference import run_over
from transfer.network.published import Preprocessing
from transfer.runtime.files import write_json
from transfer.runtime.parameters import check_parameters, read_mapping

ONLY_DIVIDED = Preprocessing((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
WAYS: dict[str, dict[str, Any]] = {
    "as the run": {},
    "1/255": {"preprocessing": ONLY_DIVIDED},
    "bilinear": {"interpolation": "linear"},
}


def train(run: Path, folder: Path, parameters: dict[str, Any], way: dict[str, Any]) -> dict[str, np.ndarray]:
    """Which test images (N,) bool the probe and the fine-tuned network get right, trained in `folder`."""
    backbone = load_backbone(run / "models/backbone.safetensors")
    backbone = replace(backbone, preprocessing=way.get("preprocessing", backbone.preprocessing))
    save_backbone(folder / "backbone", backbone)
    interpolation = way.get("interpolation", parameters["resize"]["interpolation"])
    parameters = parameters | {"resize": parameters["resize"] | {"interpolation": interpolation}}

    def stage(module: Any, **files: Path) -> None:
        module.main(check_parameters(module.Parameters, parameters), Namespace(**files, state=folder / "state"))

    for split in ("train", "val", "test"):
        stage(resize, split=run / f"data/splits/{split}.npz", resized=folder / split)
    images = {"train": folder / "train", "val": folder / "val"}
    files = {"backbone": folder / "backbone", "metrics": folder / "metrics.json"}
    features = {name: folder / f"{name}.npz" for name in images}
    stage(embed, **files, **images, train_features=features["train"], val_features=features["val"], plots=folder)
    files |= {"head": folder / "head", "curves": folder / "curves.tsv"}
    stage(train_head, **files, **features, plots=folder)
    stage(fine_tune, **files, **images, suspects=run / "data/label_errors.npz", model=folder / "model")

    test, device = open_resized(folder / "test"), best_device()
    precision = resolve_precision(parameters["train"]["precision"], device)

    def right(model: nn.Module) -> np.ndarray:
        pictures = Images(test.pixels, backbone.preprocessing, device)
        logits = run_over(model.to(device).eval(), pictures, None, label="test", precision=precision)
        return logits.argmax(1).cpu().numpy() == test.labels

    probe = build_classifier(backbone, load_head(folder / "head"))
    return {"probe": right(probe), "fine-tuned": right(load_model(folder / "model", test.classes)[0])}


def measure(run: Path, seed: int) -> dict[str, dict[str, Any]]:
    """Accuracy of each way, and how far it is ahead of the run's own, with 95 % intervals, trained with `seed`."""
    parameters, answers = read_mapping(run / "params.yaml") | {"seed": seed}, {}
    for name, way in WAYS.items():
        with tempfile.TemporaryDirectory() as folder:
            answers[name] = train(run, Path(folder), parameters, way)
    first = next(iter(answers.values()))
    found: dict[str, dict[str, Any]] = {}
    for name, kinds in answers.items():
        for kind, right in kinds.items():
            gain, *ends = paired_difference(first[kind], right)
            gained = with_interval("gain", gain, (ends[0], ends[1]))
            found[f"{kind}, {name}"] = {"images": len(right), **share_of("accuracy", right), **gained}
    return found


def main(run: Path, seeds: list[int], output: Path | None) -> int:
    gc.enable()  # which the stages turn off until they run as processes of their own
    found = {}
    for seed in seeds:
        found[str(seed)] = measure(run, seed)
        for name, figures in found[str(seed)].items():
            share, *gain = (100 * figures[key] for key in ("accuracy", "gain", "gain_ci_low", "gain_ci_high"))
            print(f"seed {seed}: {name}: {share:.2f} %, {gain[0]:+.2f} points ({gain[1]:.2f} to {gain[2]:.2f})")
        if output:
            write_json(output, found)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.preprocessing", description=__doc__)
    parser.add_argument(
        "--run", type=Path, default=Path(), help="a workspace with these stages' outputs (default: this)"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="trainings of each (default: 0)")
    parser.add_argument("--output", type=Path, help="JSON to write")
    given = parser.parse_args()
    exit_with(lambda: main(given.run, given.seeds, given.output))
