"""Phase 2 before its first step: its parameters, and what they make of the files that it reads."""

from argparse import Namespace
from dataclasses import dataclass

from pydantic import Field
from torch.optim import Optimizer

from transfer.data.classes import Groups, known_labels
from transfer.data.resize import Resized, open_resized
from transfer.devices.device import best_device, choose_algorithms
from transfer.devices.precision import Precision, PrecisionChoice, resolve_precision
from transfer.devices.processes import synchronised
from transfer.network.backbones import Backbone, load_backbone
from transfer.network.classifier import Classifier, Head, build_classifier, load_head
from transfer.runtime.errors import DataError
from transfer.runtime.files import open_arrays
from transfer.runtime.parameters import Group, SharedGroup
from transfer.training.config import Augment, FineTune
from transfer.training.optimization import build_optimizer, parameter_groups
from transfer.training.plan import Task
from transfer.training.task import image_task, on_device
from transfer.training.unfreezing import Unfreezing

INPUTS = ["backbone", "head", "train", "val", "suspects"]


class Train(SharedGroup):
    deterministic: bool
    precision: PrecisionChoice
    lr: float = Field(gt=0)
    batch_size: int = Field(ge=2)
    fine_tune: FineTune
    augment: Augment


class Parameters(Group):
    seed: int = Field(ge=0)
    groups: Groups
    train: Train


@dataclass(frozen=True)
class Prepared:
    """What phase 2 trains, on what and how, before its first step."""

    model: Classifier
    task: Task
    optimizer: Optimizer
    precision: Precision
    backbone: Backbone
    head: Head
    split: Resized


def prepare(parameters: Parameters, files: Namespace) -> Prepared:
    """Build the model from the backbone and phase 1's head, and read the images."""
    train, config, device = parameters.train, parameters.train.fine_tune, best_device()
    choose_algorithms(device, train.deterministic)
    precision = resolve_precision(train.precision, device)
    backbone, head = load_backbone(files.backbone), load_head(files.head)
    split, val = open_resized(files.train), open_resized(files.val)
    classes = split.classes
    if head.classes != classes:
        raise DataError(f"{files.head}: trained for {list(head.classes)}, the data has {list(classes)}; train it again")
    rigid = known_labels(parameters.groups.rigid, classes, "groups.rigid")
    with open_arrays(files.suspects, "places") as arrays:
        suspects = arrays["places"]
    model = build_classifier(backbone, head).to(device)
    model.backbone = synchronised(model.backbone)
    waves = config.unfreeze.waves(model.backbone)
    unfreezing = Unfreezing(model.backbone, waves, config.stage_lr_decay, config.batch_norm == "frozen")
    data, val_data = (on_device(part, backbone.preprocessing) for part in (split, val))
    what = model, unfreezing, data, val_data, classes, rigid, suspects, precision
    task = image_task(config, train.augment, train.batch_size, *what)
    groups = unfreezing.groups(train.lr, config.weight_decay)
    groups += parameter_groups(model.head, train.lr * config.head_lr_multiple, config.weight_decay)
    optimizer = build_optimizer(config.optimizer, groups, config.momentum)
    return Prepared(model, task, optimizer, precision, backbone, head, split)
