"""A fine-tuning step taken apart: against the machine, without its data path, and by kind of operation."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.settings import Settings
from transfer.data.resize import open_resized
from transfer.devices.device import best_device, choose_algorithms
from transfer.devices.precision import Precision, autocast, resolve_precision
from transfer.network.backbones import load_backbone
from transfer.network.classifier import Classifier, HeadShape, build_feature_extractor, build_head
from transfer.network.images import Images
from transfer.training.augmentation import Augmentation, Geometry, augment
from transfer.training.optimization import build_optimizer, parameter_groups

MATRIX = 2048
PAIRS = 15
WARM_UP = 3
PROFILED_STEPS = 5
STANDING_STILL = Geometry(0.0, 0.0)


class Step:
    """What fine_tune does with a batch: `draw` is its data path, `train` all the rest."""

    def __init__(self, settings: Settings, pixels: Path, deterministic: bool = True) -> None:
        torch.set_num_threads(settings.threads)
        torch.manual_seed(settings.seed)
        backbone = load_backbone(Path(settings.weights))
        extractor, features = build_feature_extractor(backbone)
        head = build_head(HeadShape(features, (), False, 0.0, settings.classes))
        split = open_resized(pixels)
        self.device = best_device()
        self.precision: Precision = resolve_precision("auto", self.device)
        choose_algorithms(self.device, deterministic)
        self.images = Images(split.pixels, backbone.preprocessing, self.device)
        self.labels = torch.from_numpy(split.labels).to(self.device)
        self.model = Classifier(extractor, head).to(self.device).train()
        groups = parameter_groups(self.model, settings.lr, settings.weight_decay)
        self.optimizer = build_optimizer("adamw", groups, 0.9)
        self.criterion = nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)
        self.batch_size = settings.batch_size
        self.how = Augmentation(True, 0.125, 0.0, 0.0, 0.0, STANDING_STILL, STANDING_STILL)

    def draw(self) -> tuple[Tensor, Tensor]:
        """A batch of random images, augmented, and its labels."""
        chosen = torch.randint(len(self.labels), (self.batch_size,)).to(self.device)
        organic = torch.ones(self.batch_size, dtype=torch.bool, device=self.device)
        return augment(self.images, chosen, self.how, organic), self.labels[chosen]

    def train(self, batch: tuple[Tensor, Tensor]) -> None:
        """Forward, backward and the optimizer's step."""
        images, labels = batch
        with autocast(self.device, self.precision):
            logits = self.model(images)
        loss = self.criterion(logits, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()


def seconds_of(work: Callable[[], Any]) -> float:
    """Seconds of one call, on an accelerator until it has really ended."""
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def medians(repeats: int, *works: Callable[[], Any]) -> list[float]:
    """Median seconds of each of several works that take turns."""
    times = [[seconds_of(work) for work in works] for _ in range(repeats)]
    return [median(column) for column in zip(*times, strict=True)]


def flops_of(work: Callable[[], Any]) -> int:
    """Floating-point operations of matrix products and convolutions; a multiplication and an addition are two."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def matrix_flops_per_s(precision: Precision) -> float:
    """What a product of two large matrices reaches."""
    left, right = torch.randn(2, MATRIX, MATRIX, device=best_device(), dtype=getattr(torch, precision))
    (seconds,) = medians(PAIRS, lambda: left @ right)
    return 2 * MATRIX**3 / seconds


def convolutions(model: nn.Module, images: Tensor) -> Iterator[tuple[nn.Conv2d, Tensor]]:
    """Each convolution with an input of the shape that it gets."""
    found: list[tuple[nn.Conv2d, Tensor]] = []

    def note(conv: nn.Module, given: tuple[Tensor, ...], _: Tensor) -> None:
        assert isinstance(conv, nn.Conv2d)
        found.append((conv, given[0].detach()))

    hooks = [module.register_forward_hook(note) for module in model.modules() if isinstance(module, nn.Conv2d)]
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    for number, (conv, given) in enumerate(found):
        # Pixels need no gradient, and what comes from another layer does.
        yield conv, given.clone(memory_format=torch.channels_last).requires_grad_(number > 0)


def bare_convolutions(model: nn.Module, images: Tensor, precision: Precision) -> Callable[[], None]:
    """All convolutions of a step alone, forward and backward on its shapes, as something to call."""
    found = [
        (conv, *(tensor.detach().to(getattr(torch, precision)) for tensor in (given, conv.weight)), given.requires_grad)
        for conv, given in convolutions(model, images)
    ]

    def once() -> None:
        for conv, given, weight, through in found:
            wanted = [given.requires_grad_(through), weight.requires_grad_()][not through :]
            out = F.conv2d(given, weight, None, conv.stride, conv.padding)
            torch.autograd.grad(out, wanted, torch.ones_like(out))

    return once


def kind_of(name: str, ranges: list[str]) -> str:
    """The kind of operation that an event of the profiler is, from its name and those that it lies in."""
    if "augmentation" in ranges:
        return "augmentation"
    if any(part.startswith("Optimizer.step") for part in ranges):
        return "optimizer"
    backward = any("backward" in part.lower() for part in [name, *ranges])
    for word, kind in (("conv", "convolution"), ("batch_norm", "batch norm"), ("batchnorm", "batch norm")):
        if any(word in part.lower() for part in [name, *ranges]):
            return f"{kind}, {'backward' if backward else 'forward'}"
    return "other: ReLU, additions, pooling, head, loss"


def shares_by_kind(step: Step) -> dict[str, float]:
    """Share of the time of a step that each kind of operation takes, by the profiler; on the CPU."""

    def once() -> None:
        with record_function("augmentation"):
            batch = step.draw()
        step.train(batch)

    once()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(PROFILED_STEPS):
            once()
    times: dict[str, float] = {}
    for event in profiler.events() or []:
        ranges, parent = [], event.cpu_parent
        while parent is not None:
            ranges.append(parent.name)
            parent = parent.cpu_parent
        kind = kind_of(event.name, [*ranges, event.name])
        times[kind] = times.get(kind, 0.0) + event.self_cpu_time_total
    total = sum(times.values())
    return {kind: value / total for kind, value in sorted(times.items(), key=lambda item: -item[1])}


def measure_step(settings: Settings, pixels: Path) -> dict[str, Any]:
    """All figures of a step. `data_path_share` is what a step without a data path saves."""
    step = Step(settings, pixels)
    ready = step.draw()
    for _ in range(WARM_UP):
        step.train(ready)
    bare = bare_convolutions(step.model, ready[0], step.precision)
    bare()
    synthetic_s, real_s, draw_s, bare_s = medians(
        PAIRS, lambda: step.train(ready), lambda: step.train(step.draw()), step.draw, bare
    )
    flops = flops_of(lambda: step.train(ready))
    matrix = matrix_flops_per_s(step.precision)
    return {
        "batch_size": settings.batch_size,
        "size_px": settings.size_px,
        "threads": torch.get_num_threads(),
        "precision": step.precision,
        "step_s": real_s,
        "images_per_s": settings.batch_size / real_s,
        "synthetic_step_s": synthetic_s,
        "draw_s": draw_s,
        "data_path_share": draw_s / (draw_s + synthetic_s),
        "step_gflop": flops / 1e9,
        "step_gflop_per_s": flops / real_s / 1e9,
        "matrix_gflop_per_s": matrix / 1e9,
        "bare_convolutions_s": bare_s,
        "of_matrix_product": flops / real_s / matrix,
        "of_bare_convolutions": bare_s / real_s,
        "shares": shares_by_kind(step),
    }


def touch(pixels: np.ndarray) -> int:
    """Read a whole cache through its mapping, as an epoch does."""
    return sum(int(pixels[start : start + 250].max()) for start in range(0, len(pixels), 250))
