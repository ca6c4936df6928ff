"""Phase 2: fine-tune the whole network with differential learning rates."""

from argparse import Namespace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from stages.curves import live_log, write_results
from stages.run import Group, fingerprint, run
from transfer.backbones import load_backbone
from transfer.device import best_device, choose_algorithms
from transfer.errors import DataError
from transfer.images import Images, open_pixels
from transfer.inference import run_over
from transfer.network import ModelCard, build_classifier, load_head, save_model
from transfer.optimizers import build_optimizer, parameter_groups, peak_rates
from transfer.saved_state import SavedState, only_one
from transfer.splits import load_labels
from transfer.training import Plan, Task, fit

VALIDATION_BATCH = 250  # forward only, so it changes nothing but memory


class FineTune(Group):
    epochs: int = Field(ge=0)
    optimizer: Literal["adamw", "sgd"]
    head_lr_multiple: float = Field(gt=0)
    momentum: float = Field(gt=0, lt=1)
    weight_decay: float = Field(ge=0)
    label_smoothing: float = Field(ge=0, lt=1)
    warm_up_fraction: float = Field(gt=0, lt=1)
    ema_decay: float = Field(ge=0, lt=1)
    patience: int = Field(ge=0)


class Augment(Group):
    mirror: bool
    shift_fraction: float = Field(ge=0, le=0.5)


class Train(Group):
    elsewhere = ("head",)
    deterministic: bool
    lr: float = Field(gt=0)
    batch_size: int = Field(ge=2)
    fine_tune: FineTune
    augment: Augment


class Parameters(Group):
    seed: int = Field(ge=0)
    train: Train


def make_task(train: Images, train_labels: Tensor, val: Images, val_labels: Tensor, augment: Augment) -> Task:
    margin_px = round(augment.shift_fraction * train.size_px)

    def draw(chosen: Tensor) -> tuple[Tensor, Tensor]:
        return train.augmented(chosen, margin_px, augment.mirror), train_labels[chosen]

    def validate(model: nn.Module) -> tuple[float, float]:
        logits = run_over(model, val, VALIDATION_BATCH, label="validate")
        return float(F.cross_entropy(logits, val_labels)), float((logits.argmax(1) == val_labels).float().mean())

    return Task(f"images of {train.size_px} px", len(train), draw, validate, train.pixels.device)


def main(parameters: Parameters, files: Namespace) -> None:
    train, wanted = parameters.train, parameters.train.fine_tune
    choose_algorithms(train.deterministic)
    device = best_device()
    backbone, head = load_backbone(files.backbone), load_head(files.head)
    train_labels, classes = load_labels(files.train_split)
    val_labels, _ = load_labels(files.val_split)
    if head.classes != classes:
        raise DataError(f"{files.head}: trained for {list(head.classes)}, the data has {list(classes)}; train it again")
    train_images = Images(open_pixels(files.train_pixels, len(train_labels)), backbone.preprocessing, device)
    val_images = Images(open_pixels(files.val_pixels, len(val_labels)), backbone.preprocessing, device)
    model = build_classifier(backbone, head).to(device)
    task = make_task(
        train_images,
        torch.from_numpy(train_labels).to(device),
        val_images,
        torch.from_numpy(val_labels).to(device),
        train.augment,
    )
    plan = Plan(
        wanted.epochs,
        train.batch_size,
        wanted.label_smoothing,
        wanted.patience,
        wanted.ema_decay,
        parameters.seed,
    )
    groups = parameter_groups(model.backbone, train.lr, wanted.weight_decay)
    groups += parameter_groups(model.head, train.lr * wanted.head_lr_multiple, wanted.weight_decay)
    optimizer = build_optimizer(wanted.optimizer, groups, wanted.momentum)
    scheduler = OneCycleLR(
        optimizer,
        peak_rates(groups),
        total_steps=max(plan.epochs * plan.steps_per_epoch(task.count), 1),
        pct_start=wanted.warm_up_fraction,
        cycle_momentum=False,
    )
    inputs = ["backbone", "head", "train_split", "val_split", "train_pixels", "val_pixels"]
    mark = fingerprint(parameters, [getattr(files, name) for name in inputs])
    saved = SavedState(files.state, "fine_tune", mark)
    first_epoch = head.epochs + 1
    with (
        only_one(files.model),
        only_one(saved.folder),
        live_log(files.state / "live" / "fine_tune", first_epoch) as log,
    ):
        fitted = fit(model, task, plan, optimizer, scheduler, saved, log, "fine_tune")
    card = ModelCard(backbone.architecture, head.shape, classes, backbone.preprocessing, train_images.size_px)
    save_model(files.model, model, card)
    write_results(files.metrics, files.curves, fitted, first_epoch)
    saved.discard()


if __name__ == "__main__":
    run(
        main,
        Parameters,
        inputs=["backbone", "head", "train_split", "train_pixels", "val_split", "val_pixels"],
        outputs=["model", "metrics", "curves"],
    )
