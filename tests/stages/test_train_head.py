"""train_head: the backbone stays as it is bit for bit, figures are the head's own, curves are whole and clockless."""

import json

import pytest
import torch
from torch.nn import functional as F

from stages import train_head
from tests.stages.conftest import FILES
from transfer.features import load_features
from transfer.network import build_head, load_head


def test_the_backbone_is_bit_identical_before_and_after(arena):
    before = arena.digests()
    arena.run(train_head, **FILES[train_head])
    assert arena.digests() == before  # the head too: the same inputs give the same bytes


def test_the_metrics_are_those_of_the_saved_head(arena):
    head, val = load_head(arena.file("head.safetensors")), load_features(arena.file("val_features.npz"))
    model = build_head(head.shape).eval()
    model.load_state_dict(head.state)
    logits, labels = model(torch.from_numpy(val.plain)), torch.from_numpy(val.labels)
    metrics = json.loads(arena.file("train_head.json").read_text())
    assert metrics["val"]["loss"] == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-5)
    assert metrics["val"]["accuracy"] == pytest.approx(float((logits.argmax(1) == labels).float().mean()))
    assert metrics["epochs"] == head.epochs == 3
    assert 1 <= metrics["best_epoch"] <= 3


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("name", ["loss", "accuracy"])
def test_curves_have_a_line_an_epoch_and_nothing_else(arena, split: str, name: str):
    lines = arena.file(f"train_head/plots/metrics/{split}/{name}.tsv").read_text().splitlines()
    assert lines[0] == f"step\t{name}"
    assert [line.split("\t")[0] for line in lines[1:]] == ["1", "2", "3"]


def test_a_finished_run_leaves_no_state(arena):
    assert not list(arena.file("state").glob("train_head-*"))
