"""A small network of each family, random at its smallest size, through the stages from backbone to heat maps on a few
images: what `evaluate` keeps is what the model that was written answers.
"""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages import (
    backbone,
    download,
    embed,
    evaluate,
    export,
    fine_tune,
    grad_cam,
    label_errors,
    leakage,
    resize,
    subsample,
    train_head,
    unknown,
)
from tests.stages.conftest import CLASSES, FILES, Arena
from tests.transfer.network.test_families import FAMILIES, TIMM_FAMILIES
from tests.transfer.network.test_families_exported import EXPORTED, smallest_with_maps
from transfer.data.resize import open_resized
from transfer.devices.device import best_device
from transfer.network.classifier import load_model
from transfer.network.images import Images
from transfer.network.inference import view_probabilities

SPLITS = ("train", "val", "test")


def cut_down(arena: Arena, folder: Path) -> Arena:
    """The arena with its archive and fewer images in another folder."""
    few = copy.copy(arena)
    few.folder, few.parameters = folder, copy.deepcopy(arena.parameters)
    few.parameters["subsample"].update(train_size=15, val_size=6, test_size=6)
    few.parameters["label_errors"].update(folds=2)
    few.parameters["train"]["batch_size"] = few.parameters["train"]["head"]["batch_size"] = 3
    few.parameters["train"]["head"]["epochs"] = few.parameters["train"]["fine_tune"]["epochs"] = 1
    few.parameters["train"]["fine_tune"]["batch_norm"] = "frozen"
    few.parameters["explain"].update(min_map_px=2)
    few.parameters["export"].update(formats=["onnx"], images=3, batch_size=3)
    return few


def resize_all(arena: Arena) -> None:
    for split in SPLITS:
        arena.run(resize, split=f"data/splits/{split}.npz", resized=f"data/resized/{split}")


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Arena:
    """Nine training, six validation and six test images, and which of them are duplicates."""
    folder = tmp_path_factory.mktemp("few")
    made = cut_down(Arena(folder), folder)
    for stage in (download, subsample):
        made.run(stage, **FILES[stage])
    resize_all(made)
    made.run(leakage, **FILES[leakage])
    return made


ON_EVERY_PUSH = ("shufflenet_v2_x0_5", "timm/resnet10t")


def marked(family: Any) -> Any:
    architecture, size_px = getattr(family, "values", family)
    mark = pytest.mark.slow if architecture in ON_EVERY_PUSH else pytest.mark.series
    return pytest.param(architecture, size_px, marks=mark)


@pytest.mark.parametrize(("architecture", "size_px"), [marked(family) for family in [*FAMILIES, *TIMM_FAMILIES]])
def test_a_network_of_each_family_goes_through_the_stages(
    few: Arena, tmp_path: Path, architecture: str, size_px: int
) -> None:
    own = cut_down(few, tmp_path)
    own.parameters["backbone"].update(name=architecture, weights="random", url=None)
    own.parameters["resize"]["size_px"] = size_px = smallest_with_maps(architecture, size_px)
    (tmp_path / "data").mkdir()
    for name in ("splits", "duplicates.npz"):
        (tmp_path / "data" / name).symlink_to(few.file(f"data/{name}"))
    resize_all(own)
    exports = (unknown, export) if (architecture, size_px) in EXPORTED else ()
    for stage in (backbone, embed, label_errors, train_head, fine_tune, evaluate, grad_cam, *exports):
        own.run(stage, **FILES[stage])
    model, card = load_model(own.file("models/model.safetensors"), CLASSES, size_px)
    test = open_resized(own.file("data/resized/test"))
    images = Images(test.pixels, card.preprocessing, best_device())
    answers = view_probabilities(model.to(best_device()), images, None, mirror=True).mean(0)
    metrics = json.loads(own.file("metrics/evaluate.json").read_text(encoding="utf-8"))
    with np.load(own.file("data/predictions.npz")) as kept:
        np.testing.assert_allclose(kept["probabilities"], answers, atol=1e-4)
    assert metrics["accuracy"] == pytest.approx(np.mean(answers.argmax(1) == test.labels))
    scores = json.loads(own.file("metrics/embed.json").read_text(encoding="utf-8"))["val"]
    assert all(0 <= scores[name]["accuracy"] <= 1 for name in ("knn", "linear_probe"))
    assert own.file("metrics/grad_cam/pictures/examples.png").stat().st_size > 0
    if exports:
        assert own.file("models/exported/model.onnx").stat().st_size > 0
