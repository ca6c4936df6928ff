"""Train without some classes, and ask about them: `python -m benchmarks.held_out --classes cat truck`.

How well pictures of another kind, but from the same source, are told from known ones. dvc.yaml's own commands run on a
data set without these classes; the thresholds are those that stage `unknown` chooses. Beside it what would need no
training: distances in the frozen backbone's features, as they are and whitened.
"""

import argparse
import json
import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from sklearn.covariance import LedoitWolf

from benchmarks.ours import NO_COUNTERPART, PHASE_1, PHASE_2, TEST_SPLIT, Pipeline
from benchmarks.processes import ROOT
from benchmarks.run import STATE, surroundings
from benchmarks.task import read_overrides
from commands.entry_point import exit_with
from commands.overrides import merge, read_recipe
from stages.unknown import Model
from transfer.data.features import load_features
from transfer.data.preparation import Preparation
from transfer.data.resize import open_resized
from transfer.devices.device import best_device
from transfer.evaluation.neighbours import Rejection, neighbour_distances, unit
from transfer.evaluation.scores import share_of
from transfer.evaluation.unknown import separation
from transfer.network.backbones import load_backbone
from transfer.network.classifier import build_feature_extractor
from transfer.network.images import Images
from transfer.network.inference import run_over
from transfer.runtime.errors import ParameterError
from transfer.runtime.files import open_arrays, whole, write_json
from transfer.runtime.parameters import read_mapping
from transfer.sources.images import ImageSet, load_images, save_images

FETCHED = ["download", "backbone"]
STAGES = ["subsample", *PHASE_1, *NO_COUNTERPART, *PHASE_2, *TEST_SPLIT, "unknown"]


def divided(images: ImageSet, names: list[str]) -> tuple[ImageSet, ImageSet]:
    """The images of all other classes, and the test images of the named ones.

    Raises ParameterError if there is no such class.
    """
    if missing := [name for name in names if name not in images.classes]:
        raise ParameterError(f"--classes {' '.join(missing)}: no such class; there are {', '.join(images.classes)}")
    held = np.isin(images.labels, [images.classes.index(name) for name in names])
    kept = tuple(name for name in images.classes if name not in names)
    number = np.array([kept.index(name) if name in kept else -1 for name in images.classes])
    known = images.take(np.flatnonzero(~held))
    return replace(known, classes=kept, labels=number[known.labels]), images.take(
        np.flatnonzero(held & (images.parts == "test"))
    )


def train(folder: Path, arguments: argparse.Namespace) -> tuple[Pipeline, ImageSet]:
    """The pipeline that has run on the other classes, and the held-out test images."""
    shutil.rmtree(folder, ignore_errors=True)
    recipe = read_recipe(arguments.recipe) if arguments.recipe else {}
    parameters = merge(merge(read_mapping(ROOT / "params.yaml"), recipe), read_overrides(arguments.set_param))
    with whole(folder / "params.yaml") as partial:
        partial.write_text(yaml.safe_dump(parameters, sort_keys=False), encoding="utf-8")
    pipeline = Pipeline(folder, folder / "params.yaml")
    for stage in FETCHED:
        pipeline.run(stage)
    known, held_out = divided(load_images(Path(pipeline.paths["images"]))[0], arguments.classes)
    save_images(Path(pipeline.paths["images"]), known)
    for stage in STAGES:
        work, _ = pipeline.run(stage)
        print(f"{stage}: {work:.0f} s", flush=True)
    return pipeline, held_out


def frozen_distances(
    pipeline: Pipeline, known: np.ndarray, unknown: np.ndarray, neighbours: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of both kinds of images (N, S, S, 3) the distance to training images, in features that no image here has formed.

    As they are, and whitened by the covariance within the classes (shrunk, Ledoit & Wolf 2004).
    """
    backbone = load_backbone(Path(pipeline.paths["backbone"]))
    extractor = build_feature_extractor(backbone)[0].to(best_device()).eval()
    train = load_features(Path(pipeline.paths["features"]) / "train.npz")
    means = np.stack([train.plain[train.labels == label].mean(0) for label in range(len(train.classes))])
    within = LedoitWolf(assume_centered=True).fit(train.plain - means[train.labels])
    whiten, middle = np.linalg.cholesky(np.asarray(within.precision_)), means.mean(0)
    features = [
        run_over(extractor, Images(pixels, backbone.preprocessing, best_device()), None, False, 0, label).cpu().numpy()
        for pixels, label in ((known, "test, frozen"), (unknown, "held out, frozen"))
    ]
    reference = unit(train.plain), unit((train.plain - middle) @ whiten)
    plain, whitened = (
        tuple(neighbour_distances(each, near, neighbours) for each in seen)
        for near, seen in zip(reference, (features, [(each - middle) @ whiten for each in features]), strict=True)
    )
    return {"frozen": (plain[0], plain[1]), "whitened": (whitened[0], whitened[1])}


def figures(pipeline: Pipeline, held_out: ImageSet) -> dict[str, Any]:
    """How well each class, and all together, are told from the test images of the known ones."""
    paths = {name: Path(path) for name, path in pipeline.paths.items()}
    with open_arrays(paths["unknown"], "features", "rejection") as arrays:
        reference = arrays["features"].astype(np.float32)
        rejection = Rejection.model_validate_json(str(arrays["rejection"]))
    model = Model(Namespace(model=paths["model"], predictions=paths["predictions"]), None)
    test = open_resized(paths["resized"] / "test")
    preparation = Preparation.of(open_resized(paths["resized"] / "train"))

    def scores(pixels: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
        probabilities, features = model(pixels, name)
        return 1 - probabilities.max(1), neighbour_distances(features, reference, rejection.neighbours)

    doubts, distances = scores(np.array(test.pixels), "test")
    pixels = np.stack([preparation.from_image(held_out.images[i]) for i in range(len(held_out.labels))])
    unknown_doubts, unknown_distances = scores(pixels, "held out")
    refused = rejection.refuses(1 - unknown_doubts, unknown_distances)
    refused_known = rejection.refuses(1 - doubts, distances)
    names = np.array(held_out.classes)[held_out.labels]
    frozen = frozen_distances(pipeline, np.array(test.pixels), pixels, rejection.neighbours)
    found: dict[str, Any] = {"test images refused": share_of("refused", refused_known)}
    for name in ["all", *sorted(set(names))]:
        chosen = (names == name) | (name == "all")
        found[name] = {
            "images": int(chosen.sum()),
            **separation(distances, unknown_distances[chosen], "distance"),
            **separation(doubts, unknown_doubts[chosen], "confidence"),
            **share_of("refused", refused[chosen]),
            **{
                f"auroc_{kind}": separation(near, far[chosen], kind)[f"auroc_{kind}"]
                for kind, (near, far) in frozen.items()
            },
        }
    return found


def main(arguments: argparse.Namespace) -> int:
    folder = STATE / "held-out"
    pipeline, held_out = train(folder, arguments)
    metrics = json.loads(Path(pipeline.paths["metrics"], "evaluate.json").read_text(encoding="utf-8"))
    result = {
        **surroundings(("torch", "torchvision", "numpy")),
        "weights": arguments.weights_name,
        "held_out": arguments.classes,
        "recipe": arguments.recipe,
        "changes": [each for each in arguments.set_param if ".url=" not in each],
        **{name: metrics[name] for name in ("accuracy", "accuracy_ci_low", "accuracy_ci_high")},
        "sets": figures(pipeline, held_out),
    }
    print(json.dumps(result, indent=2))
    if arguments.output:
        write_json(arguments.output, result)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.held_out", description=__doc__)
    parser.add_argument("--classes", nargs="+", required=True, help="those that are left out")
    parser.add_argument("--recipe", help="experiments/recipes/NAME.yaml (default: params.yaml as it is)")
    parser.add_argument("-S", "--set-param", action="append", default=[], metavar="KEY=VALUE", help="as for DVC")
    parser.add_argument("--weights-name", default="torchvision's weights", help="for the text (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="JSON to write")
    exit_with(lambda: main(parser.parse_args()))
