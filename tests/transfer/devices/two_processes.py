"""Do with other processes what tests/transfer/devices/test_processes.py does alone: `python two_processes.py FOLDER`.

Each process writes what it found to FOLDER/RANK.pt. In double precision, so that only rounding is left to differ.
"""

import itertools
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torchvision
import yaml
from sklearn.datasets import load_digits
from torch import Tensor, nn

from stages import fine_tune
from transfer.devices.processes import join, rank, share, synchronised
from transfer.network.backbones import Backbone, Preprocessing
from transfer.network.classifier import Classifier, HeadShape, build_feature_extractor, build_head
from transfer.network.images import Images
from transfer.network.inference import run_over
from transfer.runtime.errors import InterruptedRunError, ParameterError
from transfer.runtime.files import ROOT
from transfer.runtime.parameters import check_parameters
from transfer.training.loop import fit
from transfer.training.optimization import build_optimizer, build_schedule, parameter_groups
from transfer.training.plan import Fitted, Plan
from transfer.training.state import SavedState, seed_step
from transfer.training.task import image_task
from transfer.training.unfreezing import Unfreezing

CLASSES = ("airplane", "bird", "cat")
PLAIN = Preprocessing((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
TRAIN_IMAGES, BATCH, EPOCHS = 26, 8, 3
STOP_AT = 5  # the second step of the second epoch, of three steps each
FINE_TUNE = {
    "epochs": EPOCHS,
    "unfreeze": {"how": "gradual", "stages": 1, "layers": [5, 21], "epochs": [1, 2], "lr_factors": [1.0, 0.5]},
    "ema_decay": 0.5,
    "class_weights": {"cat": 2.0},
    "patience": 0,
}
AUGMENT = {
    "contrast": 0.2,
    "brightness": 0.2,
    "organic": {"degrees": 15.0, "scale": 0.1},
    "mix": {"mixup_alpha": 0.4, "cutmix_alpha": 1.0, "probability": 0.7, "final_share_without": 0.5},
}


class DoubleImages(Images):
    def normalised(self, pixels: Tensor) -> Tensor:
        return super().normalised(pixels).double()


def digits() -> tuple[DoubleImages, DoubleImages, Tensor, Tensor]:
    """Handwritten zeros, ones and twos of 32 pixels: images and labels to train on, and to validate with."""
    pixels, target = load_digits(n_class=len(CLASSES), return_X_y=True)
    small = np.rint(pixels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)[: TRAIN_IMAGES + 15]
    large = np.stack([cv2.resize(image, (32, 32), interpolation=cv2.INTER_CUBIC) for image in small])
    every, labels = np.repeat(large[..., None], 3, axis=3), torch.from_numpy(target[: len(small)].astype(np.int64))
    cut = TRAIN_IMAGES
    train, val = (DoubleImages(part, PLAIN, torch.device("cpu")) for part in (every[:cut], every[cut:]))
    return train, val, labels[:cut], labels[cut:]


def classifier() -> Classifier:
    """A small network, ShuffleNet, with random weights, and a head with batch normalisation and dropout."""
    seed_step(0, 0)
    state = torchvision.models.shufflenet_v2_x0_5().state_dict()
    extractor, features = build_feature_extractor(Backbone("shufflenet_v2_x0_5", state, PLAIN))
    return Classifier(extractor, build_head(HeadShape(features, (16,), True, 0.3, len(CLASSES)))).double()


def doubled(values: Tensor) -> Tensor:
    return values.double() if values.is_floating_point() else values


def train(folder: Path, synchronise: bool = True, stop_at: int = 0) -> tuple[Fitted, dict[str, Tensor]]:
    """Fine-tune as the stage does. The first process stops after the step `stop_at`, the others in the next one."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    content["train"]["fine_tune"].update(FINE_TUNE)
    content["train"]["augment"].update(AUGMENT)
    content["train"]["batch_size"] = BATCH
    wanted = check_parameters(fine_tune.Parameters, content).train
    model = classifier()
    if synchronise:
        model.backbone = synchronised(model.backbone)
    images, val_images, labels, val_labels = digits()
    unfreezing = Unfreezing(model.backbone, wanted.fine_tune.unfreeze.waves(model.backbone))
    data, val = (images, labels), (val_images, val_labels)
    what = model, unfreezing, data, val, CLASSES, [0], np.array([], np.int64), "float32"
    task = image_task(wanted.fine_tune, wanted.augment, wanted.batch_size, *what)
    steps, drawn = itertools.count(1), task.draw

    def draw(chosen: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        step = next(steps)
        if step == stop_at and rank() == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        if step == stop_at + 1 and stop_at:
            raise InterruptedRunError("the first process has stopped", signal.SIGTERM)
        batch, answers = drawn(chosen, epoch)
        return batch, doubled(answers)

    task = replace(task, draw=draw, criterion=task.criterion.double())
    plan = Plan(EPOCHS, BATCH, 0, wanted.fine_tune.ema_decay, 3)
    groups = unfreezing.groups(0.001, 0.05) + parameter_groups(model.head, 0.005, 0.05)
    optimizer = build_optimizer("adamw", groups, 0.9)
    schedule = build_schedule("onecycle", optimizer, EPOCHS * plan.steps_per_epoch(TRAIN_IMAGES), 0.3, 1)
    with SavedState(folder, "run", "0") as saved:
        fitted = fit(model, task, plan, optimizer, schedule, saved, lambda _epoch: None, "run")
    return fitted, model.state_dict()


def stopped(folder: Path) -> None:
    try:
        train(folder, stop_at=STOP_AT)
    except InterruptedRunError:
        return
    raise AssertionError("nothing stopped the run")


def outputs(batch_size: int) -> Tensor:
    """Of the network for the 15 validation images."""
    return run_over(classifier().eval(), digits()[1], batch_size)


def normalise(inputs: Tensor, wanted: Tensor, steps: int = 2) -> dict[str, Tensor]:
    """What batch normalisation makes of this process's share of images, and of the gradient of `wanted` · outputs."""
    norm = nn.BatchNorm2d(inputs.shape[1], dtype=torch.promote_types(inputs.dtype, torch.float32))
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, len(norm.weight)))
        norm.bias.copy_(torch.linspace(-1, 1, len(norm.bias)))
    norm = synchronised(nn.Sequential(norm))
    own = inputs[share(len(inputs))].clone().requires_grad_()
    made = torch.empty(0)
    for _ in range(steps):
        made = norm(own)
    (made * wanted[share(len(inputs))]).sum().backward()
    parameters = {f"gradient of {name}": value.grad for name, value in norm.named_parameters()}
    return {"outputs": made.detach(), "gradient": own.grad, **parameters, **norm.state_dict()}  # type: ignore[dict-item]


def batch_to_normalise(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(5)
    inputs = 3 + 2 * torch.randn(8, 6, 5, 5, generator=drawn, dtype=torch.float64)
    inputs = inputs * torch.arange(1, 9).view(-1, 1, 1, 1)
    return inputs.to(dtype), torch.randn(inputs.shape, generator=drawn).to(dtype)


def refused(count: int) -> str:
    try:
        share(count)
    except ParameterError as error:
        return str(error)
    return ""


def main(folder: Path) -> None:
    join()
    found: dict[str, Any] = {
        "normalised": {str(dtype): normalise(*batch_to_normalise(dtype)) for dtype in (torch.float64, torch.bfloat16)},
        "share": torch.arange(8)[share(8)],
        "share with the one before": torch.arange(8)[share(8, before=1)],
        "refused": refused(9),
        "outputs": {size: outputs(size) for size in (4, 100)},
    }
    for name, synchronise in (("trained", True), ("trained apart", False)):
        fitted, weights = train(folder / name, synchronise)
        found[name] = [vars(epoch) for epoch in fitted.history], weights
    stopped(folder / "stopped by two")
    fitted, weights = train(folder / "stopped by one")
    found["resumed"] = [vars(epoch) for epoch in fitted.history], weights
    torch.save(found, folder / f"{rank()}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
