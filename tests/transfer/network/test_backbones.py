"""Published weights by name; downloaded .pth files: good ones in old and new form, of another architecture,
incomplete, damaged, hostile; the round trip of a backbone through safetensors.
"""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from transfer.network.backbones import (
    Backbone,
    Preprocessing,
    load_backbone,
    published_weights,
    read_state_dict,
    save_backbone,
)
from transfer.runtime.errors import WeightsError

ARCHITECTURE = "squeezenet1_1"  # among torchvision's smallest, so that the tests are quick


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return dict(torchvision.models.get_model(ARCHITECTURE, weights=None).state_dict())


def assert_refused(path: Path, architecture: str, *says: str) -> None:
    with pytest.raises(WeightsError) as caught:
        read_state_dict(path, architecture)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    for part in says:
        assert part in message


def test_the_default_of_resnet50_is_the_second_and_of_resnet18_the_first() -> None:
    assert published_weights("resnet50", "DEFAULT").name == "IMAGENET1K_V2"
    assert published_weights("resnet50", "IMAGENET1K_V1").name == "IMAGENET1K_V1"
    assert published_weights("resnet18", "DEFAULT").name == "IMAGENET1K_V1"


def test_published_weights_carry_address_digest_and_preprocessing() -> None:
    weights = published_weights("resnet50", "DEFAULT")
    assert weights.url == "https://download.pytorch.org/models/resnet50-11ad3fa6.pth"
    assert weights.sha256_start == "11ad3fa6"
    assert weights.preprocessing == Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "RGB")


@pytest.mark.parametrize("architecture", torchvision.models.list_models(module=torchvision.models))
def test_every_classification_model_of_torchvision_can_be_looked_up(architecture: str) -> None:
    weights = published_weights(architecture, "DEFAULT")
    assert weights.url.startswith("https://")
    assert re.fullmatch("[0-9a-f]{8,}", weights.sha256_start)


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(WeightsError) as caught:
        published_weights("resnet50", "IMAGENET1K_V3")
    assert str(caught.value) == (
        "backbone.weights = 'IMAGENET1K_V3': resnet50 has IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT"
    )
    with pytest.raises(WeightsError, match=r"backbone\.name = 'resnet51': .*\bresnet50\b.*\bvit_b_16\b"):
        published_weights("resnet51", "DEFAULT")
    with pytest.raises(WeightsError, match="fcn_resnet50"):  # segments; not a classifier
        published_weights("fcn_resnet50", "DEFAULT")


@pytest.mark.parametrize("new_form", [True, False], ids=["zip", "legacy"])
def test_a_state_dict_comes_back_tensor_by_tensor(tmp_path: Path, state: dict[str, Tensor], new_form: bool) -> None:
    torch.save(state, tmp_path / "good.pth", _use_new_zipfile_serialization=new_form)
    read = read_state_dict(tmp_path / "good.pth", ARCHITECTURE)
    assert list(read) == list(state)
    for name, tensor in state.items():
        assert torch.equal(read[name], tensor), name


def test_another_architecture_is_refused_naming_the_first_tensor_and_both_shapes(tmp_path: Path) -> None:
    # Same names, other widths.
    torch.save(torchvision.models.resnet18(num_classes=10).state_dict(), tmp_path / "small.pth")
    assert_refused(
        tmp_path / "small.pth",
        "resnet18",
        "not weights of resnet18: fc.weight is [10, 512] in the file, [1000, 512] in the architecture",
    )
    assert_refused(
        tmp_path / "small.pth",
        "resnet50",
        "layer1.0.conv1.weight is [64, 64, 3, 3] in the file, [64, 64, 1, 1] in the architecture",
    )


def test_a_missing_and_an_unknown_tensor_are_named(tmp_path: Path, state: dict[str, Tensor]) -> None:
    first = next(iter(state))
    torch.save({name: tensor for name, tensor in state.items() if name != first}, tmp_path / "less.pth")
    shape = list(state[first].shape)
    assert_refused(tmp_path / "less.pth", ARCHITECTURE, f"{first} is absent in the file, {shape} in the architecture")
    torch.save({**state, "extra.weight": torch.zeros(2, 3)}, tmp_path / "more.pth")
    says = "extra.weight is [2, 3] in the file, absent in the architecture"
    assert_refused(tmp_path / "more.pth", ARCHITECTURE, says)


def test_weights_of_another_precision_are_refused(tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save({name: tensor.half() for name, tensor in state.items()}, tmp_path / "half.pth")
    name, shape = next(iter(state)), list(next(iter(state.values())).shape)
    assert_refused(tmp_path / "half.pth", ARCHITECTURE, f"{name} is {shape} of torch.float16")


@pytest.mark.parametrize(
    "content",
    [torch.zeros(3), [torch.zeros(3)], {"epoch": 3}, {"state_dict": {"a": torch.zeros(3)}}, None],
    ids=["tensor", "list", "numbers", "checkpoint", "nothing"],
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


def save_zip(content: Any, path: Path) -> None:
    torch.save(content, path)


def save_legacy(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def save_pickle(content: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize("save", [save_zip, save_legacy, save_pickle])
def test_code_in_a_file_is_never_executed(
    tmp_path: Path, state: dict[str, Tensor], save: Callable[[Any, Path], None]
) -> None:
    planted = tmp_path / "planted"
    save({**state, "evil": Malicious(planted)}, tmp_path / "evil.pth")
    assert_refused(tmp_path / "evil.pth", ARCHITECTURE, "nothing in it was executed")
    assert not planted.exists()
    # The bait works: what reads pickles without restriction is caught.
    if save is save_pickle:
        pickle.loads((tmp_path / "evil.pth").read_bytes())
    else:
        torch.load(tmp_path / "evil.pth", weights_only=False)
    assert planted.exists()


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.9999])
@pytest.mark.parametrize("save", [save_zip, save_legacy])
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


@pytest.fixture(scope="module", params=[save_zip, save_legacy])
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


def test_a_saved_backbone_comes_back_the_same(tmp_path: Path, state: dict[str, Tensor]) -> None:
    backbone = Backbone(ARCHITECTURE, state, Preprocessing((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)))
    save_backbone(tmp_path / "backbone.safetensors", backbone)
    loaded = load_backbone(tmp_path / "backbone.safetensors")
    assert (loaded.architecture, loaded.preprocessing) == (backbone.architecture, backbone.preprocessing)
    assert set(loaded.state) == set(state)
    for name, tensor in state.items():
        assert torch.equal(loaded.state[name], tensor), name
