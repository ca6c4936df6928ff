"""Find images that are in two splits, or twice in one, and score the model without those that it may know."""

from argparse import Namespace
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from transfer.data.features import load_features
from transfer.data.resize import Resized, open_resized
from transfer.devices.device import best_device
from transfer.devices.launch import run_on_devices
from transfer.devices.precision import PrecisionChoice, resolve_precision
from transfer.evaluation.duplicates import Looks, Pair, Thresholds, accuracy_without, find_duplicates
from transfer.network.backbones import load_backbone
from transfer.network.classifier import build_feature_extractor
from transfer.network.images import Images
from transfer.network.inference import run_over
from transfer.pictures.data import pair_sheet
from transfer.runtime.errors import DataError
from transfer.runtime.files import open_arrays, write_json, write_tsv
from transfer.runtime.parameters import Group, SharedGroup

SPLITS = ("train", "val", "test")
# Pictures of the pairs that matter most come first.
SHOWN = (("train", "test"), ("val", "test"), ("train", "val"), ("test", "test"), ("train", "train"), ("val", "val"))
COLUMNS = (
    *("kind", "split_a", "position_a", "split_b", "position_b", "class_a", "class_b"),
    *("feature_similarity", "pixel_correlation"),
)


class Leakage(Group):
    neighbours: int = Field(gt=0)
    min_feature_similarity: float = Field(ge=-1, le=1)
    min_pixel_correlation: float = Field(ge=-1, le=1)
    max_shift_px: int = Field(ge=0, le=8)
    batch_size: int = Field(gt=0)
    pictures: int = Field(gt=0)


class Train(SharedGroup):
    precision: PrecisionChoice


class Parameters(Group):
    leakage: Leakage
    train: Train


def known_looks(split: Resized, path: Path, width: int) -> Looks:
    """A split's images with the features that embed wrote, of both views."""
    features = load_features(path)
    if not np.array_equal(features.labels, split.labels) or features.plain.shape[1] != width:
        raise DataError(f"{path}: features of other images than the split's, or of another backbone; run embed again")
    return Looks(split.images, (features.plain, features.mirrored))


def row_of(pair: Pair, a: str, b: str, splits: dict[str, Resized]) -> dict[str, Any]:
    values: dict[str, Any] = {"kind": "exact" if pair.exact else "near"}
    for side, name, place in (("a", a, pair.places[0]), ("b", b, pair.places[1])):
        split = splits[name]
        values |= {f"split_{side}": name, f"position_{side}": split.positions[place]}
        values |= {f"class_{side}": split.classes[split.labels[place]], f"pixels_{side}": split.images[place]}
    return values | {"feature_similarity": pair.feature_similarity, "pixel_correlation": pair.pixel_correlation}


def main(parameters: Parameters, files: Namespace) -> None:
    config = parameters.leakage
    splits = {name: open_resized(files.resized / name) for name in SPLITS}
    with open_arrays(files.predictions, "positions", "predicted") as arrays:
        if not np.array_equal(arrays["positions"], splits["test"].positions):
            raise DataError(f"{files.predictions}: answers for other images than the test split's; run evaluate again")
        right = arrays["predicted"] == splits["test"].labels
    backbone = load_backbone(files.backbone)
    extractor, width = build_feature_extractor(backbone)
    looks = {name: known_looks(splits[name], files.features / f"{name}.npz", width) for name in ("train", "val")}
    images = Images(splits["test"].pixels, backbone.preprocessing, best_device())
    precision = resolve_precision(parameters.train.precision, best_device())  # as embed's, or features would differ
    network = extractor.to(best_device()).eval()
    embedded = run_over(network, images, config.batch_size, label="test", precision=precision)
    looks["test"] = Looks(splits["test"].images, (embedded.cpu().numpy(),))
    thresholds = Thresholds(**config.model_dump(exclude={"batch_size", "pictures"}))
    counts, rows, affected = {}, [], np.zeros(len(right), bool)
    for a, b in combinations_with_replacement(SPLITS, 2):
        found = find_duplicates(looks[a], None if a == b else looks[b], thresholds)
        exact = sum(pair.exact for pair in found)
        counts[f"{a}-{b}"] = {"exact": exact, "near": len(found) - exact}
        rows += [row_of(pair, a, b, splits) for pair in found]
        if b == "test" and a != b:
            affected[[pair.places[1] for pair in found]] = True
    figures = {"thresholds": vars(thresholds), "pairs": counts, **accuracy_without(right, affected)}
    write_json(files.metrics, figures)
    write_tsv(files.plots / "pairs.tsv", rows, COLUMNS)
    rows.sort(key=lambda row: (SHOWN.index((row["split_a"], row["split_b"])), -row["pixel_correlation"]))
    pair_sheet(files.plots / "pictures/pairs.png", rows, config.pictures)


if __name__ == "__main__":
    run_on_devices(
        main,
        Parameters,
        inputs=["backbone", "resized", "features", "predictions"],
        outputs=["metrics", "plots"],
    )
