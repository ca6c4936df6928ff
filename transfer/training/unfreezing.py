"""Which layers of a backbone are trained, from which epoch on, and how fast."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from transfer.training.optimization import parameter_groups


@dataclass(frozen=True)
class Wave:
    """From `epoch` on (1 is the first) the top `layers` layers are trained, those new in it at `lr_factor`."""

    layers: int
    epoch: int
    lr_factor: float


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer with the normalisation after it, and how many stages lie above its own."""

    modules: tuple[nn.Module, ...]
    stage: int


def stages_of(module: nn.Module) -> list[nn.Module]:
    """The parts of a backbone that hold parameters, first to last; of a ResNet: the stem, layer1 to layer4.

    Neighbours that have no parts of their own, such as conv1 and bn1, are one stage. Where there are only one or
    two, as in networks of `features` and a classifier, their parts are taken.
    """
    parts = [child for child in module.children() if any(True for _ in child.parameters())]
    if len(parts) <= 2:
        return [stage for part in parts for stage in stages_of(part) or [part]]
    stages: list[nn.Module] = []
    for simple, neighbours in groupby(parts, key=lambda part: not any(True for _ in part.children())):
        group = list(neighbours)
        stages += [nn.ModuleList(group)] if simple else group
    return stages


def layers_of(backbone: nn.Module) -> list[Layer]:
    """The layers of a backbone, last to first, in the order in which they were registered."""
    stages = stages_of(backbone)
    above = {module: len(stages) - 1 - place for place, stage in enumerate(stages) for module in stage.modules()}
    grouped: list[list[nn.Module]] = []
    for module in backbone.modules():
        if any(True for _ in module.parameters(recurse=False)):
            if isinstance(module, nn.Conv2d | nn.Linear) or not grouped:
                grouped.append([])
            grouped[-1].append(module)
    return [Layer(tuple(modules), above.get(modules[0], len(stages))) for modules in reversed(grouped)]


def last_stages(backbone: nn.Module, count: int) -> int:
    """How many layers the last `count` stages have."""
    return sum(layer.stage < count for layer in layers_of(backbone))


class Unfreezing:
    """Trains a backbone's layers in waves.

    A layer's rate is the backbone's, times `stage_lr_decay` for each stage above it, times the factor of the
    wave that first trains it. A layer in no wave is never trained. With `frozen_statistics` the batch
    normalisation of the whole backbone keeps the means and variances that it was pretrained with; else that
    of the layers in training follows the batches. A layer that is not trained (yet) never changes them.
    """

    def __init__(
        self, backbone: nn.Module, waves: Sequence[Wave], stage_lr_decay: float = 1.0, frozen_statistics: bool = False
    ) -> None:
        self.layers = layers_of(backbone)
        self.waves = list(waves) or [Wave(len(self.layers), 1, 1.0)]
        self.stage_lr_decay = stage_lr_decay
        self.frozen_statistics = frozen_statistics

    def wave_of(self, place: int) -> Wave | None:
        """The wave that first trains the layer at this place from the top."""
        return next((wave for wave in self.waves if place < wave.layers), None)

    def groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Parameter groups for an optimizer, one for each learning rate and kind of parameter."""
        modules_at: dict[float, list[nn.Module]] = {}
        for place, layer in enumerate(self.layers):
            if (wave := self.wave_of(place)) is not None:
                rate = lr * wave.lr_factor * self.stage_lr_decay**layer.stage
                modules_at.setdefault(rate, []).extend(layer.modules)
        return [
            group
            for rate, modules in modules_at.items()
            for group in parameter_groups(nn.ModuleList(modules), rate, weight_decay)
        ]

    def begin_epoch(self, epoch: int) -> None:
        """Set what is trained in an epoch, counted from 1. To be called after the model's `train()`."""
        for place, layer in enumerate(self.layers):
            wave = self.wave_of(place)
            trained = wave is not None and wave.epoch <= epoch
            for module in layer.modules:
                for parameter in module.parameters(recurse=False):
                    parameter.requires_grad_(trained)
                if isinstance(module, _BatchNorm):
                    module.train(trained and not self.frozen_statistics)
