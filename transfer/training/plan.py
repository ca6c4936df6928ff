"""What is learned from, for how long, and what came of each epoch."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from transfer.devices.precision import Precision
from transfer.runtime.progress import Progress
from transfer.training.hard_examples import Order


@dataclass(frozen=True)
class Task:
    """What is learned from.

    `draw(positions, epoch)` gives the inputs of some training items on the device, freshly augmented, with
    their labels (batch,), or (batch, classes) where they are mixed; of several processes each draws its share.
    `validate(model)` gives loss and accuracy on the validation split. `item` says what the items are, such as
    `images of 224 px`. `order(epoch, generator)` gives the items of an epoch batch after batch, by default all of
    them shuffled; `begin_epoch(epoch)` is called once the model is in training mode. Epochs count from 1.
    """

    item: str
    count: int
    draw: Callable[[Tensor, int], tuple[Tensor, Tensor]]
    validate: Callable[[nn.Module], tuple[float, float]]
    device: torch.device
    precision: Precision = "float32"
    criterion: nn.Module = field(default_factory=nn.CrossEntropyLoss)
    order: Order | None = None
    begin_epoch: Callable[[int], None] = lambda _epoch: None


@dataclass(frozen=True)
class Plan:
    """How long and how: `patience` epochs without a better one end the run, `ema_decay` 0 means no averaging.

    `keep` says whether the best epoch's weights are kept or the last one's, which counts as better each time.
    With `validate_start` the model as it is given is a candidate too, as epoch 0.
    """

    epochs: int
    batch_size: int
    patience: int
    ema_decay: float
    seed: int
    keep: Literal["best", "last"] = "best"
    validate_start: bool = False

    def steps_per_epoch(self, count: int) -> int:
        """Full batches in an epoch over `count` items; what is left over comes first in no epoch's order."""
        return max(count // self.batch_size, 1)


@dataclass(frozen=True)
class Epoch:
    """Averages over one epoch's training batches, and the validation split after it."""

    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float


@dataclass(frozen=True)
class Fitted:
    """All epochs, and which of them (from 0) gave the weights that the model holds now; -1: it is as it was given.

    `start` is the validation loss and accuracy before the first epoch, if they were asked for.
    """

    history: list[Epoch]
    best: int
    start: tuple[float, float] | None = None


class Clock:
    """Tells of each epoch in a line that stays, with the time that is left."""

    def __init__(self, label: str, plan: Plan) -> None:
        self.label, self.plan = label, plan
        self.started, self.trained = time.monotonic(), 0

    def tell(self, history: Sequence[Epoch], best: int) -> None:
        self.trained += 1
        each = (time.monotonic() - self.started) / self.trained
        left, epoch = each * (self.plan.epochs - len(history)), history[-1]
        mark = " (best)" if self.plan.keep == "best" and best == len(history) - 1 else ""
        Progress.write(
            f"{self.label}: epoch {len(history)}/{self.plan.epochs}  train {epoch.train_accuracy:.3f}  "
            f"val {epoch.val_accuracy:.3f}{mark}  lr {epoch.lr:.1e}  {each:.0f} s an epoch"
            + (f", about {left / 60:.0f} min left" if left >= 60 else "")
        )
