"""evaluate's tables: training images, one view, hand-overs, calibration and risk say what the metrics say."""

import numpy as np
import pytest
import torch

from tests.stages.conftest import CLASSES
from tests.stages.test_evaluate import metrics_of, table_of
from transfer.data.resize import open_resized
from transfer.network.classifier import load_model
from transfer.network.images import Images


def test_plain_training_images_are_scored_by_one_view(arena):
    split = open_resized(arena.file("data/resized/train"))
    model, card = load_model(arena.file("models/model.safetensors"), split.classes, 40)
    with torch.no_grad():
        answers = model(Images(split.pixels, card.preprocessing, torch.device("cpu")).plain(slice(None))).argmax(1)
    metrics = metrics_of(arena)
    assert metrics["train_images"] == len(split.labels) == 45
    assert metrics["train_accuracy"] == pytest.approx((answers.numpy() == split.labels).mean())
    assert metrics["train_accuracy_ci_low"] < metrics["train_accuracy"] <= metrics["train_accuracy_ci_high"]


def test_hand_overs_have_the_shapes_types_and_ranges_that_they_should(arena):
    rows = {row["what"]: row for row in table_of(arena, "metrics/evaluate/hand_overs.tsv")}
    model, _ = load_model(arena.file("models/model.safetensors"), CLASSES)
    weights = sum(parameter.numel() for parameter in model.parameters())
    found = {what: (row["shape"], row["type"]) for what, row in rows.items()}
    assert found == {
        "test images or thumbnails": ("30 × 32 × 32 × 3", "uint8"),
        "test labels": ("30", "int64"),
        "test images": ("30 × 40 × 40 × 3", "uint8"),
        "weights": (str(weights), "float32"),
        "a batch of test images": ("16 × 3 × 40 × 40", "float32"),
        "probabilities of each view": ("2 × 30 × 3", "float64"),
        "probabilities": ("30 × 3", "float64"),
        "their sums": ("30", "float64"),
        "predicted classes": ("30", "int64"),
    }
    assert {row["finite"] for row in rows.values()} == {"True"}
    assert float(rows["their sums"]["least"]) == pytest.approx(1)
    assert float(rows["a batch of test images"]["least"]) < 0 < 1 < int(rows["test images"]["most"]) <= 255


def test_hand_overs_before_the_test_split_are_told_too(arena):
    tables = (table_of(arena, f"metrics/{stage}/hand_overs.tsv") for stage in ("subsample", "embed", "fine_tune"))
    rows = [row for table in tables for row in table]
    assert [(row["step"], row["what"], row["shape"], row["type"]) for row in rows] == [
        ("download → subsample", "images", "120 × 32 × 32 × 3", "uint8"),
        ("download → subsample", "labels", "120", "int64"),
        ("subsample → resize", "train images", "45 × 32 × 32 × 3", "uint8"),
        ("subsample → resize", "train labels", "45", "int64"),
        ("subsample → resize", "val images", "15 × 32 × 32 × 3", "uint8"),
        ("subsample → resize", "val labels", "15", "int64"),
        ("subsample → resize", "test images", "30 × 32 × 32 × 3", "uint8"),
        ("subsample → resize", "test labels", "30", "int64"),
        ("resize → embed, fine_tune", "train images", "45 × 40 × 40 × 3", "uint8"),
        ("resize → embed, fine_tune", "val images", "15 × 40 × 40 × 3", "uint8"),
        ("embed → backbone", "a train image", "1 × 3 × 40 × 40", "float32"),
        ("embed → train_head", "train features", "45 × 512", "float32"),
        ("embed → train_head", "val features", "15 × 512", "float32"),
        ("train_head → fine_tune", "head 0.bias", "16", "float32"),
        ("train_head → fine_tune", "head 0.weight", "16 × 512", "float32"),
        ("train_head → fine_tune", "head 2.bias", "3", "float32"),
        ("train_head → fine_tune", "head 2.weight", "3 × 16", "float32"),
        ("augmentation → network", "a batch of train images", "15 × 3 × 40 × 40", "float32"),
        ("augmentation → network", "their labels", "15", "int64"),
    ]
    assert {row["finite"] for row in rows} == {"True"}
    assert [(row["least"], row["most"]) for row in rows if row["what"] == "labels"] == [("0", "2")]


def test_answers_to_one_view_stand_beside_those_to_all(arena):
    rows = table_of(arena, "metrics/evaluate/confusion.tsv")
    assert np.mean([row["actual"] == row["one_view"] for row in rows]) == metrics_of(arena)["accuracy_single_view"]
    assert np.mean([row["actual"] == row["predicted"] for row in rows]) == metrics_of(arena)["accuracy"]


def test_tables_of_calibration_and_risk_say_what_the_metrics_say(arena):
    metrics = metrics_of(arena)
    for view, name in (("raw", "ece"), ("scaled", "ece_scaled")):
        rows = [row for row in table_of(arena, "metrics/evaluate/reliability.tsv") if row["view"] == view]
        assert sum(int(row["images"]) for row in rows) == 30
        gaps = [int(row["images"]) * abs(float(row["accuracy"]) - float(row["confidence"])) for row in rows]
        assert metrics["calibration"][name] == pytest.approx(sum(gaps) / 30)
    curve = table_of(arena, "metrics/evaluate/risk_coverage.tsv")
    assert len(curve) == 30
    assert metrics["risk_coverage"]["aurc"] == pytest.approx(np.mean([float(row["risk"]) for row in curve]))
    assert metrics["risk_coverage"]["accuracy_at_80"] == pytest.approx(1 - float(curve[23]["risk"]))
    assert 1 - metrics["accuracy"] == pytest.approx(float(curve[-1]["risk"]))
