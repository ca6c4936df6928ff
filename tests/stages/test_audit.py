"""audit: files agree with each other and are the same each time; without objects or maps it still says so."""

import csv
import json

import cv2
import numpy as np
import pytest
import torch

from stages import audit
from tests.stages.conftest import CLASSES, FILES
from transfer.errors import ParameterError
from transfer.images import Images, open_pixels
from transfer.network import load_model, save_model
from transfer.splits import load_split

OUTPUTS = {"metrics": "a_made.json", "classes": "a_made.tsv", "sheet": "a_made.png"}


def figures_of(arena, name: str = "audit.json") -> dict:
    return json.loads(arena.file(name).read_text())


def run_with(arena, group: str = "audit", **changes) -> dict:
    changed = {**arena.parameters, group: {**arena.parameters[group], **changes}}
    arena.run(audit, changed, **{**FILES[audit], **OUTPUTS})
    return figures_of(arena, "a_made.json")


def test_figures_checks_and_verdict_agree(arena):
    figures = figures_of(arena)
    assert figures["images"] == 12
    assert figures["coverage"] == (12 - sum(figures["rejected"].values())) / 12
    assert figures["passed"] is all(figures["checks"].values())
    assert figures["verdict"].startswith("passed: " if figures["passed"] else "not passed: ")
    assert list(figures["sanity"]) == ["head", "layer4", "layer3", "layer2", "layer1", "bn1", "conv1"]
    assert sum(values["images"] for values in figures["per_class"].values()) == 12
    assert sum(values["accepted"] for values in figures["per_class"].values()) == round(12 * figures["coverage"])


def test_the_table_says_what_the_metrics_say(arena):
    with arena.file("audit_classes.tsv").open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [row["class"] for row in rows] == list(CLASSES)
    for row in rows:
        values = figures_of(arena)["per_class"][row["class"]]
        assert int(row["accepted"]) == values["accepted"]
        expected = values.get("energy_inside", {}).get("cam", "")
        assert row["energy_inside_cam"] == str(expected)


def test_clean_accuracy_is_that_of_the_model_on_all_images(arena):
    """With no mask rejected and all images audited."""
    everything = {"images": 1000, "min_object_share": 1e-9, "max_object_share": 1, "min_mask_agreement": 0}
    figures = run_with(arena, **everything)
    split = load_split(arena.file("test.npz"))
    assert figures["images"] == len(split.labels)
    model, card = load_model(arena.file("model.safetensors"), split.classes, 40)
    images = Images(open_pixels(arena.file("test.npy"), 30), card.preprocessing, torch.device("cpu"))
    with torch.no_grad():
        right = model(images.plain(slice(None))).argmax(1).numpy() == split.labels
    if figures["coverage"] == 1:
        assert figures["counterfactual"]["clean_accuracy"] == pytest.approx(right.mean())
    assert figures["per_class"]["cat"]["images"] == (split.labels == 2).sum()


def test_the_same_inputs_give_the_same_bytes(arena):
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        arena.run(audit, **{**FILES[audit], **OUTPUTS})
    finally:
        cv2.setNumThreads(threads)
    for option, name in OUTPUTS.items():
        assert arena.file(name).read_bytes() == arena.file(FILES[audit][option]).read_bytes(), option


def test_without_any_object_found_the_rest_is_measured(arena):
    figures = run_with(arena, min_object_share=0.99, max_object_share=1.0)
    assert figures["coverage"] == 0
    assert figures["rejected"]["small"] == 12
    assert not {"energy_inside", "pointing", "counterfactual"} & figures.keys()
    assert {"faithfulness", "sanity"} <= figures.keys()
    assert not figures["passed"]
    assert not figures["checks"]["localisation"]
    assert not figures["checks"]["background"]
    assert "GrabCut finds an object in no image" in figures["verdict"]
    picture = cv2.imread(str(arena.file("a_made.png")))
    assert picture is not None
    assert picture.std() > 10


def test_without_any_map_the_objects_are_still_measured(arena):
    model, card = load_model(arena.file("model.safetensors"), CLASSES, 40)
    for parameter in model.head.parameters():
        torch.nn.init.zeros_(parameter)
    save_model(arena.file("empty_model.safetensors"), model, card)
    arena.run(audit, **{**FILES[audit], **OUTPUTS, "model": "empty_model.safetensors"})
    figures = figures_of(arena, "a_made.json")
    assert figures["empty_maps"] == 12
    assert not {"energy_inside", "pointing", "faithfulness", "sanity"} & figures.keys()
    assert figures["verdict"].startswith("not passed: localisation unknown")
    assert figures["checks"]["sanity"] is False
    if figures["coverage"]:
        assert np.isfinite(figures["counterfactual"]["clean_accuracy"])


def test_a_wrong_layer_is_told_the_right_ones(arena):
    with pytest.raises(ParameterError, match=r"grad_cam\.layer = 'layer3'.* there are .*backbone\.layer3"):
        run_with(arena, "grad_cam", layer="layer3")


def test_another_layer_is_audited_when_asked_for(arena):
    assert run_with(arena, "grad_cam", layer="backbone.layer2")["map_px"] == 5
