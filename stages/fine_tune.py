"""Phase 2: fine-tune the whole network with differential learning rates."""

from argparse import Namespace

from pydantic import Field

from transfer.data.classes import Groups, known_labels
from transfer.data.resize import open_resized
from transfer.devices.device import best_device, choose_algorithms
from transfer.devices.launch import run_on_devices
from transfer.devices.precision import PrecisionChoice, resolve_precision
from transfer.devices.processes import leave_to_first, synchronised
from transfer.network.backbones import load_backbone
from transfer.network.classifier import ModelCard, build_classifier, load_head, save_model
from transfer.runtime.errors import DataError
from transfer.runtime.files import open_arrays
from transfer.runtime.kept import fingerprint
from transfer.runtime.parameters import Group, SharedGroup
from transfer.training.config import Augment, FineTune
from transfer.training.log import live_log, write_results
from transfer.training.loop import fit
from transfer.training.optimization import build_optimizer, build_schedule, epochs_without_gain, parameter_groups
from transfer.training.plan import Plan
from transfer.training.state import SavedState, only_one
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


def main(parameters: Parameters, files: Namespace) -> None:
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
    patience = epochs_without_gain(config.schedule, config.patience)
    plan = Plan(config.epochs, train.batch_size, patience, config.ema_decay, parameters.seed, config.keep, True)
    groups = unfreezing.groups(train.lr, config.weight_decay)
    groups += parameter_groups(model.head, train.lr * config.head_lr_multiple, config.weight_decay)
    optimizer = build_optimizer(config.optimizer, groups, config.momentum)
    steps = plan.epochs * plan.steps_per_epoch(task.count)
    schedule = build_schedule(config.schedule, optimizer, steps, config.warm_up_fraction, config.plateau_patience)
    saved = SavedState(files.state, "fine_tune", fingerprint(parameters, [getattr(files, name) for name in INPUTS]))
    first_epoch = head.epochs + 1
    with only_one(files.model), only_one(saved.folder), saved:
        with live_log(files.state / "live/fine_tune", first_epoch) as log:
            fitted = fit(model, task, plan, optimizer, schedule, saved, log, "fine_tune")
        leave_to_first()
        how = split.pixels.shape[1], split.interpolation, precision
        card = ModelCard(backbone.architecture, head.shape, classes, backbone.preprocessing, *how)
        save_model(files.model, model, card)
        write_results(files.metrics, files.curves, fitted, first_epoch, precision=precision)
        saved.discard()


if __name__ == "__main__":
    run_on_devices(main, Parameters, inputs=INPUTS, outputs=["model", "metrics", "curves"], parallel=True)
