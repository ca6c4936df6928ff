"""Which layers of a backbone are trained, from which epoch on, and how fast."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from transfer.network.depth import stage_numbers
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


def layers_of(backbone: nn.Module) -> list[Layer]:
    """The layers of a backbone, last to first, in the order in which they were registered."""
    names = {id(parameter): name for name, parameter in backbone.named_parameters()}
    numbers = stage_numbers(backbone)
    last = max(numbers.values(), default=0)
    grouped: list[tuple[list[nn.Module], int]] = []
    for module in backbone.modules():
        own = next(module.parameters(recurse=False), None)
        if own is None:
            continue
        stage = last - numbers[names[id(own)]]
        # A norm ahead of a stage's first convolution is of that stage.
        if isinstance(module, nn.Conv2d | nn.Linear) or not grouped or grouped[-1][1] != stage:
            grouped.append(([], stage))
        grouped[-1][0].append(module)
    return [Layer(tuple(modules), stage) for modules, stage in reversed(grouped)]


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
        at: dict[float, list[nn.Parameter]] = {}
        for place, layer in enumerate(self.layers):
            if (wave := self.wave_of(place)) is not None:
                rate = lr * wave.lr_factor * self.stage_lr_decay**layer.stage
                # Not those of parts, which are layers of their own: a class token stands on the network itself.
                own = [parameter for module in layer.modules for parameter in module.parameters(recurse=False)]
                at.setdefault(rate, []).extend(own)
        return [
            group
            for rate, parameters in at.items()
            for group in parameter_groups(nn.ParameterList(parameters), rate, weight_decay)
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
