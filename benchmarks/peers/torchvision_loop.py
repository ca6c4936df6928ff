"""A training loop in the manner of torchvision's reference scripts: PIL transforms in DataLoader workers, NCHW.

https://github.com/pytorch/vision/tree/main/references/classification
"""

import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader
from torchvision import models, transforms
from torchvision.transforms import InterpolationMode

from benchmarks.peers.dataset import Split
from benchmarks.peers.measure import Stopwatch, begin
from benchmarks.settings import Settings

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def loaders(settings: Settings) -> tuple[DataLoader, DataLoader]:
    upscale = transforms.Resize(settings.size_px, InterpolationMode.BICUBIC)
    to_tensor = [transforms.PILToTensor(), transforms.ConvertImageDtype(torch.float), transforms.Normalize(MEAN, STD)]
    augment = [transforms.RandomCrop(32, padding=4, padding_mode="reflect"), transforms.RandomHorizontalFlip()]
    train = Split(settings.train, transforms.Compose([*augment, upscale, *to_tensor]))
    val = Split(settings.val, transforms.Compose([upscale, *to_tensor]))
    kept = {"num_workers": settings.workers, "persistent_workers": settings.workers > 0}
    return (
        DataLoader(train, settings.batch_size, shuffle=True, **kept),
        DataLoader(val, settings.batch_size, **kept),
    )


def amp(settings: Settings) -> torch.autocast:
    """As the reference script's --amp."""
    return torch.autocast("cpu", torch.bfloat16, enabled=settings.bfloat16)


def train_one_epoch(settings: Settings, model, criterion, optimizer, scheduler, data_loader) -> None:
    model.train()
    for image, target in data_loader:
        with amp(settings):
            loss = criterion(model(image), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()


@torch.inference_mode()
def evaluate(settings: Settings, model, data_loader) -> float:
    model.eval()
    with amp(settings):
        right = sum(int((model(image).argmax(1) == target).sum()) for image, target in data_loader)
    return right / len(data_loader.dataset)


def run_phase(settings: Settings, stopwatch: Stopwatch, model, groups, epochs: int, data) -> float:
    train, val = data
    criterion = nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)
    optimizer = torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [group["lr"] for group in groups], total_steps=epochs * len(train)
    )
    accuracy = 0.0
    for _ in range(epochs):
        train_one_epoch(settings, model, criterion, optimizer, scheduler, train)
        accuracy = evaluate(settings, model, val)
        stopwatch.end_epoch()
    return accuracy


def main() -> None:
    settings, stopwatch = begin()
    torch.manual_seed(settings.seed)
    data = loaders(settings)
    model = models.get_model(settings.architecture, weights=None)
    model.load_state_dict(load_file(settings.weights), strict=False)  # the file has no classifier
    model.requires_grad_(False)
    model.fc = nn.Linear(model.fc.in_features, settings.classes)

    stopwatch.start()
    head = [{"params": list(model.fc.parameters()), "lr": settings.head_lr}]
    stopwatch.stop(run_phase(settings, stopwatch, model, head, settings.head_epochs, data))

    stopwatch.start()
    model.requires_grad_(True)
    backbone = [parameter for name, parameter in model.named_parameters() if not name.startswith("fc.")]
    groups = [
        {"params": backbone, "lr": settings.lr},
        {"params": list(model.fc.parameters()), "lr": settings.lr * settings.head_lr_multiple},
    ]
    stopwatch.stop(run_phase(settings, stopwatch, model, groups, settings.epochs, data))


if __name__ == "__main__":
    main()
