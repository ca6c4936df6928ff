"""Tensors on disk: a round trip tensor by tensor over types, shapes and layouts, equal bytes for equal content,
tensors that share memory, and what is refused: missing, truncated, altered and foreign files, a full disk.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from tests.transfer.runtime.full_disk import files_limited_to
from transfer.network.tensors import digest, load_tensors, save_tensors
from transfer.runtime.errors import WeightsError

ABOUT = {"architecture": "resnet18", "mean": [0.485, 1e-300], "nested": {"a": None, "b": [True]}, "text": "ä\n"}


def every_kind() -> dict[str, Tensor]:
    """A tensor of each type, shape and layout that weights and optimizers have."""
    values = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    return {
        "float32": values,
        "float64": values.double(),
        "float16": values.half(),
        "bfloat16": values.bfloat16(),
        "int64": torch.tensor([2**62 + 1, -5]),
        "uint8": torch.arange(7, dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "scalar": torch.tensor(3.5),
        "count": torch.tensor(7, dtype=torch.int64),
        "empty": torch.zeros(0, 3),
        "not_contiguous": values.clone().transpose(0, 3)[1:, :, ::2],
        "channels_last": values.clone().contiguous(memory_format=torch.channels_last),
        "parameter": torch.nn.Parameter(values[0].clone()),
        "special": torch.tensor([float("nan"), float("inf"), -0.0]),
    }


def assert_same(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Equal names, types, shapes and values, bit for bit."""
    assert set(found) == set(wanted)
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype, name
        assert found[name].shape == tensor.shape, name
        flat = (part.detach().contiguous().view(-1).view(torch.uint8) for part in (found[name], tensor))
        assert torch.equal(*flat), name


def test_tensors_of_every_kind_and_their_description_come_back_the_same(tmp_path: Path) -> None:
    save_tensors(tmp_path / "model.safetensors", every_kind(), ABOUT)
    tensors, about = load_tensors(tmp_path / "model.safetensors")
    assert_same(tensors, every_kind())
    assert about == ABOUT


def test_no_tensors_come_back_as_no_tensors(tmp_path: Path) -> None:
    save_tensors(tmp_path / "state.safetensors", {}, {"epoch": 0})
    assert load_tensors(tmp_path / "state.safetensors") == ({}, {"epoch": 0})


def test_integer_keys_of_a_description_come_back_as_text_like_all_of_json(tmp_path: Path) -> None:
    save_tensors(tmp_path / "state.safetensors", {}, {"names": dict.fromkeys(range(12), "x")})
    assert load_tensors(tmp_path / "state.safetensors")[1] == {"names": {str(key): "x" for key in range(12)}}


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    save_tensors(tmp_path / "first", every_kind(), ABOUT)
    backwards = dict(reversed(every_kind().items()))
    backwards["channels_last"] = backwards["channels_last"].contiguous()
    save_tensors(tmp_path / "second", backwards, dict(reversed(ABOUT.items())))
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_tensors_that_share_memory_are_saved_each_with_its_own_values(tmp_path: Path) -> None:
    weight = torch.arange(12.0).reshape(3, 4)
    tied = {"embedding": weight, "output": weight, "view": weight.view(-1), "row": weight[1], "turned": weight.T}
    save_tensors(tmp_path / "tied", tied, {})
    assert_same(load_tensors(tmp_path / "tied")[0], tied)
    save_tensors(tmp_path / "apart", {name: tensor.clone() for name, tensor in tied.items()}, {})
    assert (tmp_path / "tied").read_bytes() == (tmp_path / "apart").read_bytes()


def test_saving_leaves_the_tensors_as_they_were(tmp_path: Path) -> None:
    tensors = every_kind()
    strides = {name: tensor.stride() for name, tensor in tensors.items()}
    save_tensors(tmp_path / "model.safetensors", tensors, {})
    assert_same(tensors, every_kind())
    assert {name: tensor.stride() for name, tensor in tensors.items()} == strides


@pytest.mark.parametrize(
    "other",
    [
        {"b": torch.tensor([1.0, 2.0])},
        {"a": torch.tensor([1.0, 2.5])},
        {"a": torch.tensor([[1.0, 2.0]])},
        {"a": torch.tensor([1.0, 2.0]).view(torch.int32)},
    ],
    ids=["name", "value", "shape", "type"],
)
def test_the_digest_tells_apart(other: dict[str, Tensor]) -> None:
    assert digest(other, {}) != digest({"a": torch.tensor([1.0, 2.0])}, {})


def assert_one_line(error: WeightsError) -> None:
    assert "\n" not in str(error)


def assert_refused(path: Path, says: str) -> None:
    with pytest.raises(WeightsError, match=says) as caught:
        load_tensors(path)
    assert str(path) in str(caught.value)
    assert_one_line(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path / "model.safetensors", "no such file; run the stage that writes it")


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "model.safetensors"
    save_tensors(path, every_kind(), ABOUT)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert_refused(path, "damaged")


def test_a_flipped_bit_in_the_values_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_tensors(path, {"weight": torch.ones(4)}, {})
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert_refused(path, "does not match its digest")


def test_a_changed_description_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_tensors(path, {"weight": torch.ones(4)}, {"mean": 0.485})
    path.write_bytes(path.read_bytes().replace(b"0.485", b"0.385"))
    assert_refused(path, "does not match its digest")


@pytest.mark.parametrize(
    "metadata",
    [None, {"about": "[]"}, {"about": "{}"}, {"about": "no JSON"}, {"format": "pt"}],
    ids=["none", "a list", "no digest", "no JSON", "another program's"],
)
def test_a_safetensors_file_of_another_program_is_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    save_file({"weight": torch.ones(4)}, tmp_path / "other.safetensors", metadata=metadata)
    assert_refused(tmp_path / "other.safetensors", "damaged|does not match its digest")


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("valid") / "model.safetensors"
    save_tensors(path, every_kind(), ABOUT)
    return path


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_changed_byte_anywhere_is_refused_or_changes_nothing(valid: Path, data: st.DataObject) -> None:
    path = valid.with_name("changed.safetensors")
    content = bytearray(valid.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        tensors, about = load_tensors(path)
    except WeightsError as error:
        assert_one_line(error)
    else:
        assert_same(tensors, every_kind())
        assert about == ABOUT


def test_a_description_that_is_not_json_is_refused_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_tensors(path, {}, {"loss": 1.0})
    with pytest.raises(ValueError, match="JSON"):
        save_tensors(path, {}, {"loss": float("nan")})
    assert load_tensors(path) == ({}, {"loss": 1.0})


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_tensors(path, {"weight": torch.ones(4)}, {})
    with pytest.raises(OSError, match="File too large") as caught, files_limited_to(100_000):
        save_tensors(path, {"weight": torch.ones(100_000)}, {})
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == [path]
    assert_same(load_tensors(path)[0], {"weight": torch.ones(4)})
