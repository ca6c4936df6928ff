"""audit: files agree with each other and are the same each time; without objects or maps it still says so."""

import csv
import json

import cv2
import numpy as np
import pytest
import torch

from stages import audit
from tests.splits import split_of
from tests.stages.conftest import CLASSES, FILES, files_in
from transfer.data.resize import open_resized
from transfer.data.resizing import save_resized
from transfer.network.classifier import load_model, save_model
from transfer.network.images import Images
from transfer.runtime.errors import ParameterError

OUTPUTS = {"metrics": "a_made.json", "plots": "a_made"}


def figures_of(arena, name: str) -> dict:
    return json.loads(arena.file(name).read_text())


def run_with(arena, group: str = "audit", test: str = "data/resized/test", **changes) -> dict:
    changed = {**arena.parameters, group: {**arena.parameters[group], **changes}}
    arena.run(audit, changed, **{**FILES[audit], **OUTPUTS, "test": test})
    return figures_of(arena, "a_made.json")


@pytest.fixture(scope="module")
def scenes(arena) -> dict[str, str]:
    """A test split of coloured discs, in which GrabCut finds an object where it fails on digits; and its audit."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3, dtype=np.uint8), 7)
    y, x = np.mgrid[:40, :40]
    discs = np.stack([(y - a) ** 2 + (x - b) ** 2 < 9**2 for a, b in rng.integers(15, 25, (21, 2))])
    colours = np.where(discs[..., None], [200, 60, 50], rng.integers(40, 200, (21, 1, 1, 3)) * [0, 1, 1])
    pixels = (colours + rng.normal(0, 12, colours.shape)).clip(0, 255).astype(np.uint8)
    save_resized(arena.file("scenes"), split_of(pixels, labels, CLASSES), 40, "cubic", "crop")
    files = {"test": "scenes"}
    arena.run(audit, **{**FILES[audit], **files, "metrics": "scenes.json", "plots": "scenes_plots"})
    return files


def test_figures_checks_and_verdict_agree(arena, scenes):
    figures = figures_of(arena, "scenes.json")
    assert figures["images"] == 12
    assert figures["coverage"] == 1
    assert {"energy_inside", "pointing", "counterfactual", "faithfulness"} <= figures.keys()
    assert figures["model"]["word"] == figures["maps"]["word"] == "undecided"  # of 12 images and 3
    assert "found in 12 images" in figures["model"]["why"]
    assert list(figures["stability"]) == ["second_class", "mirror", "noise", "edges"]
    assert list(figures["sanity"]) == ["head", "layer4", "layer3", "layer2", "layer1", "bn1", "conv1"]


def test_the_table_of_classes_says_what_the_metrics_say_of_all(arena, scenes):
    figures = figures_of(arena, "scenes.json")
    with arena.file("scenes_plots/classes.tsv").open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [row["class"] for row in rows] == list(CLASSES)
    assert [(row["images"], row["accepted"]) for row in rows] == [("4", "4")] * 3
    for name in ("clean_accuracy", "background_gap", "object_gap"):
        assert figures["counterfactual"][name] == pytest.approx(np.mean([float(row[name]) for row in rows]))
    assert figures["energy_inside"]["cam"] == pytest.approx(np.mean([float(row["energy_inside_cam"]) for row in rows]))


def test_clean_accuracy_is_that_of_the_model_on_all_images(arena, scenes):
    figures = run_with(arena, images=1000, **scenes)
    assert figures["images"] == 21
    assert figures["coverage"] == 1
    model, card = load_model(arena.file("models/model.safetensors"), CLASSES, 40)
    images = Images(open_resized(arena.file("scenes")).pixels, card.preprocessing, torch.device("cpu"))
    with torch.no_grad():
        right = model(images.plain(slice(None))).argmax(1).numpy() == np.repeat(np.arange(3), 7)
    assert figures["counterfactual"]["clean_accuracy"] == pytest.approx(right.mean())


def test_the_same_inputs_give_the_same_bytes(arena, scenes):
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        arena.run(audit, **{**FILES[audit], **OUTPUTS, **scenes})
    finally:
        cv2.setNumThreads(threads)
    for made, first in zip(OUTPUTS.values(), ("scenes.json", "scenes_plots"), strict=True):
        assert files_in(arena.file(made)) == files_in(arena.file(first)), first


def test_without_any_object_found_the_rest_is_measured(arena):
    figures = run_with(arena, min_object_share=0.99, max_object_share=1.0)
    assert figures["coverage"] == 0
    assert figures["selection"] == {}
    assert figures["rejected"]["small"] == 12
    assert not {"energy_inside", "pointing", "counterfactual"} & figures.keys()
    assert {"faithfulness", "sanity"} <= figures.keys()
    assert figures["model"]["word"] == "undecided"
    assert "an object was found in 0 images" in figures["model"]["why"]
    picture = cv2.imread(str(arena.file("a_made/pictures/sheet.png")))
    assert picture is not None
    assert picture.std() > 10


def test_without_any_map_the_objects_are_still_measured(arena, scenes):
    model, card = load_model(arena.file("models/model.safetensors"), CLASSES, 40)
    for parameter in model.head.parameters():
        torch.nn.init.zeros_(parameter)
    save_model(arena.file("empty_model.safetensors"), model, card)
    arena.run(audit, **{**FILES[audit], **OUTPUTS, **scenes, "model": "empty_model.safetensors"})
    figures = figures_of(arena, "a_made.json")
    assert figures["empty_maps"] == 12
    assert not {"energy_inside", "pointing", "faithfulness", "sanity"} & figures.keys()
    assert figures["maps"]["word"] == "undecided"
    assert "all maps are empty" in figures["maps"]["why"]
    assert figures["counterfactual"]["clean_accuracy"] == pytest.approx(1 / 3)  # always the first class


def test_a_wrong_layer_is_told_the_right_ones(arena):
    with pytest.raises(ParameterError, match=r"explain\.layer = 'layer3'.* there are .*backbone\.layer3"):
        run_with(arena, "explain", layer="layer3")


def test_another_layer_is_audited_when_asked_for(arena):
    assert run_with(arena, "explain", layer="backbone.layer2")["map_px"] == 5
