"""The training loop: it learns, repeats itself bit for bit, resumes, keeps the best epoch and refuses NaN."""

import itertools
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Never

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from transfer.runtime.errors import DeviceError, InterruptedRunError, TrainingError
from transfer.training.loop import fit
from transfer.training.optimization import build_schedule
from transfer.training.plan import Epoch, Fitted, Plan, Task
from transfer.training.state import SavedState, seed_step

PLAN = Plan(epochs=4, batch_size=64, patience=0, ema_decay=0.0, seed=3)


def digits_task() -> Task:
    pixels, labels = load_digits(return_X_y=True)
    inputs, targets = torch.tensor(pixels, dtype=torch.float32) / 16, torch.tensor(labels)

    def draw(chosen: Tensor, _epoch: int) -> tuple[Tensor, Tensor]:
        return inputs[:1400][chosen] + 0.05 * torch.randn(len(chosen), 64), targets[:1400][chosen]

    @torch.no_grad()
    def validate(model: nn.Module) -> tuple[float, float]:
        logits = model(inputs[1400:])
        accuracy = (logits.argmax(1) == targets[1400:]).float().mean()
        return float(F.cross_entropy(logits, targets[1400:])), float(accuracy)

    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    return Task("digits", 1400, draw, validate, torch.device("cpu"), criterion=criterion)


class Run:
    """A model with dropout and batch normalisation, its optimizer and schedule, made anew from a seed."""

    def __init__(self, folder: Path, plan: Plan = PLAN, task: Task | None = None, lr: float = 0.05) -> None:
        seed_step(0, 0)
        self.model = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 10))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr, momentum=0.9, nesterov=True)
        self.plan, self.task = plan, task or digits_task()
        steps = max(plan.epochs * plan.steps_per_epoch(self.task.count), 1)
        self.schedule = build_schedule("onecycle", self.optimizer, steps, 0.3, 1)
        self.saved = SavedState(folder, "run", "0")
        self.told: list[Epoch] = []
        self.on_epoch = self.told.append

    def fit(self) -> Fitted:
        with self.saved as saved:
            return fit(self.model, self.task, self.plan, self.optimizer, self.schedule, saved, self.on_epoch, "run")

    def bits(self) -> list[bytes]:
        return [tensor.numpy().tobytes() for tensor in self.model.state_dict().values()]


def test_it_learns(tmp_path):
    fitted = Run(tmp_path).fit()
    assert len(fitted.history) == 4
    assert fitted.history[-1].val_accuracy > 0.85  # a tenth would be chance
    assert fitted.history[-1].train_loss < fitted.history[0].train_loss


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tmp_path):
    first, second = Run(tmp_path / "a"), Run(tmp_path / "b")
    other = Run(tmp_path / "c", Plan(**{**vars(PLAN), "seed": 4}))
    assert first.fit().history == second.fit().history
    other.fit()
    assert first.bits() == second.bits()
    assert first.bits() != other.bits()


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
@pytest.mark.parametrize("stop_at", [1, 20, 21, 22, 50, 83])
def test_a_run_stopped_anywhere_goes_on_to_the_same_bits(tmp_path, stop_at: int, ema_decay: float):
    """21 steps an epoch: within, at the end and at the start of epochs; SIGTERM comes from the batch itself."""
    plan = Plan(**{**vars(PLAN), "ema_decay": ema_decay})
    undisturbed = Run(tmp_path / "a", plan)
    expected = undisturbed.fit()

    steps = itertools.count(1)
    task = digits_task()

    def draw_and_stop(chosen: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        if next(steps) == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return task.draw(chosen, epoch)

    stopped = Run(tmp_path / "b", plan, replace(task, draw=draw_and_stop))
    with pytest.raises(InterruptedRunError) as caught:
        stopped.fit()
    assert caught.value.signal_number == signal.SIGTERM

    resumed = Run(tmp_path / "b", plan)
    fitted = resumed.fit()
    assert fitted == expected
    assert resumed.told == undisturbed.told
    assert resumed.bits() == undisturbed.bits()


def test_a_finished_run_that_is_run_again_does_no_step(tmp_path):
    first = Run(tmp_path)
    expected = first.fit()

    def never(*_given: object) -> Never:
        raise AssertionError("a step was taken")

    again = Run(tmp_path, task=Task("digits", 1400, never, never, torch.device("cpu")))
    assert again.fit() == expected
    assert again.bits() == first.bits()


def scripted(values: list[tuple[float, float]]) -> Task:
    """A task whose validation gives these losses and accuracies, whatever the model does."""
    task, left = digits_task(), iter(values)
    return replace(task, validate=lambda _model: next(left))


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ([(1.0, 0.5), (0.9, 0.7), (0.8, 0.6), (0.7, 0.65)], 1),
        ([(1.0, 0.7), (0.9, 0.7), (0.95, 0.7), (1.1, 0.6)], 1),
        ([(1.0, 0.7), (1.0, 0.7), (1.0, 0.7), (1.0, 0.7)], 0),
    ],
)
def test_the_best_epoch_is_the_most_accurate_then_the_one_of_least_loss(tmp_path, values, best: int):
    run = Run(tmp_path, task=scripted(values))
    weights: list[list[bytes]] = []
    told = run.told.append
    run.saved.save = lambda content: weights.append([t.numpy().tobytes() for t in content["model"].values()])
    fitted = fit(run.model, run.task, run.plan, run.optimizer, run.schedule, run.saved, told, "run")
    assert fitted.best == best
    assert run.bits() == weights[best]


def test_the_last_epoch_can_be_kept_and_then_no_patience_ends_the_run(tmp_path):
    values = [(0.5, 0.9), (0.5, 0.6), (0.5, 0.4), (0.5, 0.2)]  # loss and accuracy
    run = Run(tmp_path / "last", Plan(**{**vars(PLAN), "patience": 1, "keep": "last"}), scripted(values))
    fitted = run.fit()
    assert (len(fitted.history), fitted.best) == (4, 3)
    first, last = Run(tmp_path / "first", task=scripted(values)), Run(tmp_path / "rising", task=scripted(values[::-1]))
    assert (first.fit().best, last.fit().best) == (0, 3)
    assert run.bits() == last.bits() != first.bits()


def test_patience_ends_a_run_that_gets_no_better(tmp_path):
    values = [(1.0, 0.5), (1.0, 0.6), (1.0, 0.6), (1.0, 0.5), (1.0, 0.9)]
    plan = Plan(**{**vars(PLAN), "epochs": 5, "patience": 2})
    fitted = Run(tmp_path, plan, scripted(values)).fit()
    assert (len(fitted.history), fitted.best) == (4, 1)


def test_the_average_is_the_exponential_one_of_the_weights_after_each_step(tmp_path):
    """One epoch of three steps, checked against the recurrence a = d a + (1 - d) w written out."""
    plan = Plan(**{**vars(PLAN), "epochs": 1, "batch_size": 466, "ema_decay": 0.6})
    seen: list[Tensor] = []
    run = Run(tmp_path, plan)
    run.optimizer.register_step_post_hook(lambda *_: seen.append(run.model[0].get_parameter("weight").detach().clone()))
    run.fit()
    average = seen[0]
    for weight in seen[1:]:
        average = 0.6 * average + 0.4 * weight
    assert len(seen) == 3
    torch.testing.assert_close(run.model[0].get_parameter("weight").detach(), average)


def test_no_epochs_leave_the_model_as_it_was(tmp_path):
    run = Run(tmp_path, Plan(**{**vars(PLAN), "epochs": 0}))
    before = run.bits()
    assert run.fit() == Fitted([], -1)
    assert run.bits() == before


def test_a_loss_that_is_not_finite_names_step_rate_and_batch_and_keeps_the_saved_state(tmp_path):
    task, steps = digits_task(), itertools.count(1)

    def draw_nan(chosen: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        inputs, labels = task.draw(chosen, epoch)
        return inputs * (float("nan") if next(steps) == 21 + 5 else 1.0), labels

    run = Run(tmp_path, task=replace(task, draw=draw_nan))
    with pytest.raises(
        TrainingError, match=r"loss is nan at epoch 2, step 5, learning rate .*; try a lower one\. Batch"
    ):
        run.fit()
    kept = run.saved.load()
    assert kept is not None
    assert len(kept["history"]) == 1
    assert all(torch.isfinite(tensor).all() for tensor in kept["best_weights"].values())


def test_fewer_items_than_a_batch_make_one_batch(tmp_path):
    task = digits_task()
    few = replace(task, count=10)
    fitted = Run(tmp_path, Plan(**{**vars(PLAN), "epochs": 1}), few).fit()
    assert 0 <= fitted.history[0].train_accuracy <= 1


def test_out_of_memory_names_batch_and_items_and_keeps_the_last_epoch(tmp_path):
    """torch's own error, raised where an accelerator raises it: in the 30th batch, of the second epoch."""
    task, steps = digits_task(), itertools.count(1)

    def draw_too_much(chosen: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        if next(steps) == 30:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return task.draw(chosen, epoch)

    run = Run(tmp_path, task=replace(task, draw=draw_too_much))
    with pytest.raises(DeviceError, match=r"^out of memory on .* with batches of 64 digits; set a smaller batch_size"):
        run.fit()
    state = run.saved.load()
    assert state is not None
    assert len(state["history"]) == 1


def test_state_of_another_run_is_left_alone_and_told_in_one_line(tmp_path, capsys):
    other = SavedState(tmp_path, "run", "another")
    with other:
        other.save({"epoch": 1})
    Run(tmp_path).fit()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "run-another" in line]
    assert line == "run: left alone: state of runs with other parameters, data or code (run-another)"
    assert other.load() == {"epoch": 1}
