"""The one training loop, which trains a head on features and a network on images alike."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from transfer.devices.device import fitting_in_memory
from transfer.devices.precision import autocast
from transfer.devices.processes import from_first, gather, is_first, spread
from transfer.runtime.errors import InterruptedRunError, TrainingError
from transfer.runtime.progress import Progress
from transfer.training.hard_examples import shuffled
from transfer.training.optimization import Schedule
from transfer.training.plan import Clock, Epoch, Fitted, Plan, Task
from transfer.training.state import SavedState, StopRequest, seed_step

CHECK_EVERY = 50  # steps between looks at the loss: each look makes an accelerator wait for the host


def fit(
    model: nn.Module,
    task: Task,
    plan: Plan,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    saved: SavedState,
    on_epoch: Callable[[Epoch], None],
    label: str,
) -> Fitted:
    """Train `model` in place and leave it with the weights of the best epoch on the validation split, or the last.

    Best is the highest accuracy, then the lowest loss. With `plan.ema_decay` the exponential moving average
    of the weights and buffers is what is validated and kept.

    State is saved in the background after each epoch and every `saved.every_s` seconds; a run that finds its own state
    goes on from it to the same result. On SIGINT or SIGTERM it saves and raises InterruptedRunError.
    Of several processes the first does so, on its own signals: all of them hold the same state.
    Raises TrainingError at a loss that is not finite, naming step, learning rate and batch.
    """
    run, first = Run(model, task, plan, optimizer, schedule), is_first()
    if (state := from_first(saved.load() if first else None)) is not None:
        run.restore(state)
        if first:
            print(f"{label}: going on from epoch {len(run.history) + 1}, step {run.step_in_epoch}", flush=True)
    elif first and (others := saved.others()):
        names = ", ".join(other.name for other in others)
        print(f"{label}: left alone: state of runs with other parameters, data or code ({names})", flush=True)
    if state is None and plan.validate_start:
        run.validate_start()
    for epoch in run.history:
        on_epoch(epoch)
    clock = Clock(label, plan)
    with StopRequest() as stop:
        while not run.finished():
            for _ in run.rest_of_epoch(label):
                if first and (stop.signal is not None or saved.due()):
                    saved.save(run.state())
                if first and stop.signal is not None:
                    saved.wait()
                    raise InterruptedRunError(f"{label}: stopped; run it again to go on", stop.signal)
            on_epoch(run.end_epoch())
            if first:
                clock.tell(run.history, run.best)
                saved.save(run.state())
    if run.best_weights:
        model.load_state_dict(run.best_weights)
    return Fitted(run.history, run.best, run.start)


class Run:
    """Everything that changes while a model is trained, and how it is saved and restored."""

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        plan: Plan,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
    ) -> None:
        self.model, self.task, self.plan = model, task, plan
        self.optimizer, self.schedule = optimizer, schedule
        self.average = (
            AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(plan.ema_decay), use_buffers=True)
            if plan.ema_decay
            else None
        )
        self.steps = plan.steps_per_epoch(task.count)
        self.history: list[Epoch] = []
        self.start: tuple[float, float] | None = None
        self.best = -1
        self.best_weights: dict[str, Tensor] = {}
        self.scaler = torch.amp.GradScaler(task.device.type, enabled=task.precision == "float16")
        self.network = model
        self._start_epoch()

    def _start_epoch(self) -> None:
        self.step_in_epoch = 0
        self.losses = torch.zeros(self.steps, device=self.task.device)
        self.hits = torch.zeros((), dtype=torch.int64, device=self.task.device)

    def finished(self) -> bool:
        done = len(self.history)
        return done >= self.plan.epochs or done - 1 - self.best >= self.plan.patience > 0

    def validate_start(self) -> None:
        """Make the model as it was given a candidate for the weights that are kept."""
        self.model.eval()
        self.start = from_first(self.task.validate(self.model))
        self.best_weights = copy.deepcopy(self.model.state_dict())

    def order(self) -> Tensor:
        """This epoch's order of training items, a function of seed and epoch."""
        generator = torch.Generator().manual_seed(self.plan.seed * 1_000_003 + len(self.history))
        return (self.task.order or shuffled(self.task.count))(len(self.history) + 1, generator)

    def rest_of_epoch(self, label: str) -> Iterator[None]:
        """Train on the batches that are left of this epoch, yielding after each."""
        self.model.train()
        self.task.begin_epoch(len(self.history) + 1)
        self.network = spread(self.model)
        order = self.order()
        size = min(self.plan.batch_size, self.task.count)
        title = f"{label} {len(self.history) + 1}/{self.plan.epochs}"
        with Progress(
            total=self.steps, initial=self.step_in_epoch, desc=title, hidden=not is_first(), leave=False
        ) as progress:
            while self.step_in_epoch < self.steps:
                start = self.step_in_epoch * size
                self.train_step(order[start : start + size])
                self.step_in_epoch += 1
                if self.step_in_epoch % CHECK_EVERY == 0 or self.step_in_epoch == self.steps:
                    self._check_losses(order, size)
                progress.update()
                yield

    def train_step(self, chosen: Tensor) -> None:
        """One step on the chosen training items, whose loss goes to its place in `losses`."""
        seed_step(self.plan.seed, len(self.history) * self.steps + self.step_in_epoch)
        with fitting_in_memory(len(chosen), self.task.item):
            inputs, labels = self.task.draw(chosen.to(self.task.device), len(self.history) + 1)
            labels = gather(labels)
            with autocast(self.task.device, self.task.precision):
                logits = self.network(inputs)
            loss = self.task.criterion(logits, labels)
            self.optimizer.zero_grad(set_to_none=True)
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.schedule.after_batch()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.losses[self.step_in_epoch] = loss.detach()
        answers = labels if labels.ndim == 1 else labels.argmax(1)
        self.hits += (logits.detach().argmax(1) == answers).sum()

    def _check_losses(self, order: Tensor, size: int) -> None:
        wrong = (~self.losses.isfinite()).nonzero()
        if len(wrong):
            step = int(wrong[0])
            batch = order[step * size : (step + 1) * size].tolist()
            raise TrainingError(
                f"loss is {float(self.losses[step])} at epoch {len(self.history) + 1}, step {step + 1}, "
                f"learning rate {self.schedule.lr():.3g}; try a lower one. Batch: training images {batch}"
            )

    def end_epoch(self) -> Epoch:
        """Validate, note the epoch and keep its weights if it is the best so far."""
        lr = self.schedule.lr()
        candidate = self.model if self.average is None else self.average.module
        candidate.eval()
        val_loss, val_accuracy = from_first(self.task.validate(candidate))
        seen = self.steps * min(self.plan.batch_size, self.task.count)
        epoch = Epoch(float(self.losses.mean()), int(self.hits) / seen, val_loss, val_accuracy, lr)
        self.history.append(epoch)
        if self.plan.keep == "last" or self._is_best(epoch):
            self.best = len(self.history) - 1
            self.best_weights = copy.deepcopy(candidate.state_dict())
        self.schedule.after_epoch(val_loss)
        self._start_epoch()
        return epoch

    def _is_best(self, epoch: Epoch) -> bool:
        """Whether an epoch has a higher validation accuracy than the best so far, or the same and a lower loss."""
        if self.best >= 0:
            before = self.history[self.best].val_loss, self.history[self.best].val_accuracy
        elif self.start is not None:
            before = self.start
        else:
            return True
        return (epoch.val_accuracy, -epoch.val_loss) > (before[1], -before[0])

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "history": [vars(epoch) for epoch in self.history],
            "start": self.start,
            "best": self.best,
            "best_weights": self.best_weights,
            "step_in_epoch": self.step_in_epoch,
            "losses": self.losses,
            "hits": self.hits,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        self.history, self.start = [Epoch(**epoch) for epoch in state["history"]], state["start"]
        self.best, self.best_weights = state["best"], state["best_weights"]
        self.step_in_epoch = state["step_in_epoch"]
        self.losses, self.hits = state["losses"].to(self.task.device), state["hits"].to(self.task.device)
