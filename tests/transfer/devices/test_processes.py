"""Two processes against one, in double precision: the same losses, weights and metrics but for rounding."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.transfer.devices import two_processes as alone
from transfer.devices.processes import from_first, gather, share, spread, synchronised
from transfer.runtime.files import ROOT

pytestmark = pytest.mark.slow  # several processes, compared with one

assert_close = partial(torch.testing.assert_close, rtol=1e-7, atol=1e-9)
assert_nearly = partial(torch.testing.assert_close, rtol=0.02, atol=0.02)  # bfloat16 has three digits

Trained = tuple[list[dict[str, float]], dict[str, Tensor]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes of torchrun have left what they found, and one process a run that it stopped."""
    made = tmp_path_factory.mktemp("two")
    alone.stopped(made / "stopped by one")
    script = str(ROOT / "tests/transfer/devices/two_processes.py")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*torchrun, script, str(made)], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    return made


@pytest.fixture(scope="module")
def both(folder: Path) -> list[dict[str, Any]]:
    """What each of the two processes found."""
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """What one process makes of the run."""
    fitted, weights = alone.train(tmp_path_factory.mktemp("one"))
    return [vars(epoch) for epoch in fitted.history], weights


def furthest(found: Trained, expected: Trained) -> float:
    """The largest difference of a weight."""
    return max(float((found[1][name] - tensor).abs().max()) for name, tensor in expected[1].items())


def assert_same(found: Trained, expected: Trained) -> None:
    assert len(found[0]) == len(expected[0])
    for one, other in zip(found[0], expected[0], strict=True):
        assert one == pytest.approx(other, rel=1e-5)  # the network's answers on the validation split are float32
        assert one["train_accuracy"] == other["train_accuracy"]
    assert_close(found[1], expected[1])


def test_without_other_processes_nothing_is_changed() -> None:
    model, tensor = nn.Sequential(nn.BatchNorm2d(3)), torch.arange(3)
    assert spread(model) is model
    assert synchronised(model) is model
    assert type(model[0]) is nn.BatchNorm2d
    assert gather(tensor) is tensor
    assert from_first("mine") == "mine"
    assert share(5) == share(5, before=1) == slice(None)


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, assert_close), (torch.bfloat16, assert_nearly)])
def test_batch_normalisation_is_that_of_the_whole_batch(both: list[dict[str, Any]], dtype: torch.dtype, close) -> None:
    """Outputs, gradients and running statistics against torch's own on all images."""
    expected = alone.normalise(*alone.batch_to_normalise(dtype))
    first, second = (found["normalised"][str(dtype)] for found in both)
    assert first.keys() == expected.keys()
    for name, tensor in expected.items():
        if name in ("outputs", "gradient"):
            found = torch.cat([first[name], second[name]])
        elif name.startswith("gradient of"):
            found = first[name] + second[name]
        else:
            assert torch.equal(first[name], second[name])
            found = first[name]
        close(found, tensor)


def test_two_processes_train_to_what_one_does(both: list[dict[str, Any]], expected: Trained) -> None:
    """Batch normalisation in training, a head with dropout and its own, MixUp and CutMix, weights, average, waves."""
    for found in both:
        assert_same(found["trained"], expected)


def test_both_have_the_same_bits(both: list[dict[str, Any]]) -> None:
    (_, first), (_, second) = (found["trained"] for found in both)
    assert [name for name, tensor in first.items() if not torch.equal(tensor, second[name])] == []


def test_without_the_batch_norm_of_all_they_train_to_something_else(
    both: list[dict[str, Any]], expected: Trained
) -> None:
    """Or the comparison would show nothing."""
    assert furthest(both[0]["trained apart"], expected) > 1e-3
    assert furthest(both[0]["trained"], expected) < 1e-8


def test_two_processes_go_on_with_what_one_stopped(both: list[dict[str, Any]], expected: Trained) -> None:
    assert_same(both[0]["resumed"], expected)


def test_one_process_goes_on_with_what_two_stopped(folder: Path, expected: Trained) -> None:
    state = alone.SavedState(folder / "stopped by two", "run", "0").load()
    assert state is not None
    assert (len(state["history"]), state["step_in_epoch"]) == (1, alone.STOP_AT - 3)
    fitted, weights = alone.train(folder / "stopped by two")
    assert_same(([vars(epoch) for epoch in fitted.history], weights), expected)


def test_only_the_first_saves(folder: Path) -> None:
    """One state a run, though both ran; the second would have written over it with its own."""
    states = {str(path.relative_to(folder)) for path in folder.rglob("state.pt")}
    runs = ("stopped by one", "stopped by two", "trained", "trained apart")
    assert states == {f"{run}/run-0/state.pt" for run in runs}


@pytest.mark.parametrize("batch_size", [4, 100])
def test_outputs_are_the_bits_of_one_process(both: list[dict[str, Any]], batch_size: int) -> None:
    """Also where there are fewer batches than processes."""
    expected = alone.outputs(batch_size)
    assert all(torch.equal(found["outputs"][batch_size], expected) for found in both)


def test_each_has_its_share_and_the_item_before_it(both: list[dict[str, Any]]) -> None:
    assert [found["share"].tolist() for found in both] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [found["share with the one before"].tolist() for found in both] == [[7, 0, 1, 2, 3], [3, 4, 5, 6, 7]]


def test_a_batch_that_cannot_be_shared_evenly_is_refused_in_one_line(both: list[dict[str, Any]]) -> None:
    line = "2 processes cannot share batches of 9 evenly; set NPROC or train.batch_size so that one divides the other"
    assert [found["refused"] for found in both] == [line, line]
