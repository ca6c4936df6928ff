"""fine_tune: starts from the head, moves the backbone, its figures are the model's own, curves go on from phase 1."""

import json
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from stages import fine_tune, train_head
from tests.stages.conftest import CLASSES, FILES, Arena
from transfer.data.resize import open_resized
from transfer.network.backbones import load_backbone
from transfer.network.classifier import build_classifier, load_head, load_model, save_head
from transfer.network.images import Images
from transfer.runtime.errors import DataError, ParameterError, TrainingError
from transfer.training import fine_tuning

OUTPUTS = {"model": "again.safetensors", "metrics": "again.json", "curves": "again.tsv"}


def fine_tune_parameters(arena: Arena, **changes: object) -> dict:
    train = arena.parameters["train"]
    return {**arena.parameters, "train": {**train, "fine_tune": {**train["fine_tune"], **changes}}}


def test_no_epochs_give_the_classifier_of_phase_1_bit_for_bit(arena):
    arena.run(fine_tune, fine_tune_parameters(arena, epochs=0), **{**FILES[fine_tune], **OUTPUTS})
    model, _ = load_model(arena.file("again.safetensors"), CLASSES, 40)
    expected = build_classifier(
        load_backbone(arena.file("models/backbone.safetensors")), load_head(arena.file("models/head.safetensors"))
    )
    found = model.state_dict()
    different = [name for name, tensor in expected.state_dict().items() if not torch.equal(found[name], tensor)]
    assert different == []
    metrics = json.loads(arena.file("again.json").read_text())
    assert (metrics["epochs"], metrics["best_epoch"], "train" in metrics) == (0, 3, False)


def test_every_layer_moves(arena):
    model, _ = load_model(arena.file("models/model.safetensors"), CLASSES, 40)
    before = build_classifier(
        load_backbone(arena.file("models/backbone.safetensors")), load_head(arena.file("models/head.safetensors"))
    )
    still = [
        name
        for (name, old), new in zip(before.named_parameters(), model.parameters(), strict=True)
        if torch.equal(old, new)
    ]
    assert still == []


@pytest.mark.parametrize("resident", [True, False])
def test_the_same_inputs_give_the_same_bytes(arena, monkeypatch, resident: bool):
    """Also where the images do not fit on the device, and each batch is read from the file."""
    monkeypatch.setattr("transfer.network.images.fits", lambda _bytes, _device: resident)
    arena.run(fine_tune, **{**FILES[fine_tune], **OUTPUTS})
    assert arena.file("again.safetensors").read_bytes() == arena.file("models/model.safetensors").read_bytes()
    assert arena.file("again.json").read_bytes() == arena.file("metrics/fine_tune.json").read_bytes()


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_the_metrics_are_those_of_the_saved_model(arena, optimizer: str, ema_decay: float):
    parameters = fine_tune_parameters(arena, optimizer=optimizer, ema_decay=ema_decay)
    arena.run(fine_tune, parameters, **{**FILES[fine_tune], **OUTPUTS})
    val = open_resized(arena.file("data/resized/val"))
    model, card = load_model(arena.file("again.safetensors"), val.classes, 40)
    images, labels = Images(val.pixels, card.preprocessing, torch.device("cpu")), val.labels
    with torch.no_grad():
        logits = model(images.plain(slice(None)))
    metrics = json.loads(arena.file("again.json").read_text())
    assert metrics["val"]["loss"] == pytest.approx(float(F.cross_entropy(logits, torch.from_numpy(labels))), rel=1e-4)
    assert metrics["val"]["accuracy"] == pytest.approx(float((logits.argmax(1).numpy() == labels).mean()))


def test_curves_go_on_where_phase_1_stopped(arena):
    lines = arena.file("metrics/fine_tune.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["epoch", "3", "4", "5"]  # the start, then two epochs


def test_a_head_of_other_classes_is_refused(arena):
    head = load_head(arena.file("models/head.safetensors"))
    save_head(arena.file("strange.safetensors"), replace(head, classes=("a", "b", "c")))
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


def test_train_head_and_fine_tune_share_one_parameter_of_their_group(arena):
    head, tune = (set(group.model_fields) for group in (train_head.Train, fine_tuning.Train))
    assert head | tune == arena.parameters["train"].keys()
    assert head & tune == {"deterministic"}


def test_a_phase_2_that_never_beats_phase_1_is_not_shipped(arena):
    """At a rate that destroys what was learned, the head on the frozen backbone stays, and the files say so."""
    train = arena.parameters["train"]
    changed = {**train["fine_tune"], "keep": "best", "optimizer": "sgd", "schedule": "constant"}
    parameters = {**arena.parameters, "train": {**train, "lr": 0.5, "fine_tune": changed}}
    arena.run(fine_tune, parameters, **{**FILES[fine_tune], **OUTPUTS})
    before = build_classifier(
        load_backbone(arena.file("models/backbone.safetensors")), load_head(arena.file("models/head.safetensors"))
    ).state_dict()
    model, _ = load_model(arena.file("again.safetensors"), CLASSES, 40)
    assert [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])] == []
    metrics = json.loads(arena.file("again.json").read_text())
    assert metrics["best_epoch"] == 3
    assert metrics["val"]["accuracy"] == pytest.approx(val_accuracy(arena, before))


def val_accuracy(arena: Arena, state: dict[str, torch.Tensor]) -> float:
    val = open_resized(arena.file("data/resized/val"))
    model, card = load_model(arena.file("again.safetensors"), CLASSES, 40)
    model.load_state_dict(state)
    with torch.no_grad():
        logits = model(Images(val.pixels, card.preprocessing, torch.device("cpu")).plain(slice(None)))
    return float((logits.argmax(1).numpy() == val.labels).mean())


def changed_tensors(arena: Arena, **changes: object) -> set[str]:
    """Names of the model's tensors that a fine-tuning with these parameters changes."""
    arena.run(fine_tune, fine_tune_parameters(arena, **changes), **{**FILES[fine_tune], **OUTPUTS})
    model, _ = load_model(arena.file("again.safetensors"), CLASSES, 40)
    before = build_classifier(
        load_backbone(arena.file("models/backbone.safetensors")), load_head(arena.file("models/head.safetensors"))
    ).state_dict()
    return {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}


def unfreeze(arena: Arena, **changes: object) -> dict:
    return {**arena.parameters["train"]["fine_tune"]["unfreeze"], **changes}


def test_only_the_last_stage_and_the_head_move_if_that_is_asked(arena):
    changed = changed_tensors(arena, unfreeze=unfreeze(arena, how="stages", stages=1))
    assert {name.split(".")[1] for name in changed if name.startswith("backbone.")} == {"layer4"}
    assert any(name.startswith("head.") for name in changed)


def test_layers_move_in_waves(arena):
    """Two epochs: the top two convolutions from the first on, five from the second, ten never."""
    waves = unfreeze(arena, how="gradual", layers=[2, 5, 10], epochs=[1, 2, 3], lr_factors=[1.0, 0.5, 0.1])
    changed = changed_tensors(arena, unfreeze=waves, patience=0, schedule="constant", epochs=2)
    moved = {name.split(".")[1] for name in changed if name.startswith("backbone.")}
    assert moved <= {"layer4"}
    assert "backbone.layer4.1.conv2.weight" in changed


def test_frozen_statistics_stay_as_the_backbone_brought_them(arena):
    changed = changed_tensors(arena, batch_norm="frozen")
    assert "backbone.conv1.weight" in changed
    assert not [name for name in changed if "running_" in name or "num_batches" in name]


@pytest.mark.parametrize("schedule", ["cosine", "plateau", "constant"])
def test_each_schedule_leaves_its_rates_in_the_curves(arena, schedule: str):
    changed_tensors(arena, schedule=schedule, patience=0)
    header, *rows = [line.split("\t") for line in arena.file("again.tsv").read_text().splitlines()]
    rates = [float(row[header.index("lr")]) for row in rows[1:]]  # the start has none
    peak = arena.parameters["train"]["lr"]
    assert len(rates) == 2
    assert rates[0] <= peak
    assert rates[1] == pytest.approx(0 if schedule == "cosine" else rates[0], abs=1e-9)


def test_small_images_come_first_and_the_model_is_validated_at_full_size(arena):
    def weights_after(**small_images: object) -> dict[str, torch.Tensor]:
        parameters = fine_tune_parameters(arena, patience=0, keep="last", small_images=small_images)
        arena.run(fine_tune, parameters, **{**FILES[fine_tune], **OUTPUTS})
        model, card = load_model(arena.file("again.safetensors"), CLASSES, 40)
        assert card.size_px == 40
        return model.state_dict()

    name = "backbone.layer4.1.conv2.weight"
    never = weights_after(size_px=None, final_share_without=0.0)[name]
    all_full = weights_after(size_px=32, final_share_without=1.0)[name]
    one_small = weights_after(size_px=32, final_share_without=0.5)[name]
    both_small = weights_after(size_px=32, final_share_without=0.0)[name]
    assert torch.equal(all_full, never)
    assert not torch.equal(one_small, never)
    assert not torch.equal(one_small, both_small)


def everything(arena: Arena) -> dict:
    """All ideas at once."""
    train = arena.parameters["train"]
    turns = {"degrees": 15.0, "scale": 0.1}
    mix = {"mixup_alpha": 0.4, "cutmix_alpha": 1.0, "probability": 1.0, "final_share_without": 0.5}
    augment = {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "rigid": turns, "mix": mix}
    fine_tune = {
        "unfreeze": unfreeze(arena, how="gradual"),
        "batch_norm": "frozen",
        "stage_lr_decay": 0.8,
        "class_weights": "validation_recall",
        "schedule": "cosine",
        "ema_decay": 0.5,
        "small_images": {"size_px": 32, "final_share_without": 0.5},
        "hard_examples": {"share": 0.5, "first_epoch": 1},
    }
    return {
        **arena.parameters,
        "train": {
            **train,
            "augment": {**train["augment"], **augment, "organic": {"degrees": 90.0, "scale": 0.4}},
            "fine_tune": {**train["fine_tune"], **fine_tune},
        },
    }


def test_all_ideas_together_train_to_the_same_bytes_twice(arena):
    arena.run(fine_tune, everything(arena), **{**FILES[fine_tune], **OUTPUTS})
    first = [arena.file(name).read_bytes() for name in OUTPUTS.values()]
    arena.run(fine_tune, everything(arena), **{**FILES[fine_tune], **OUTPUTS})
    assert [arena.file(name).read_bytes() for name in OUTPUTS.values()] == first
    metrics = json.loads(first[1])
    assert metrics["epochs"] == 2
    assert 0 <= metrics["val"]["accuracy"] <= 1


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"class_weights": {"zebra": 2.0}},
            "train.fine_tune.class_weights: no class 'zebra'; the classes are",
        ),
        ({"unfreeze": {"layers": [5, 3]}}, "layers must grow"),
        ({"unfreeze": {"layers": [5]}}, "lists of the same length"),
        ({"unfreeze": {"layers": [3, 5], "epochs": [0, 1]}}, "count from 1"),
        ({"schedule": "linear"}, "train.fine_tune.schedule = 'linear'"),
        ({"hard_examples": {"share": 0.1, "first_epoch": 1}}, "needs batch_norm: frozen"),
        (
            {"small_images": {"size_px": 40, "final_share_without": 0.5}},
            "train.fine_tune.small_images.size_px = 40: not smaller than resize.size_px = 40",
        ),
    ],
)
def test_a_wrong_idea_is_one_line_that_names_it(arena, changes: dict, line: str):
    if "unfreeze" in changes:
        changes = {"unfreeze": unfreeze(arena, **({"epochs": [1, 2], "lr_factors": [1, 1]} | changes["unfreeze"]))}
    with pytest.raises(ParameterError) as caught:
        arena.run(fine_tune, fine_tune_parameters(arena, **changes), **{**FILES[fine_tune], **OUTPUTS})
    assert line in str(caught.value)
