"""timm's training, by the functions that its train.py is made of; the script itself is not in the installed package.

https://github.com/huggingface/pytorch-image-models/blob/main/train.py
"""

import timm
import torch
from timm.data import create_loader
from timm.loss import LabelSmoothingCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import AverageMeter, accuracy, random_seed
from torch import nn

from benchmarks.peers.dataset import Split
from benchmarks.peers.measure import Stopwatch, begin
from benchmarks.settings import Settings


def loaders(settings: Settings):
    shared = {
        "input_size": (3, settings.size_px, settings.size_px),
        "batch_size": settings.batch_size,
        "interpolation": "bicubic",
        "num_workers": settings.workers,
        "device": torch.device("cpu"),
    }
    # --scale 0.77 1 --ratio 1 1 --color-jitter 0: windows of 7/8 of the side and more, as far as the others shift.
    train = create_loader(
        Split(settings.train), is_training=True, scale=(0.77, 1.0), ratio=(1.0, 1.0), color_jitter=0.0, **shared
    )
    return train, create_loader(Split(settings.val), crop_pct=1.0, **shared)


def amp(settings: Settings) -> torch.autocast:
    """As train.py's --amp --amp-dtype bfloat16."""
    return torch.autocast("cpu", torch.bfloat16, enabled=settings.bfloat16)


def train_one_epoch(settings: Settings, epoch: int, model: nn.Module, loader, optimizer, loss_fn, lr_scheduler) -> None:
    model.train()
    updates = epoch * len(loader)
    for inputs, target in loader:
        with amp(settings):
            loss = loss_fn(model(inputs), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        updates += 1
        lr_scheduler.step_update(num_updates=updates)


@torch.inference_mode()
def validate(settings: Settings, model: nn.Module, loader) -> float:
    model.eval()
    top1 = AverageMeter()
    for inputs, target in loader:
        with amp(settings):
            output = model(inputs)
        top1.update(accuracy(output, target)[0].item(), len(target))
    return top1.avg / 100


def run_phase(settings: Settings, stopwatch: Stopwatch, model: nn.Module, lr: float, epochs: int, data) -> float:
    train, val = data
    optimizer = create_optimizer_v2(model, opt="adamw", lr=lr, weight_decay=settings.weight_decay)
    lr_scheduler, epochs = create_scheduler_v2(
        optimizer, sched="cosine", num_epochs=epochs, step_on_epochs=False, updates_per_epoch=len(train)
    )
    loss_fn = LabelSmoothingCrossEntropy(settings.label_smoothing)
    top1 = 0.0
    for epoch in range(epochs):
        train_one_epoch(settings, epoch, model, train, optimizer, loss_fn, lr_scheduler)
        top1 = validate(settings, model, val)
        stopwatch.end_epoch()
    return top1


def main() -> None:
    settings, stopwatch = begin()
    random_seed(settings.seed)
    data = loaders(settings)
    model = timm.create_model(
        settings.architecture,
        pretrained=True,
        pretrained_cfg_overlay={"file": settings.weights},
        num_classes=settings.classes,
    )

    stopwatch.start()
    model.requires_grad_(False)
    model.get_classifier().requires_grad_(True)
    stopwatch.stop(run_phase(settings, stopwatch, model, settings.head_lr, settings.head_epochs, data))

    stopwatch.start()
    model.requires_grad_(True)
    stopwatch.stop(run_phase(settings, stopwatch, model, settings.lr, settings.epochs, data))


if __name__ == "__main__":
    main()
