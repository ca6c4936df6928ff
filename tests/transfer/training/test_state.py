"""State of an unfinished run: saving, loading, forgetting and damage;
one process at a time; signals that ask to stop; random numbers that depend on seed and step alone.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from transfer.runtime.errors import TrainingError
from transfer.training.state import SavedState, StopRequest, only_one, seed_step

ROOT = Path(__file__).resolve().parents[3]

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
TENSORS = st.lists(st.integers(-9, 9), max_size=3).map(torch.tensor)
KEYS = st.text() | st.integers() | st.sampled_from(["tensor", "items"])
NESTED = st.recursive(
    PLAIN | TENSORS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


def same(found: Any, wanted: Any) -> bool:
    """Equality of nested content with tensors, types included."""
    if type(found) is not type(wanted):
        return False
    if isinstance(wanted, Tensor):
        return found.dtype == wanted.dtype and torch.equal(found, wanted)
    if isinstance(wanted, dict):
        return list(found) == list(wanted) and all(same(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    return found == wanted


CONTENT = {
    "model": {"weight": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(3)},
    "optimizer": {"state": {0: {"momentum": torch.ones(2)}, 11: {"momentum": None}}, "groups": [{"lr": 0.1}]},
    "average": None,
    "history": [[1, [True, False]], {"tensor": "a name", "items": []}],
}


def test_a_saved_state_comes_back_the_same(tmp_path: Path) -> None:
    with SavedState(tmp_path, "fine_tune", "abc") as saved:
        saved.save(CONTENT)
    assert same(SavedState(tmp_path, "fine_tune", "abc").load(), CONTENT)


@settings(max_examples=20, deadline=None)
@given(content=NESTED)
def test_any_content_comes_back_from_disk_the_same(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    saved = SavedState(tmp_path_factory.getbasetemp() / "states", "run", "0")
    saved.save(content)
    assert same(saved.load(), content)


def test_a_state_of_tensors_that_share_memory_is_saved(tmp_path: Path) -> None:
    weight = torch.ones(3)
    saved = SavedState(tmp_path, "run", "0")
    saved.save({"model": weight, "best": weight, "row": weight[1:]})
    assert same(saved.load(), {"model": torch.ones(3), "best": torch.ones(3), "row": torch.ones(2)})


def test_an_optimizer_goes_on_from_its_saved_state_to_the_same_bits(tmp_path: Path) -> None:
    def started() -> tuple[nn.Linear, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        return model, torch.optim.AdamW(model.parameters(), lr=0.1)

    def step(model: nn.Linear, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        model(torch.arange(6.0).reshape(2, 3)).square().mean().backward()
        optimizer.step()

    model, optimizer = started()
    step(model, optimizer)
    saved = SavedState(tmp_path, "run", "0")
    saved.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    step(model, optimizer)
    resumed, other = started()
    state = saved.load()
    assert state is not None
    resumed.load_state_dict(state["model"])
    other.load_state_dict(state["optimizer"])
    step(resumed, other)
    assert torch.equal(resumed.weight, model.weight)
    assert torch.equal(resumed.bias, model.bias)


def test_a_later_save_replaces_the_earlier_one(tmp_path: Path) -> None:
    saved = SavedState(tmp_path, "run", "0")
    for epoch in range(3):
        saved.save({"epoch": epoch})
    assert saved.load() == {"epoch": 2}
    assert len(list(saved.folder.iterdir())) == 1


def test_there_is_no_state_before_a_save_nor_after_discarding(tmp_path: Path) -> None:
    saved = SavedState(tmp_path, "run", "0")
    assert saved.load() is None
    saved.discard()
    saved.save({"epoch": 1})
    saved.discard()
    assert saved.load() is None
    assert list(tmp_path.iterdir()) == []


def test_a_run_with_another_fingerprint_or_name_never_sees_the_state(tmp_path: Path) -> None:
    with SavedState(tmp_path, "fine_tune", "aaa") as first:
        first.save({"epoch": 1})
    second = SavedState(tmp_path, "fine_tune", "bbb")
    assert second.load() is None
    assert second.others() == [first.folder]
    third = SavedState(tmp_path, "train_head", "aaa")
    assert third.load() is None
    assert third.others() == []
    second.discard()
    assert first.load() == {"epoch": 1}


@pytest.mark.parametrize("damage", ["cut", "values", "digest", "empty"])
def test_a_damaged_state_counts_as_none(tmp_path: Path, damage: str) -> None:
    saved = SavedState(tmp_path, "run", "0")
    with saved:
        saved.save({"epoch": 3, "weights": torch.ones(5)})
    (file,) = saved.folder.iterdir()
    content = file.read_bytes()
    damaged = {
        "cut": content[:-7],
        "values": content[:-1] + bytes([content[-1] ^ 1]),
        "digest": bytes([content[0] ^ 1]) + content[1:],
        "empty": b"",
    }[damage]
    assert damaged != content
    file.write_bytes(damaged)
    assert saved.load() is None


def test_what_changes_after_a_save_is_not_in_it(tmp_path: Path) -> None:
    """As weights do in the step after it, while it is written; the large tensor makes that take a while."""
    saved, weights = SavedState(tmp_path, "run", "0"), torch.zeros(4_000_000)
    for step in range(1, 4):
        saved.save({"weights": weights, "step": step})
        weights += 1
    state = saved.load()
    assert state is not None
    assert state["step"] == 3
    assert torch.equal(state["weights"], torch.full_like(weights, 2))


def test_a_save_that_fails_raises_at_the_end(tmp_path: Path) -> None:
    saved = SavedState(tmp_path, "run", "0")
    saved.folder.write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(OSError, match="run-0"), saved:
        saved.save({"epoch": 1})
    saved.save({"epoch": 1})
    with pytest.raises(OSError, match="run-0"):
        saved.save({"epoch": 2})


def test_a_save_that_fails_hides_no_other_error_and_no_result(tmp_path: Path) -> None:
    saved = SavedState(tmp_path, "run", "0")
    saved.folder.write_text("a file where the folder should be", encoding="utf-8")
    saved.save({"epoch": 1})
    with pytest.raises(TrainingError, match="loss is nan"), saved:
        raise TrainingError("loss is nan")
    with saved:
        saved.save({"epoch": 1})
        saved.discard()


def test_a_save_is_due_only_after_its_interval(tmp_path: Path) -> None:
    assert not SavedState(tmp_path, "run", "0", every_s=3600).due()
    always = SavedState(tmp_path, "run", "0", every_s=-1)
    always.save({})
    assert always.due()


TAKES_THE_OUTPUT = """
import sys
from pathlib import Path
from transfer.training.state import only_one

with only_one(Path(sys.argv[1])):
    print("at work", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_with_the_firsts_number_until_that_is_killed(tmp_path: Path) -> None:
    output = tmp_path / "models" / "model.safetensors"
    command = [sys.executable, "-c", TAKES_THE_OUTPUT, str(output)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "at work\n"
        with pytest.raises(TrainingError, match=rf"process {first.pid} is at work on it") as caught, only_one(output):
            pass
        assert str(output) in str(caught.value)
        with only_one(output.with_name("head.safetensors")):
            pass  # another output is free
        first.kill()
    with (
        only_one(output),
        pytest.raises(TrainingError, match=rf"process {os.getpid()} is at work"),
        only_one(output),
    ):
        pass


def test_an_output_is_free_again_after_an_error(tmp_path: Path) -> None:
    output = tmp_path / "model.safetensors"
    with pytest.raises(RuntimeError, match="fails"), only_one(output):
        raise RuntimeError("fails")
    with only_one(output):
        assert not output.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_the_handlers_come_back(number: signal.Signals) -> None:
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    with StopRequest() as stop:
        assert stop.signal is None
        signal.raise_signal(number)
        assert stop.signal == number
    assert {each: signal.getsignal(each) for each in before} == before


def test_the_handlers_come_back_after_an_error_too() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def failing() -> None:
        with StopRequest():
            raise RuntimeError("fails")

    with pytest.raises(RuntimeError, match="fails"):
        failing()
    assert signal.getsignal(signal.SIGTERM) == before


def drawn(seed: int, step: int) -> tuple[float, ...]:
    seed_step(seed, step)
    return tuple(torch.rand(3).tolist())


def test_a_step_draws_the_same_numbers_whatever_came_before() -> None:
    straight = [drawn(5, step) for step in range(4)]
    torch.rand(100)
    assert drawn(5, 3) == straight[3]
    assert drawn(5, 1) == straight[1]


def test_steps_and_seeds_draw_different_numbers() -> None:
    draws = {drawn(seed, step) for seed in [*range(12), 12345] for step in [*range(20), 10**6]}
    assert len(draws) == 13 * 21
