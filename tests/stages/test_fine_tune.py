"""fine_tune: starts from the head, moves the backbone, its figures are the model's own, curves go on from phase 1."""

import json

import pytest
import torch
from torch.nn import functional as F

from stages import fine_tune, train_head
from tests.stages.conftest import FILES, Arena
from transfer.backbones import load_backbone
from transfer.errors import DataError, TrainingError
from transfer.images import Images, open_pixels
from transfer.network import build_classifier, load_head, load_model, save_head
from transfer.splits import load_labels

OUTPUTS = {"model": "again.safetensors", "metrics": "again.json", "curves": "again.tsv"}


def fine_tune_parameters(arena: Arena, **changes: object) -> dict:
    train = arena.parameters["train"]
    return {**arena.parameters, "train": {**train, "fine_tune": {**train["fine_tune"], **changes}}}


def test_no_epochs_give_the_classifier_of_phase_1_bit_for_bit(arena):
    arena.run(fine_tune, fine_tune_parameters(arena, epochs=0), **{**FILES[fine_tune], **OUTPUTS})
    model, _ = load_model(arena.file("again.safetensors"), load_labels(arena.file("val.npz"))[1], 40)
    expected = build_classifier(
        load_backbone(arena.file("backbone.safetensors")), load_head(arena.file("head.safetensors"))
    )
    found = model.state_dict()
    different = [name for name, tensor in expected.state_dict().items() if not torch.equal(found[name], tensor)]
    assert different == []
    assert json.loads(arena.file("again.json").read_text()) == {"epochs": 0, "best_epoch": 3}


def test_every_layer_moves(arena):
    model, _ = load_model(arena.file("model.safetensors"), load_labels(arena.file("val.npz"))[1], 40)
    before = build_classifier(
        load_backbone(arena.file("backbone.safetensors")), load_head(arena.file("head.safetensors"))
    )
    still = [
        name
        for (name, old), new in zip(before.named_parameters(), model.parameters(), strict=True)
        if torch.equal(old, new)
    ]
    assert still == []


def test_the_same_inputs_give_the_same_bytes(arena):
    arena.run(fine_tune, **{**FILES[fine_tune], **OUTPUTS})
    assert arena.file("again.safetensors").read_bytes() == arena.file("model.safetensors").read_bytes()
    assert arena.file("again.json").read_bytes() == arena.file("fine_tune.json").read_bytes()


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_the_metrics_are_those_of_the_saved_model(arena, optimizer: str, ema_decay: float):
    parameters = fine_tune_parameters(arena, optimizer=optimizer, ema_decay=ema_decay)
    arena.run(fine_tune, parameters, **{**FILES[fine_tune], **OUTPUTS})
    labels, classes = load_labels(arena.file("val.npz"))
    model, card = load_model(arena.file("again.safetensors"), classes, 40)
    images = Images(open_pixels(arena.file("val.npy"), len(labels)), card.preprocessing, torch.device("cpu"))
    with torch.no_grad():
        logits = model(images.plain(slice(None)))
    metrics = json.loads(arena.file("again.json").read_text())
    assert metrics["val"]["loss"] == pytest.approx(float(F.cross_entropy(logits, torch.from_numpy(labels))), rel=1e-4)
    assert metrics["val"]["accuracy"] == pytest.approx(float((logits.argmax(1).numpy() == labels).mean()))


def test_curves_go_on_where_phase_1_stopped(arena):
    lines = arena.file("fine_tune.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["epoch", "4", "5"]


def test_a_head_of_other_classes_is_refused(arena):
    head = load_head(arena.file("head.safetensors"))
    save_head(arena.file("strange.safetensors"), type(head)(head.shape, head.state, ("a", "b", "c"), head.epochs))
    with pytest.raises(
        DataError, match=r"strange\.safetensors: trained for \['a', 'b', 'c'\], the data has \['airplane'"
    ):
        arena.run(
            fine_tune, **{**FILES[fine_tune], **OUTPUTS, "head": "strange.safetensors", "model": "none.safetensors"}
        )
    assert not list(arena.folder.glob("*none*"))


def test_a_rate_that_breaks_training_ends_in_one_line_and_leaves_no_output(arena):
    train = arena.parameters["train"]
    parameters = {**arena.parameters, "train": {**train, "lr": 1e30}}
    outputs = {"model": "broken.safetensors", "metrics": "broken.json", "curves": "broken.tsv"}
    with pytest.raises(TrainingError, match=r"loss is (nan|inf) at epoch 1, step \d, learning rate"):
        arena.run(fine_tune, parameters, **{**FILES[fine_tune], **outputs})
    assert [path.name for path in arena.folder.glob("*broken*")] == [".broken.safetensors.lock"]


def test_train_head_and_fine_tune_share_one_parameter_of_their_group():
    head = set(train_head.Train.model_fields) | set(train_head.Train.elsewhere)
    tune = set(fine_tune.Train.model_fields) | set(fine_tune.Train.elsewhere)
    assert head == tune
    assert set(train_head.Train.model_fields) & set(fine_tune.Train.model_fields) == {"deterministic"}
