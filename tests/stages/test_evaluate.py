"""evaluate: figures equal scikit-learn's on the saved predictions, files agree with each other, misfits are refused."""

import csv
import json

import cv2
import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_score, recall_score

from stages import evaluate
from tests.stages.conftest import CLASSES, FILES
from transfer.errors import WeightsError
from transfer.images import Images, open_pixels
from transfer.network import ModelCard, load_model, save_model
from transfer.splits import load_split

OUTPUTS = {
    "predictions": "p.npz",
    "metrics": "m.json",
    "confusion": "c.tsv",
    "per_class": "pc.tsv",
    "grid": "g.png",
}


def metrics_of(arena, name: str = "evaluate.json") -> dict:
    return json.loads(arena.file(name).read_text())


def test_figures_are_those_of_scikit_learn_on_the_saved_predictions(arena):
    with np.load(arena.file("predictions.npz")) as saved:
        labels, chances, predicted = saved["labels"], saved["probabilities"], saved["predicted"]
        positions = saved["positions"]
    metrics = metrics_of(arena)
    np.testing.assert_array_equal(labels, load_split(arena.file("test.npz")).labels)
    np.testing.assert_array_equal(positions, np.arange(30))
    np.testing.assert_array_equal(predicted, chances.argmax(1))
    np.testing.assert_allclose(chances.sum(1), 1)
    assert metrics["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert metrics["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert metrics["loss"] == pytest.approx(log_loss(labels, chances))
    for i, name in enumerate(CLASSES):
        ours = metrics["per_class"][name]
        assert ours["precision"] == pytest.approx(precision_score(labels == i, predicted == i))
        assert ours["recall"] == pytest.approx(recall_score(labels == i, predicted == i))
    assert metrics["mva_met"] is (metrics["macro_f1"] >= 0.65)


def test_probabilities_are_the_mean_of_both_views(arena):
    split = load_split(arena.file("test.npz"))
    model, card = load_model(arena.file("model.safetensors"), split.classes, 40)
    images = Images(open_pixels(arena.file("test.npy"), 30), card.preprocessing, torch.device("cpu"))
    with torch.no_grad():
        views = [model(images.plain(slice(None), mirrored)).softmax(1) for mirrored in (False, True)]
    with np.load(arena.file("predictions.npz")) as saved:
        np.testing.assert_allclose(saved["probabilities"], torch.stack(views).mean(0), atol=1e-4)
    plain = (views[0].argmax(1).numpy() == split.labels).mean()
    assert metrics_of(arena)["accuracy_single_view"] == pytest.approx(plain)


def test_the_tables_say_what_the_metrics_say(arena):
    with arena.file("confusion.tsv").open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    hits = sum(row["actual"] == row["predicted"] for row in rows)
    assert len(rows) == 30
    assert hits / 30 == pytest.approx(metrics_of(arena)["accuracy"])
    with arena.file("per_class.tsv").open() as stream:
        per_class = {row["class"]: float(row["f1"]) for row in csv.DictReader(stream, delimiter="\t")}
    assert per_class == {name: values["f1"] for name, values in metrics_of(arena)["per_class"].items()}


def test_the_verdict_can_be_missed_and_one_view_is_one_view(arena):
    changed = {**arena.parameters["evaluate"], "minimum_macro_f1": 1.0, "mirror": False}
    arena.run(evaluate, {**arena.parameters, "evaluate": changed}, **{**FILES[evaluate], **OUTPUTS})
    metrics = metrics_of(arena, "m.json")
    assert metrics["mva_met"] is (metrics["macro_f1"] == 1.0)
    assert metrics["accuracy"] == metrics["accuracy_single_view"]


def test_the_same_inputs_give_the_same_bytes(arena):
    arena.run(evaluate, **{**FILES[evaluate], **OUTPUTS})
    for option, name in OUTPUTS.items():
        assert arena.file(name).read_bytes() == arena.file(FILES[evaluate][option]).read_bytes(), option


def test_the_grid_shows_the_pictures_asked_for(arena):
    picture = cv2.imread(str(arena.file("predictions.png")))
    assert picture is not None
    assert picture.shape[0] > 100
    assert picture.std() > 10  # not an empty page


def test_a_model_of_other_classes_is_refused_and_nothing_is_written(arena):
    model, card = load_model(arena.file("model.safetensors"), CLASSES, 40)
    other = ModelCard(card.architecture, card.head, ("x", "y", "z"), card.preprocessing, 40)
    save_model(arena.file("strange_model.safetensors"), model, other)
    outputs = {option: f"none_{name}" for option, name in OUTPUTS.items()}
    with pytest.raises(WeightsError, match=r"trained for classes \['x', 'y', 'z'\]"):
        arena.run(evaluate, **{**FILES[evaluate], **outputs, "model": "strange_model.safetensors"})
    assert not list(arena.folder.glob("*none*"))
