"""Learning rates over a whole run, against their formulas; states survive being saved."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from transfer.training.optimization import Schedule, ScheduleName, build_schedule
from transfer.training.state import SavedState

PEAKS = (0.1, 0.5)
STEPS, WARM_UP = 40, 0.25


def build(name: ScheduleName, warm_up: float = WARM_UP, steps: int = STEPS) -> tuple[Schedule, torch.optim.Optimizer]:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": peak} for peak in PEAKS]
    optimizer = torch.optim.SGD(groups)
    return build_schedule(name, optimizer, steps, warm_up, plateau_patience=1), optimizer


def rates(schedule: Schedule, optimizer: torch.optim.Optimizer, steps: int) -> list[list[float]]:
    """Each group's rate in each batch."""
    found = []
    for _ in range(steps):
        found.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.after_batch()
    return found


def cosine(share: float) -> float:
    return (1 + math.cos(math.pi * share)) / 2


def one_cycle(step: int) -> float:
    top, last = WARM_UP * STEPS - 1, STEPS - 1
    if step <= top:
        return 1 / 25 + (1 - 1 / 25) * (1 - cosine(step / top))
    return 1 / 250_000 + (1 - 1 / 250_000) * cosine((step - top) / (last - top))


def warm_cosine(step: int) -> float:
    rise = WARM_UP * STEPS
    return 0.01 + 0.99 * step / rise if step < rise else cosine((step - rise) / (STEPS - rise))


@pytest.mark.parametrize(
    ("name", "factor"), [("onecycle", one_cycle), ("cosine", warm_cosine), ("constant", lambda _step: 1.0)]
)
def test_rates_over_a_run(name: ScheduleName, factor):
    found = rates(*build(name), STEPS)
    expected = [[peak * factor(step) for peak in PEAKS] for step in range(STEPS)]
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), atol=1e-6, rtol=1e-5)


def test_cosine_without_warm_up_begins_at_the_peak():
    found = rates(*build("cosine", warm_up=0.0), STEPS)
    assert found[0] == list(PEAKS)
    assert found[STEPS // 2][0] == pytest.approx(0.05)


def test_plateau_divides_by_ten_after_epochs_without_a_lower_loss():
    schedule, optimizer = build("plateau")
    found = []
    for loss in (1.0, 0.8, 0.9, 0.85, 0.7):  # a patience of 1: the first epoch without a lower one is enough
        rates(schedule, optimizer, 3)
        schedule.after_epoch(loss)
        found.append(schedule.lr())
    assert found == pytest.approx([0.1, 0.1, 0.01, 0.001, 0.001])


@pytest.mark.parametrize("name", ["onecycle", "cosine", "plateau", "constant"])
def test_a_saved_schedule_goes_on_where_it_was(name: ScheduleName, tmp_path: Path):
    whole = rates(*build(name), STEPS)
    first, optimizer = build(name)
    rates(first, optimizer, 17)
    saved = SavedState(tmp_path, "run", "0")
    saved.save({"schedule": first.state_dict(), "optimizer": optimizer.state_dict()})
    state = saved.load()
    assert state is not None
    second, optimizer = build(name)
    second.load_state_dict(state["schedule"])
    optimizer.load_state_dict(state["optimizer"])
    torch.testing.assert_close(torch.tensor(rates(second, optimizer, STEPS - 17)), torch.tensor(whole[17:]))


@given(
    name=st.sampled_from(["onecycle", "cosine", "plateau", "constant"]),
    steps=st.integers(1, 300),
    warm_up=st.floats(0.01, 0.99),
)
@example(name="onecycle", steps=2, warm_up=0.5)
@example(name="onecycle", steps=10, warm_up=0.1)
@example(name="onecycle", steps=1, warm_up=0.99)
def test_any_run_has_rates_between_nothing_and_its_peak_and_ends_lowest(name: ScheduleName, steps: int, warm_up: float):
    found = torch.tensor(rates(*build(name, warm_up, steps), steps))
    peaks = torch.tensor(PEAKS)
    assert bool((found >= 0).all() and (found <= peaks * (1 + 1e-6)).all())
    # Both groups follow the same course, and where it rises and falls it has one top.
    torch.testing.assert_close(found / peaks, (found / peaks)[:, :1].expand(-1, 2))
    rising = found[1:, 0] > found[:-1, 0] * (1 + 1e-5)
    assert not bool((rising[1:] & ~rising[:-1]).any())
