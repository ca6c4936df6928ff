"""Phase 1: train a new head on the frozen backbone's features.

The backbone is not even loaded, so not a bit of it can change.
"""

from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from transfer.data.features import Features, draw_views, load_features
from transfer.devices.device import best_device, choose_algorithms
from transfer.devices.launch import run_on_devices
from transfer.network.classifier import Head, HeadShape, build_head, save_head
from transfer.runtime.files import write_tsv
from transfer.runtime.kept import fingerprint
from transfer.runtime.parameters import Group, SharedGroup
from transfer.training.log import live_log, write_results
from transfer.training.loop import fit
from transfer.training.optimization import (
    ScheduleName,
    build_optimizer,
    build_schedule,
    epochs_without_gain,
    parameter_groups,
)
from transfer.training.plan import Plan, Task
from transfer.training.state import SavedState, only_one, seed_step

INPUTS = ["train", "val"]
FIRST_EPOCH = 1
MOMENTUM, WARM_UP_FRACTION, PLATEAU_PATIENCE = 0.9, 0.3, 2  # of a phase that takes seconds


class HeadParameters(Group):
    hidden: tuple[int, ...]
    batch_norm: bool
    dropout: float = Field(ge=0, lt=1)
    epochs: int = Field(ge=1)
    schedule: ScheduleName
    lr: float = Field(gt=0)
    batch_size: int = Field(ge=2)
    weight_decay: float = Field(ge=0)
    label_smoothing: float = Field(ge=0, lt=1)
    patience: int = Field(ge=0)


class Train(SharedGroup):
    deterministic: bool
    head: HeadParameters


class Parameters(Group):
    seed: int = Field(ge=0)
    train: Train


def make_task(train: Features, val: Features, device: torch.device, label_smoothing: float) -> Task:
    plain, mirrored, labels = (torch.from_numpy(a).to(device) for a in (train.plain, train.mirrored, train.labels))
    val_plain, val_labels = (torch.from_numpy(a).to(device) for a in (val.plain, val.labels))

    def draw(chosen: Tensor, _epoch: int) -> tuple[Tensor, Tensor]:
        return draw_views(plain, mirrored, chosen), labels[chosen]

    @torch.no_grad()
    def validate(head: nn.Module) -> tuple[float, float]:
        logits = head(val_plain)
        return float(F.cross_entropy(logits, val_labels)), float((logits.argmax(1) == val_labels).float().mean())

    criterion = nn.CrossEntropyLoss(label_smoothing=label_smoothing)
    return Task(f"features of width {plain.shape[1]}", len(labels), draw, validate, device, criterion=criterion)


@torch.no_grad()
def write_answers(path: Path, head: nn.Module, val: Features, device: torch.device) -> None:
    """Write the actual and the predicted class of every validation image, to be compared with phase 2's one by one."""
    named = np.array(val.classes)
    answers = head.eval()(torch.from_numpy(val.plain).to(device)).argmax(1).cpu().numpy()
    rows = zip(named[val.labels], named[answers], strict=True)
    write_tsv(path, [{"actual": actual, "predicted": predicted} for actual, predicted in rows])


def main(parameters: Parameters, files: Namespace) -> None:
    config, seed = parameters.train.head, parameters.seed
    train, val = load_features(files.train), load_features(files.val)
    device = best_device()
    choose_algorithms(device, parameters.train.deterministic)
    shape = HeadShape(train.plain.shape[1], config.hidden, config.batch_norm, config.dropout, len(train.classes))
    seed_step(seed, -1)
    head = build_head(shape).to(device)
    patience = epochs_without_gain(config.schedule, config.patience)
    plan = Plan(config.epochs, config.batch_size, patience, ema_decay=0.0, seed=seed)
    task = make_task(train, val, device, config.label_smoothing)
    optimizer = build_optimizer("adamw", parameter_groups(head, config.lr, config.weight_decay), MOMENTUM)
    steps = plan.epochs * plan.steps_per_epoch(task.count)
    schedule = build_schedule(config.schedule, optimizer, steps, WARM_UP_FRACTION, PLATEAU_PATIENCE)
    saved = SavedState(files.state, "train_head", fingerprint(parameters, [getattr(files, name) for name in INPUTS]))
    with only_one(files.head), only_one(saved.folder), saved:
        with live_log(files.state / "live/train_head", FIRST_EPOCH) as log:
            fitted = fit(head, task, plan, optimizer, schedule, saved, log, "train_head")
        save_head(files.head, Head(shape, head.state_dict(), train.classes, len(fitted.history)))
        write_results(files.metrics, files.curves, fitted, FIRST_EPOCH)
        write_answers(files.plots / "val_confusion.tsv", head, val, device)
        saved.discard()


if __name__ == "__main__":
    run_on_devices(main, Parameters, inputs=INPUTS, outputs=["head", "metrics", "curves", "plots"])
