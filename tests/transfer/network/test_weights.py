"""Weights files: what is read of torchvision's networks, and what is refused: another architecture, incomplete,
damaged and hostile files. test_checkpoints.py has the forms in which the tensors are found.
"""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from transfer.network.backbones import Backbone, Preprocessing, save_backbone
from transfer.network.weights import read_state_dict
from transfer.runtime.errors import WeightsError

ARCHITECTURE = "shufflenet_v2_x0_5"  # among torchvision's smallest, so that the tests are quick
SAVED = Preprocessing((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def full_state(architecture: str = ARCHITECTURE) -> dict[str, Tensor]:
    """Random weights as torchvision saves them, batch-norm statistics included."""
    model = torchvision.models.get_model(architecture, weights=None)
    state = model.state_dict()
    for number, name in enumerate(state):
        if "running" in name:
            state[name].add_(number)
    return state


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return full_state()


def assert_refused(path: Path, architecture: str, *says: str) -> None:
    with pytest.raises(WeightsError) as caught:
        read_state_dict(path, architecture)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    for part in says:
        assert part in message


def assert_same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Equal tensors, bit for bit, but for the classifier, which `found` lacks, and what counts batches."""
    names = [name for name in expected if not name.startswith(("fc.", "classifier.", "aux", "AuxLogits."))]
    assert list(found) == names
    counts = {name for name in names if name.endswith("num_batches_tracked")}
    assert [name for name in names if name not in counts and not torch.equal(found[name], expected[name])] == []


def without(state: Mapping[str, Tensor], *ends: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.endswith(ends)}


def prefixed(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def save_zip(content: Any, path: Path) -> None:
    torch.save(content, path)


def save_legacy(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def save_pickle(content: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


def test_the_file_that_is_written_depends_on_the_tensors_alone(tmp_path: Path, state: dict[str, Tensor]) -> None:
    save_zip(state, tmp_path / "zip")
    save_legacy({"state_dict": prefixed(state, "module.")}, tmp_path / "legacy")
    save_file(state, tmp_path / "safe")
    save_file(without(state, "fc.weight", "fc.bias"), tmp_path / "headless", metadata={"format": "pt"})
    written = set()
    for name in ("zip", "legacy", "safe", "headless"):
        read = read_state_dict(tmp_path / name, ARCHITECTURE)
        save_backbone(tmp_path / "backbone", Backbone(ARCHITECTURE, read, SAVED))
        written.add((tmp_path / "backbone").read_bytes())
    assert len(written) == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_single(tmp_path: Path, state: dict[str, Tensor], dtype: torch.dtype) -> None:
    save_zip({name: tensor.to(dtype) for name, tensor in state.items()}, tmp_path / "half.pth")
    read = read_state_dict(tmp_path / "half.pth", ARCHITECTURE)
    assert_same(read, {name: tensor.to(dtype).to(tensor.dtype) for name, tensor in state.items()})
    assert {tensor.dtype for tensor in read.values()} == {torch.float32, torch.int64}


def test_densenets_of_2017_have_dots_in_their_names(tmp_path: Path) -> None:
    state = full_state("densenet121")
    old = {
        name.replace("norm1", "norm.1").replace("norm2", "norm.2").replace("conv1", "conv.1").replace("conv2", "conv.2")
        if "denselayer" in name
        else name: tensor
        for name, tensor in without(state, "num_batches_tracked").items()
    }
    save_legacy(old, tmp_path / "old.pth")
    assert_same(read_state_dict(tmp_path / "old.pth", "densenet121"), state)


@pytest.mark.parametrize("architecture", ["googlenet", "mnasnet0_5"])
def test_heads_for_training_and_lost_versions_are_no_obstacle(tmp_path: Path, architecture: str) -> None:
    options = {"aux_logits": True, "init_weights": False} if architecture == "googlenet" else {}
    state = torchvision.models.get_model(architecture, weights=None, **options).state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    assert_same(read_state_dict(tmp_path / "weights.safetensors", architecture), state)


def test_another_architecture_is_refused_naming_the_first_tensor_and_both_shapes(tmp_path: Path) -> None:
    torch.save(torchvision.models.resnet18(num_classes=10).state_dict(), tmp_path / "small.pth")
    says = "not weights of resnet50: layer1.0.conv1.weight is [64, 64, 3, 3] in the file, [64, 64, 1, 1] in the"
    assert_refused(tmp_path / "small.pth", "resnet50", says)


def test_a_missing_and_an_unknown_tensor_are_named(tmp_path: Path, state: dict[str, Tensor]) -> None:
    first = next(iter(state))
    torch.save({name: tensor for name, tensor in state.items() if name != first}, tmp_path / "less.pth")
    shape = list(state[first].shape)
    assert_refused(tmp_path / "less.pth", ARCHITECTURE, f"{first} is absent in the file, {shape} in the architecture")
    torch.save({**state, "extra.weight": torch.zeros(2, 3)}, tmp_path / "more.pth")
    says = "extra.weight is [2, 3] in the file, absent in the architecture"
    assert_refused(tmp_path / "more.pth", ARCHITECTURE, says)


@pytest.mark.parametrize("change", [Tensor.int, Tensor.to_sparse, lambda tensor: tensor.to(torch.complex64)])
def test_tensors_of_another_kind_are_refused(tmp_path: Path, state: dict[str, Tensor], change) -> None:
    name, first = next(iter(state.items()))
    torch.save({**state, name: change(first)}, tmp_path / "kind.pth")
    assert_refused(tmp_path / "kind.pth", ARCHITECTURE, f"{name} is {list(first.shape)} of {change(first).dtype} (")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused_by_name(tmp_path: Path, state: dict[str, Tensor], value: float) -> None:
    name = list(state)[20]
    spoilt = state[name].clone().float()
    spoilt.view(-1)[-1] = value
    torch.save({**state, name: spoilt}, tmp_path / "spoilt.pth")
    assert_refused(tmp_path / "spoilt.pth", ARCHITECTURE, f"{name} holds NaN or infinity")


def test_a_version_that_is_another_network_is_refused(tmp_path: Path) -> None:
    model = torchvision.models.mnasnet0_5(weights=None)
    model._load_from_state_dict({}, "", {"version": 1}, False, [], [], [])  # which makes it the first version's network
    torch.save(model.state_dict(), tmp_path / "first.pth")
    assert_refused(tmp_path / "first.pth", "mnasnet0_5", "layers.0.weight is [32, 3, 3, 3] in the file, [16, 3, 3, 3]")


@pytest.mark.parametrize(
    "content",
    [torch.zeros(3), [torch.zeros(3)], {"epoch": 3}, {"state_dict": {"epoch": 3}}, None, {1: torch.zeros(3)}],
    ids=["tensor", "list", "numbers", "checkpoint", "nothing", "numbered"],
)
def test_what_is_no_state_dict_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "other.pth")
    assert_refused(tmp_path / "other.pth", ARCHITECTURE, "holds no state dict of tensors; save `model.state_dict()`")


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, planted: Path) -> None:
        self.planted = planted

    def __reduce__(self) -> tuple:
        return Path.write_text, (self.planted, "executed")


@pytest.mark.parametrize("save", [save_zip, save_legacy, save_pickle])
def test_code_in_a_file_is_never_executed(
    tmp_path: Path, state: dict[str, Tensor], save: Callable[[Any, Path], None]
) -> None:
    planted = tmp_path / "planted"
    save({**state, "evil": Malicious(planted)}, tmp_path / "evil.pth")
    assert_refused(tmp_path / "evil.pth", ARCHITECTURE, "GLOBAL", "nothing in it was executed")
    assert not planted.exists()
    # The bait works: what reads pickles without restriction is caught.
    if save is save_pickle:
        pickle.loads((tmp_path / "evil.pth").read_bytes())
    else:
        torch.load(tmp_path / "evil.pth", weights_only=False)
    assert planted.exists()


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.9999])
@pytest.mark.parametrize("save", [save_zip, save_legacy, save_file])
def test_a_truncated_file_is_refused(
    tmp_path: Path, state: dict[str, Tensor], save: Callable[[Any, Path], None], share: float
) -> None:
    path = tmp_path / "part.pth"
    save(state, path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert_refused(path, ARCHITECTURE, "not a file of plain weights")


def test_a_web_page_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.pth").write_text("<!DOCTYPE html>\n<html>not found</html>\n" * 100)
    assert_refused(tmp_path / "page.pth", ARCHITECTURE, "not a file of plain weights")


@pytest.fixture(scope="module", params=[save_zip, save_legacy, save_file])
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good file with two tensors."""
    path = tmp_path_factory.mktemp("small") / "small.pth"
    request.param({"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.ones(2)}, path)
    return path


@settings(max_examples=60, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_file_raises_nothing_but_a_weights_error(small: Path, changes: list[tuple[int, int]]) -> None:
    content = bytearray(small.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    path = small.with_name("damaged.pth")
    path.write_bytes(content)
    assert_refused(path, ARCHITECTURE)


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=60), start=st.sampled_from([b"", b"\x80\x02", b"PK\x03\x04", b"\x80\x02}q\x00("]))
def test_arbitrary_bytes_raise_nothing_but_a_weights_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, start: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "arbitrary.pth"
    path.write_bytes(start + content)
    assert_refused(path, ARCHITECTURE)


def test_a_missing_file_is_told_by_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_state_dict(tmp_path / "none.pth", ARCHITECTURE)
