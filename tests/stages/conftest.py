"""A tiny real run of every stage, made once a session: digits of three kinds under CIFAR-10 names."""

import hashlib
import re
from argparse import Namespace
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import yaml
from sklearn.datasets import load_digits

from commands.demo import write_random_weights
from stages import (
    audit,
    backbone,
    download,
    embed,
    evaluate,
    explore,
    export,
    fine_tune,
    grad_cam,
    label_errors,
    leakage,
    report,
    resize,
    robustness,
    subsample,
    train_head,
    unknown,
)
from transfer.runtime.files import ROOT, sha256_of
from transfer.runtime.parameters import check_parameters
from transfer.sources.cifar import LabelledImages, write_archive

CLASSES = ("airplane", "bird", "cat")
TRAIN_IMAGES, TEST_IMAGES = 90, 30
SETTINGS = {
    "subsample": {"train_size": 60, "val_size": 15, "test_size": None, "rare_classes": "error"},
    "explore": {"examples": 4, "interpolation_images": 12, "interpolation_examples": 2},
    "resize": {"size_px": 40, "interpolation": "cubic", "aspect": "crop"},
    "embed": {"batch_size": 16},
    "groups": {"rigid": ["airplane"]},
    "evaluate": {
        "minimum_macro_f1": 0.65,
        "mirror": True,
        "shift_fraction": 0.0,
        "batch_size": 16,
        "pictures": 9,
        "expected_pairs": [["bird", "airplane"]],
    },
    "robustness": {"images": 20, "batch_size": 16},
    "unknown": {
        "risk": 0.1,
        "known": 0.9,
        "neighbours": 3,
        "reference_images": 30,
        "images": 20,
        "sets": ["textures", "noise", "shuffled"],
        "batch_size": 16,
    },
    "export": {
        "formats": ["onnx", "program", "int8"],
        "tolerance": 0.0001,
        "int8_max_loss": 0.2,
        "calibration_images": 12,
        "images": 20,
        "batch_size": 8,
    },
}


def tiny_parameters(archive: Path, weights: Path) -> dict:
    """The repository's parameters, cut down to seconds."""
    parameters = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    parameters.update(SETTINGS)
    parameters["download"].update(url=str(archive), sha256=sha256_of(archive))
    parameters["backbone"].update(name="resnet18", url=str(weights))
    parameters["train"].update(lr=0.001, batch_size=15, precision="float32")
    parameters["train"]["head"].update(hidden=[16], epochs=3, batch_size=15)
    parameters["train"]["fine_tune"].update(epochs=2, batch_norm="training", keep="last")
    parameters["explain"].update(min_map_px=3, batch_size=8)
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

    def run(self, stage: ModuleType, parameters: dict | None = None, /, **files: str) -> None:
        checked = check_parameters(stage.Parameters, parameters or self.parameters)
        paths = {option: self.file(name) for option, name in files.items()}
        stage.main(checked, Namespace(state=self.file("state"), params=self.file("params.yaml"), **paths))


def options_of(stage: str) -> dict[str, str]:
    """What dvc.yaml gives a stage's options: the arena's files lie as in the repository."""
    words = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]["cmd"].split()[3:]
    names = (option.removeprefix("--").replace("-", "_") for option in words[::2])
    return dict(zip(names, words[1::2], strict=True))


STAGES = (download, backbone, subsample, explore, leakage, embed, label_errors, train_head, fine_tune)
STAGES += (evaluate, unknown, export, robustness, grad_cam, audit, report)
FILES = {stage: options_of(stage.__name__.removeprefix("stages.")) for stage in STAGES}
FILES[resize] = {"split": "data/splits/val.npz", "resized": "data/resized/val"}


def outputs_of(stage: ModuleType) -> list[str]:
    """The options that the stage's call of `run` names as outputs."""
    (listed,) = re.findall(r"outputs=\[(.*?)\]", Path(str(stage.__file__)).read_text(encoding="utf-8"), re.DOTALL)
    return re.findall(r'"(\w+)"', listed)


def outputs_in(folder: str, stage: ModuleType) -> dict[str, str]:
    """The stage's outputs, in another folder of the arena."""
    return {option: f"{folder}/{FILES[stage][option]}" for option in outputs_of(stage)}


def files_in(folder: Path) -> dict[str, bytes]:
    """The bytes of all files of a folder but locks, by their path in it; of a file, its own."""
    if folder.is_file():
        return {"": folder.read_bytes()}
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture(scope="session")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Arena:
    """All stages run in order; tests read its files and write others beside them."""
    made = Arena(tmp_path_factory.mktemp("arena"))
    for stage in STAGES[:3]:
        made.run(stage, **FILES[stage])
    for split in ("train", "val", "test"):
        made.run(resize, split=f"data/splits/{split}.npz", resized=f"data/resized/{split}")
    for stage in STAGES[3:]:
        made.run(stage, **FILES[stage])
    return made
