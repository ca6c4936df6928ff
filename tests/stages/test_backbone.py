"""backbone: weights reach the file unchanged, a folder address works, wrong digests and architectures are refused."""

import json

import pytest
import torch
from safetensors.torch import save_file

from stages import backbone
from tests.stages.conftest import Arena
from transfer.network.backbones import load_backbone
from transfer.runtime.errors import WeightsError
from transfer.runtime.files import sha256_of


def settings(arena: Arena, **changes: object) -> dict:
    return {**arena.parameters, "backbone": {**arena.parameters["backbone"], **changes}}


def test_weights_arrive_unchanged_with_their_preprocessing(arena):
    saved = load_backbone(arena.file("models/backbone.safetensors"))
    original = torch.load(arena.weights, weights_only=True)
    del original["fc.weight"], original["fc.bias"]
    assert set(saved.state) == set(original)
    different = [name for name in original if not torch.equal(saved.state[name], original[name])]
    assert different == []
    assert saved.preprocessing.mean == (0.485, 0.456, 0.406)
    assert json.loads(arena.file("metrics/backbone.json").read_text()) == {
        "name": "resnet18",
        "weights": "IMAGENET1K_V1",
        "published": False,
        "sha256": sha256_of(arena.weights),
        "parameters": sum(tensor.numel() for tensor in original.values()),
    }


@pytest.mark.parametrize("ending", ["/", ""])
@pytest.mark.parametrize("name", ["resnet18.pth", "resnet18.safetensors"])
def test_an_address_may_be_a_folder(arena, tmp_path, name: str, ending: str):
    original = torch.load(arena.weights, weights_only=True)
    save_file(original, tmp_path / name) if name.endswith("safetensors") else torch.save(original, tmp_path / name)
    arena.run(backbone, settings(arena, url=f"{tmp_path}{ending}"), weights="again.safetensors", metrics="again.json")
    assert arena.file("again.safetensors").read_bytes() == arena.file("models/backbone.safetensors").read_bytes()


def test_a_size_that_the_network_cannot_take_is_refused_before_anything_is_fetched(arena):
    changes = {**settings(arena, name="alexnet", url="nowhere.pth"), "resize": {"size_px": 32, "interpolation": "area"}}
    complaint = r"resize\.size_px = 32: alexnet takes no images of that size; set 63$"
    with pytest.raises(WeightsError, match=complaint):
        arena.run(backbone, changes, weights="none.safetensors", metrics="none.json")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"sha256": "0" * 64}, "SHA-256 is .*, expected to begin with 0000"),
        (
            {"name": "resnet34"},
            r"not weights of resnet34: layer1\.2\.conv1\.weight is absent in the file, \[64, 64, 3, 3\]",
        ),
        ({"name": "resnet50"}, r"not weights of resnet50: layer1\.0\.conv1\.weight is \[64, 64, 3, 3\] in the file"),
        ({"name": "resnet19"}, r"backbone\.name = 'resnet19': .*; did you mean resnet1"),
        ({"weights": "IMAGENET1K_V2"}, r"backbone\.weights = 'IMAGENET1K_V2': resnet18 has IMAGENET1K_V1, DEFAULT"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(arena, changes: dict, complaint: str):
    with pytest.raises(WeightsError, match=complaint) as caught:
        arena.run(backbone, settings(arena, **changes), weights="none.safetensors", metrics="none.json")
    assert "\n" not in str(caught.value)
    assert not list(arena.folder.glob("*none*"))
