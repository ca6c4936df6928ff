"""What phase 2 learns from: images, augmented anew at each step, in an order, under a loss."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from transfer.data.classes import clusters, confusion_counts
from transfer.data.resize import Resized
from transfer.devices.device import best_device
from transfer.devices.precision import Precision
from transfer.devices.processes import share, world_size
from transfer.network.backbones import Preprocessing
from transfer.network.classifier import Classifier
from transfer.network.images import Images
from transfer.network.inference import run_over
from transfer.runtime.errors import ParameterError
from transfer.training.augmentation import augment, build_mix, scaled_down
from transfer.training.config import Augment, FineTune, HardExamples
from transfer.training.hard_examples import Order, shuffled, weights_by_name, weights_from_recall, with_hard_batches
from transfer.training.plan import Task
from transfer.training.unfreezing import Unfreezing

LabelledImages = tuple[Images, Tensor]


def on_device(split: Resized, preprocessing: Preprocessing) -> LabelledImages:
    """A split's images and labels (N,)."""
    images = Images(split.pixels, preprocessing, best_device())
    return images, torch.from_numpy(split.labels).to(best_device())


def class_weights(config: FineTune, confused: np.ndarray, classes: tuple[str, ...]) -> Tensor | None:
    """Weights (classes,) of the loss, `confused` being the validation confusion matrix after phase 1."""
    if config.class_weights == "equal":
        return None
    if config.class_weights == "validation_recall":
        weights = weights_from_recall(confused)
    else:
        weights = weights_by_name(config.class_weights, classes, "train.fine_tune.class_weights")
    return torch.tensor(weights, dtype=torch.float32, device=best_device())


def order_of(hard: HardExamples, batch_size: int, labels: Tensor, confused: np.ndarray, suspects: np.ndarray) -> Order:
    """The order of training images: shuffled, from an epoch on with batches of classes that are confused."""
    if not hard.share:
        return shuffled(len(labels))
    left_out = torch.zeros(len(labels), dtype=torch.bool)
    left_out[torch.from_numpy(suspects)] = True
    return with_hard_batches(labels.cpu(), clusters(confused), batch_size, hard.share, hard.first_epoch, left_out)


def image_task(
    config: FineTune,
    augment_config: Augment,
    batch_size: int,
    model: Classifier,
    unfreezing: Unfreezing,
    train: LabelledImages,
    val: LabelledImages,
    classes: tuple[str, ...],
    rigid: list[int],
    suspects: np.ndarray,
    precision: Precision,
) -> Task:
    """What phase 2 learns from: augmented training images, judged on the validation split.

    `rigid` are labels whose images move as `augment.rigid` says, `suspects` training images that hard batches leave
    out. Raises ParameterError if small images would not be smaller, or a class weight names no class.
    """
    (images, labels), (val_images, val_labels) = train, val
    draw = draw_images(config, augment_config, images, labels, rigid, len(classes))

    def predict(candidate: nn.Module, label: str) -> Tensor:
        return run_over(candidate, val_images, None, label=label, precision=precision)

    def validate(candidate: nn.Module) -> tuple[float, float]:
        logits = predict(candidate, "validate")
        return float(F.cross_entropy(logits, val_labels)), float((logits.argmax(1) == val_labels).float().mean())

    # What phase 1 confuses; read only where it is asked for, since it takes a pass over the validation split.
    confused = np.zeros((len(classes), len(classes)), np.int64)
    if config.hard_examples.share or config.class_weights == "validation_recall":
        predicted = predict(model.eval(), "confusion").argmax(1)
        confused = confusion_counts(val_labels.cpu().numpy(), predicted.cpu().numpy(), len(classes))
    criterion = nn.CrossEntropyLoss(class_weights(config, confused, classes), label_smoothing=config.label_smoothing)
    order = order_of(config.hard_examples, batch_size, labels, confused, suspects)
    item, device = f"images of {images.size_px} px", best_device()
    return Task(item, len(images), draw, validate, device, precision, criterion, order, unfreezing.begin_epoch)


def draw_images(
    config: FineTune, augment_config: Augment, images: Images, labels: Tensor, rigid: list[int], classes: int
) -> Callable[[Tensor, int], tuple[Tensor, Tensor]]:
    """A function that gives training images at some indices in an epoch, freshly augmented, with their labels."""
    allowed, mixing = augment_config.allowed(), augment_config.mix
    is_rigid = torch.isin(labels, torch.tensor(rigid, dtype=labels.dtype, device=labels.device))
    mix = build_mix(mixing.mixup_alpha, mixing.cutmix_alpha, mixing.probability, classes)
    last_mixed = config.epochs_with(mixing.final_share_without)
    small, last_small = config.small_images.size_px, config.epochs_with(config.small_images.final_share_without)
    if small is not None and small >= images.size_px:
        raise ParameterError(
            f"train.fine_tune.small_images.size_px = {small}: not smaller than resize.size_px = {images.size_px}"
        )

    def draw(chosen: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        blend = mix if epoch <= last_mixed else None
        own = share(len(chosen), before=0 if blend is None else 1)  # an image is mixed with the one before it
        batch, targets = augment(images, chosen, allowed, ~is_rigid[chosen], own), labels[chosen[own]]
        if small is not None and epoch <= last_small:
            batch = scaled_down(batch, small)
        if blend is None:
            return batch, targets
        batch, targets = blend(batch, targets)
        return (batch, targets) if world_size() == 1 else (batch[1:], targets[1:])

    return draw
