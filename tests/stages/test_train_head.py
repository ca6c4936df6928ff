"""train_head: the backbone stays as it is bit for bit, figures are the head's own, curves are whole and clockless."""

import csv
import json

import pytest
import torch
from torch.nn import functional as F

from stages import train_head
from tests.stages.conftest import FILES
from transfer.data.features import load_features
from transfer.network.classifier import build_head, load_head


def test_the_backbone_is_bit_identical_before_and_after(arena):
    before = arena.digests()
    arena.run(train_head, **FILES[train_head])
    assert arena.digests() == before  # the head too: the same inputs give the same bytes


def test_the_metrics_are_those_of_the_saved_head(arena):
    head, val = load_head(arena.file("models/head.safetensors")), load_features(arena.file("data/features/val.npz"))
    model = build_head(head.shape).eval()
    model.load_state_dict(head.state)
    logits, labels = model(torch.from_numpy(val.plain)), torch.from_numpy(val.labels)
    metrics = json.loads(arena.file("metrics/train_head.json").read_text())
    assert metrics["val"]["loss"] == pytest.approx(float(F.cross_entropy(logits, labels).detach()), rel=1e-5)
    assert metrics["val"]["accuracy"] == pytest.approx(float((logits.argmax(1) == labels).float().mean()))
    with arena.file("metrics/train_head/val_confusion.tsv").open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [val.classes.index(row["actual"]) for row in rows] == val.labels.tolist()
    assert [val.classes.index(row["predicted"]) for row in rows] == logits.argmax(1).tolist()
    assert metrics["epochs"] == head.epochs == 3
    assert 1 <= metrics["best_epoch"] <= 3


def test_curves_have_a_line_an_epoch_and_agree_with_the_metrics(arena):
    with arena.file("metrics/train_head.tsv").open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert list(rows[0]) == ["epoch", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy"]
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    metrics = json.loads(arena.file("metrics/train_head.json").read_text())
    best = rows[metrics["best_epoch"] - 1]
    for split in ("train", "val"):
        assert {name: float(best[f"{split}_{name}"]) for name in ("loss", "accuracy")} == metrics[split]


def test_a_finished_run_leaves_no_state(arena):
    assert not list(arena.file("state").glob("train_head-*"))
