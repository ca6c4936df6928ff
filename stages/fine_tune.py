"""Phase 2: fine-tune the whole network with differential learning rates."""

from argparse import Namespace
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from transfer.data.classes import class_labels, clusters, confusion_counts
from transfer.data.resize import Resized, open_resized
from transfer.devices.device import best_device, choose_algorithms
from transfer.devices.launch import run_on_devices
from transfer.devices.processes import leave_to_first, share, synchronised, world_size
from transfer.network.backbones import Preprocessing, load_backbone
from transfer.network.classifier import Classifier, ModelCard, build_classifier, load_head, save_model
from transfer.network.images import Images
from transfer.network.inference import run_over
from transfer.runtime.errors import DataError, ParameterError
from transfer.runtime.files import open_arrays
from transfer.runtime.parameters import Group, SharedGroup
from transfer.training.augmentation import Augmentation, Geometry, augment, build_mix, scaled_down
from transfer.training.hard_examples import Order, shuffled, weights_by_name, weights_from_recall, with_hard_batches
from transfer.training.log import live_log, write_results
from transfer.training.loop import Plan, Task, fit
from transfer.training.optimization import ScheduleName, build_optimizer, build_schedule, parameter_groups
from transfer.training.state import SavedState, fingerprint, only_one
from transfer.training.unfreezing import Unfreezing, Wave, last_stages

INPUTS = ["backbone", "head", "train", "val", "suspects"]
VALIDATION_BATCH = 250  # forward only, so it changes nothing but memory


class Unfreeze(Group):
    how: Literal["all", "stages", "gradual"]
    stages: int = Field(ge=1)
    layers: tuple[int, ...]
    epochs: tuple[int, ...]
    lr_factors: tuple[float, ...]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not len(self.layers) == len(self.epochs) == len(self.lr_factors) > 0:
            raise ValueError("layers, epochs and lr_factors must be lists of the same length, of one or more")
        if sorted(set(self.layers)) != list(self.layers) or sorted(self.epochs) != list(self.epochs):
            raise ValueError("layers must grow, and epochs must not fall, from one wave to the next")
        if self.layers[0] < 1 or self.epochs[0] < 1 or min(self.lr_factors) <= 0:
            raise ValueError("layers and epochs count from 1, and lr_factors are above 0")
        return self

    def waves(self, backbone: nn.Module) -> list[Wave]:
        if self.how == "all":
            return []
        if self.how == "stages":
            return [Wave(last_stages(backbone, self.stages), 1, 1.0)]
        return [Wave(*wave) for wave in zip(self.layers, self.epochs, self.lr_factors, strict=True)]


class HardExamples(Group):
    share: float = Field(ge=0, le=1)
    first_epoch: int = Field(ge=1)


class SmallImages(Group):
    size_px: int | None = Field(ge=32)
    last_epochs_without: int = Field(ge=0)


class FineTune(Group):
    epochs: int = Field(ge=0)
    unfreeze: Unfreeze
    batch_norm: Literal["training", "frozen"]
    optimizer: Literal["adamw", "sgd"]
    head_lr_multiple: float = Field(gt=0)
    stage_lr_decay: float = Field(gt=0, le=1)
    momentum: float = Field(gt=0, lt=1)
    weight_decay: float = Field(ge=0)
    label_smoothing: float = Field(ge=0, lt=1)
    class_weights: Literal["equal", "validation_recall"] | dict[str, float]
    schedule: ScheduleName
    warm_up_fraction: float = Field(gt=0, lt=1)
    plateau_patience: int = Field(ge=0)
    ema_decay: float = Field(ge=0, lt=1)
    patience: int = Field(ge=0)
    keep: Literal["best", "last"]
    small_images: SmallImages
    hard_examples: HardExamples


class Turns(Group):
    degrees: float = Field(ge=0, le=180)
    scale: float = Field(ge=0, le=1)


class Mix(Group):
    mixup_alpha: float = Field(ge=0)
    cutmix_alpha: float = Field(ge=0)
    probability: float = Field(ge=0, le=1)
    last_epochs_without: int = Field(ge=0)


class Augment(Group):
    mirror: bool
    shift_fraction: float = Field(ge=0, le=0.5)
    brightness: float = Field(ge=0, le=1)
    contrast: float = Field(ge=0, le=1)
    saturation: float = Field(ge=0, le=1)
    rigid: Turns
    organic: Turns
    mix: Mix

    def allowed(self) -> Augmentation:
        rigid, organic = (Geometry(group.degrees, group.scale) for group in (self.rigid, self.organic))
        return Augmentation(
            self.mirror, self.shift_fraction, self.brightness, self.contrast, self.saturation, rigid, organic
        )


class Train(SharedGroup):
    deterministic: bool
    lr: float = Field(gt=0)
    batch_size: int = Field(ge=2)
    fine_tune: FineTune
    augment: Augment


class Groups(Group):
    rigid: tuple[str, ...]


class Parameters(Group):
    seed: int = Field(ge=0)
    groups: Groups
    train: Train


def on_device(split: Resized, preprocessing: Preprocessing) -> tuple[Images, Tensor]:
    """A split's images and labels."""
    images = Images(split.pixels, preprocessing, best_device())
    return images, torch.from_numpy(split.labels).to(best_device())


def class_weights(wanted: FineTune, confused: np.ndarray, classes: tuple[str, ...]) -> Tensor | None:
    """Weights (classes,) of the loss, `confused` being the validation confusion matrix after phase 1."""
    if wanted.class_weights == "equal":
        return None
    if wanted.class_weights == "validation_recall":
        weights = weights_from_recall(confused)
    else:
        weights = weights_by_name(wanted.class_weights, classes, "train.fine_tune.class_weights")
    return torch.tensor(weights, dtype=torch.float32, device=best_device())


def order_of(train: Train, labels: Tensor, confused: np.ndarray, suspects: Path) -> Order:
    """The order of training images: shuffled, from an epoch on with batches of classes that are confused."""
    hard = train.fine_tune.hard_examples
    if not hard.share:
        return shuffled(len(labels))
    left_out = torch.zeros(len(labels), dtype=torch.bool)
    with open_arrays(suspects, "places") as arrays:
        left_out[torch.from_numpy(arrays["places"])] = True
    return with_hard_batches(labels.cpu(), clusters(confused), train.batch_size, hard.share, hard.first_epoch, left_out)


def make_task(
    train: Train,
    rigid: list[int],
    model: Classifier,
    unfreezing: Unfreezing,
    data: tuple[Images, Tensor],
    val: tuple[Images, Tensor],
    classes: tuple[str, ...],
    suspects: Path,
) -> Task:
    (images, labels), (val_images, val_labels), wanted = data, val, train.fine_tune
    allowed, mixing = train.augment.allowed(), train.augment.mix
    is_rigid = torch.isin(labels, torch.tensor(rigid, dtype=labels.dtype, device=labels.device))
    mix = build_mix(mixing.mixup_alpha, mixing.cutmix_alpha, mixing.probability, len(classes))
    last_mixed = wanted.epochs - mixing.last_epochs_without
    small, last_small = wanted.small_images.size_px, wanted.epochs - wanted.small_images.last_epochs_without
    if small is not None and small >= images.size_px:
        raise ParameterError(
            f"train.fine_tune.small_images.size_px = {small}: not smaller than resize.size_px = {images.size_px}"
        )

    def draw(chosen: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        blend = mix if epoch <= last_mixed else None
        own = share(len(chosen), before=0 if blend is None else 1)  # an image is mixed with the one before it
        batch, answers = augment(images, chosen, allowed, ~is_rigid[chosen], own), labels[chosen[own]]
        if small is not None and epoch <= last_small:
            batch = scaled_down(batch, small)
        if blend is None:
            return batch, answers
        batch, answers = blend(batch, answers)
        return (batch, answers) if world_size() == 1 else (batch[1:], answers[1:])

    def validate(candidate: nn.Module) -> tuple[float, float]:
        logits = run_over(candidate, val_images, VALIDATION_BATCH, label="validate")
        return float(F.cross_entropy(logits, val_labels)), float((logits.argmax(1) == val_labels).float().mean())

    # What phase 1 confuses; read only where it is asked for, since it takes a pass over the validation split.
    confused = np.zeros((len(classes), len(classes)), np.int64)
    if wanted.hard_examples.share or wanted.class_weights == "validation_recall":
        answered = run_over(model.eval(), val_images, VALIDATION_BATCH, label="confusion").argmax(1)
        confused = confusion_counts(val_labels.cpu().numpy(), answered.cpu().numpy(), len(classes))
    weights = class_weights(wanted, confused, classes)
    criterion = nn.CrossEntropyLoss(weights, label_smoothing=wanted.label_smoothing)
    order = order_of(train, labels, confused, suspects)
    item = f"images of {images.size_px} px"
    return Task(item, len(images), draw, validate, best_device(), criterion, order, unfreezing.begin_epoch)


def main(parameters: Parameters, files: Namespace) -> None:
    train, wanted = parameters.train, parameters.train.fine_tune
    choose_algorithms(best_device(), train.deterministic)
    backbone, head = load_backbone(files.backbone), load_head(files.head)
    split = open_resized(files.train)
    data, classes = on_device(split, backbone.preprocessing), split.classes
    val = on_device(open_resized(files.val), backbone.preprocessing)
    if head.classes != classes:
        raise DataError(f"{files.head}: trained for {list(head.classes)}, the data has {list(classes)}; train it again")
    rigid = class_labels(parameters.groups.rigid, classes, "groups.rigid")
    model = build_classifier(backbone, head).to(best_device())
    model.backbone = synchronised(model.backbone)
    waves = wanted.unfreeze.waves(model.backbone)
    unfreezing = Unfreezing(model.backbone, waves, wanted.stage_lr_decay, wanted.batch_norm == "frozen")
    task = make_task(train, rigid, model, unfreezing, data, val, classes, files.suspects)
    plan = Plan(wanted.epochs, train.batch_size, wanted.patience, wanted.ema_decay, parameters.seed, wanted.keep)
    groups = unfreezing.groups(train.lr, wanted.weight_decay)
    groups += parameter_groups(model.head, train.lr * wanted.head_lr_multiple, wanted.weight_decay)
    optimizer = build_optimizer(wanted.optimizer, groups, wanted.momentum)
    steps = plan.epochs * plan.steps_per_epoch(task.count)
    schedule = build_schedule(wanted.schedule, optimizer, steps, wanted.warm_up_fraction, wanted.plateau_patience)
    saved = SavedState(files.state, "fine_tune", fingerprint(parameters, [getattr(files, name) for name in INPUTS]))
    first_epoch = head.epochs + 1
    with only_one(files.model), only_one(saved.folder), saved:
        with live_log(files.state / "live" / "fine_tune", first_epoch) as log:
            fitted = fit(model, task, plan, optimizer, schedule, saved, log, "fine_tune")
        leave_to_first()
        how = data[0].size_px, split.interpolation
        card = ModelCard(backbone.architecture, head.shape, classes, backbone.preprocessing, *how)
        save_model(files.model, model, card)
        write_results(files.metrics, files.curves, fitted, first_epoch)
        saved.discard()


if __name__ == "__main__":
    run_on_devices(main, Parameters, inputs=INPUTS, outputs=["model", "metrics", "curves"], parallel=True)
