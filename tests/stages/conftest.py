"""A tiny real run of every stage, made once a session: digits of three kinds under CIFAR-10 names."""

import hashlib
import re
from argparse import Namespace
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from sklearn.datasets import load_digits

from commands.demo import ROOT, write_random_weights
from stages import (
    audit,
    backbone,
    cards,
    download,
    embed,
    evaluate,
    explore,
    fine_tune,
    grad_cam,
    label_errors,
    leakage,
    report,
    resize,
    robustness,
    subsample,
    train_head,
)
from transfer.runtime.files import sha256_of
from transfer.runtime.parameters import check_parameters
from transfer.sources.cifar import LabelledImages, write_archive

CLASSES = ("airplane", "bird", "cat")
TRAIN_IMAGES, TEST_IMAGES = 90, 30
SETTINGS = {
    "subsample": {"train_size": 60, "val_size": 15, "test_size": None},
    "explore": {"examples": 4, "interpolation_images": 12, "interpolation_examples": 2},
    "resize": {"size_px": 40, "interpolation": "cubic"},
    "embed": {"batch_size": 16},
    "groups": {"rigid": ["airplane"]},
    "evaluate": {
        "minimum_macro_f1": 0.65,
        "mirror": True,
        "shift_fraction": 0.0,
        "batch_size": 16,
        "pictures": 9,
        "expected_pairs": [["bird", "airplane"]],
        "robustness_images": 20,
    },
}


def tiny_parameters(archive: Path, weights: Path) -> dict:
    """The repository's parameters, cut down to seconds."""
    parameters = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    parameters.update(SETTINGS)
    parameters["download"].update(url=str(archive), sha256=sha256_of(archive))
    parameters["backbone"].update(name="resnet18", url=str(weights))
    parameters["train"].update(lr=0.001, batch_size=15)
    parameters["train"]["head"].update(hidden=[16], epochs=3, batch_size=15)
    parameters["train"]["fine_tune"].update(epochs=2)
    parameters["grad_cam"].update(min_map_px=3, batch_size=8)
    parameters["audit"].update(images=12, faithfulness_images=3, sanity_images=2)
    return parameters


def tiny_images() -> LabelledImages:
    """Handwritten zeros, ones and twos, 32 pixels, as labels 0, 1 and 2."""
    pixels, target = load_digits(n_class=len(CLASSES), return_X_y=True)
    small = np.rint(pixels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)[: TRAIN_IMAGES + TEST_IMAGES]
    large = np.stack([cv2.resize(image, (32, 32), interpolation=cv2.INTER_CUBIC) for image in small])
    return LabelledImages(np.repeat(large[..., None], 3, axis=3), target[: len(small)].astype(np.uint8))


class Arena:
    """A folder with every stage's files; `run(stage, **changes)` runs one of them again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        images = tiny_images()
        train = LabelledImages(images.images[:TRAIN_IMAGES], images.labels[:TRAIN_IMAGES])
        test = LabelledImages(images.images[TRAIN_IMAGES:], images.labels[TRAIN_IMAGES:])
        self.archive, self.weights = folder / "tiny.tar.gz", folder / "resnet18.pth"
        write_archive(self.archive, [train], test, CLASSES)
        write_random_weights(self.weights, "resnet18")
        self.parameters = tiny_parameters(self.archive, self.weights)

    def file(self, name: str) -> Path:
        return self.folder / name

    def digests(self) -> dict[str, str]:
        """Digests of all files but locks, which hold the number of the last process."""
        files = (path for path in sorted(self.folder.rglob("*")) if path.is_file() and path.suffix != ".lock")
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def run(self, stage: ModuleType, parameters: dict | None = None, /, **files: str | list[str]) -> None:
        checked = check_parameters(stage.Parameters, parameters or self.parameters)
        paths = {
            option: self.file(names) if isinstance(names, str) else [self.file(name) for name in names]
            for option, names in files.items()
        }
        stage.main(checked, Namespace(state=self.file("state"), params=self.file("params.yaml"), **paths))


DATA = {
    "train_split": "train.npz",
    "train_pixels": "train.npy",
    "val_split": "val.npz",
    "val_pixels": "val.npy",
}
TEST = {"test_split": "test.npz", "test_pixels": "test.npy"}
EVIDENCE = [
    *("download.json", "backbone.json", "subsample.json"),
    *("explore.json", "explore_examples.png", "explore_means.png", "explore_interpolation.png"),
    *("train_head.json", "train_head.tsv", "fine_tune.json", "fine_tune.tsv"),
    *("evaluate.json", "per_class.tsv", "confusion.tsv", "clusters.tsv", "pairs.tsv"),
    *("reliability.tsv", "risk_coverage.tsv", "label_errors.tsv"),
    *("predictions.png", "errors.png", "label_errors.png"),
    *("leakage.json", "leakage.tsv", "leakage.png", "robustness.json", "robustness.tsv", "robustness.png"),
    *("grad_cam.png", "grad_cam_errors.png", "grad_cam_pairs.png"),
    *("audit.json", "audit_classes.tsv", "audit.png"),
]
CARD_EVIDENCE = [
    *("download.json", "backbone.json", "subsample.json", "train_label_errors.tsv", "train_head.json"),
    *("fine_tune.json", "evaluate.json", "leakage.json", "robustness.json", "audit.json"),
]
FILES: dict[ModuleType, dict[str, Any]] = {
    download: {"images": "images.npz", "metrics": "download.json"},
    backbone: {"weights": "backbone.safetensors", "metrics": "backbone.json"},
    subsample: {
        "images": "images.npz",
        "train": "train.npz",
        "val": "val.npz",
        "test": "test.npz",
        "metrics": "subsample.json",
    },
    explore: {
        "train_split": "train.npz",
        "val_split": "val.npz",
        "counts": "subsample.json",
        "metrics": "explore.json",
        "classes": "explore_classes.tsv",
        "examples": "explore_examples.png",
        "means": "explore_means.png",
        "interpolation": "explore_interpolation.png",
    },
    embed: {
        **DATA,
        "backbone": "backbone.safetensors",
        "train_features": "train_features.npz",
        "val_features": "val_features.npz",
    },
    train_head: {
        "train_features": "train_features.npz",
        "val_features": "val_features.npz",
        "backbone": "backbone.safetensors",
        "train_split": "train.npz",
        "val_split": "val.npz",
        "head": "head.safetensors",
        "metrics": "train_head.json",
        "curves": "train_head.tsv",
    },
    label_errors: {
        "train_features": "train_features.npz",
        "train_split": "train.npz",
        "suspects": "suspects.npz",
        "table": "train_label_errors.tsv",
        "sheet": "train_label_errors.png",
    },
    fine_tune: {
        **DATA,
        "suspects": "suspects.npz",
        "backbone": "backbone.safetensors",
        "head": "head.safetensors",
        "model": "model.safetensors",
        "metrics": "fine_tune.json",
        "curves": "fine_tune.tsv",
    },
    evaluate: {
        **TEST,
        "val_split": "val.npz",
        "val_pixels": "val.npy",
        "model": "model.safetensors",
        "predictions": "predictions.npz",
        "metrics": "evaluate.json",
        "confusion": "confusion.tsv",
        "val_confusion": "val_confusion.tsv",
        "per_class": "per_class.tsv",
        "clusters": "clusters.tsv",
        "pairs": "pairs.tsv",
        "reliability": "reliability.tsv",
        "risk_coverage": "risk_coverage.tsv",
        "label_errors": "label_errors.tsv",
        "grid": "predictions.png",
        "errors": "errors.png",
        "suspects": "label_errors.png",
    },
    leakage: {
        **TEST,
        "train_split": "train.npz",
        "val_split": "val.npz",
        "train_features": "train_features.npz",
        "val_features": "val_features.npz",
        "backbone": "backbone.safetensors",
        "predictions": "predictions.npz",
        "metrics": "leakage.json",
        "pairs": "leakage.tsv",
        "sheet": "leakage.png",
    },
    robustness: {
        "test_split": "test.npz",
        "model": "model.safetensors",
        "metrics": "robustness.json",
        "table": "robustness.tsv",
        "chart": "robustness.png",
    },
    grad_cam: {
        **TEST,
        "model": "model.safetensors",
        "predictions": "predictions.npz",
        "sheet": "grad_cam.png",
        "errors": "grad_cam_errors.png",
        "pairs": "grad_cam_pairs.png",
    },
    audit: {
        **TEST,
        "model": "model.safetensors",
        "metrics": "audit.json",
        "classes": "audit_classes.tsv",
        "sheet": "audit.png",
    },
    report: {
        "model": "model.safetensors",
        "page_template": str(ROOT / "transfer/report/templates/report.html.j2"),
        "markdown_template": str(ROOT / "transfer/report/templates/report.md.j2"),
        "evidence": EVIDENCE,
        "markdown": "report/report.md",
        "page": "report/report.html",
    },
    cards: {
        "model": "model.safetensors",
        "model_template": str(ROOT / "transfer/report/templates/model_card.md.j2"),
        "data_template": str(ROOT / "transfer/report/templates/data_card.md.j2"),
        "evidence": CARD_EVIDENCE,
        "package": "classifier",
    },
}


def outputs_of(stage: ModuleType) -> list[str]:
    """The options that the stage's call of `run` names as outputs."""
    (listed,) = re.findall(r"outputs=\[(.*?)\]", Path(str(stage.__file__)).read_text(encoding="utf-8"), re.DOTALL)
    return re.findall(r'"(\w+)"', listed)


@pytest.fixture(scope="session")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Arena:
    """All stages run in order; tests read its files and write others beside them."""
    made = Arena(tmp_path_factory.mktemp("arena"))
    for stage in (download, backbone, subsample):
        made.run(stage, **FILES[stage])
    for split in ("train", "val", "test"):
        made.run(resize, split=f"{split}.npz", pixels=f"{split}.npy")
    for stage in (explore, embed, label_errors, train_head, fine_tune):
        made.run(stage, **FILES[stage])
    for stage in (evaluate, leakage, robustness, grad_cam, audit, report, cards):
        made.run(stage, **FILES[stage])
    return made
