"""evaluate's tables: training images, one view, hand-overs, calibration and risk say what the metrics say."""

import numpy as np
import pytest
import torch

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
    found = {what: (row["shape"], row["type"]) for what, row in rows.items()}
    assert found == {
        "images or thumbnails": ("30 × 32 × 32 × 3", "uint8"),
        "labels": ("30", "int64"),
        "images resized": ("30 × 40 × 40 × 3", "uint8"),
        "a batch as the network gets it": ("16 × 3 × 40 × 40", "float32"),
        "probabilities of each view": ("2 × 30 × 3", "float64"),
        "probabilities": ("30 × 3", "float64"),
        "their sums": ("30", "float64"),
        "predicted classes": ("30", "int64"),
    }
    assert {row["finite"] for row in rows.values()} == {"True"}
    assert float(rows["their sums"]["least"]) == pytest.approx(1)
    assert float(rows["a batch as the network gets it"]["least"]) < 0 < 1 < int(rows["images resized"]["most"]) <= 255


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
