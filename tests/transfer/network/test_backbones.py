"""Published weights by name, and the round trip of a backbone through safetensors."""

import re
from pathlib import Path

import pytest
import torch
import torchvision

from transfer.network.architectures import build_network, check_size, published_weights
from transfer.network.backbones import Backbone, load_backbone, save_backbone
from transfer.network.published import Preprocessing
from transfer.runtime.errors import WeightsError

ARCHITECTURE = "squeezenet1_1"  # among torchvision's smallest, so that the tests are quick


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
    assert (weights.url or "").startswith("https://")
    assert re.fullmatch("[0-9a-f]{8,}", weights.sha256_start)


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(WeightsError) as caught:
        published_weights("resnet50", "IMAGENET1K_V3")
    assert str(caught.value) == (
        "backbone.weights = 'IMAGENET1K_V3': resnet50 has IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT"
    )
    with pytest.raises(WeightsError, match=r"backbone\.name = 'resnet51': .*; did you mean resnet50\?$"):
        published_weights("resnet51", "DEFAULT")
    with pytest.raises(WeightsError, match="fcn_resnet50"):  # segments; not a classifier
        published_weights("fcn_resnet50", "DEFAULT")


@pytest.mark.parametrize(
    ("architecture", "size_px", "fitting"),
    [("alexnet", 32, 63), ("densenet121", 16, 29), ("inception_v3", 64, 75), ("vit_b_16", 100, 112)],
)
def test_a_size_that_a_network_cannot_take_is_refused_naming_one_that_it_can(
    architecture: str, size_px: int, fitting: int
) -> None:
    with pytest.raises(WeightsError) as caught:
        check_size(architecture, size_px)
    assert str(caught.value) == (
        f"resize.size_px = {size_px}: {architecture} takes no images of that size; set {fitting}"
    )
    check_size(architecture, fitting)


def test_a_saved_backbone_comes_back_the_same(tmp_path: Path) -> None:
    state = dict(build_network(ARCHITECTURE)[0].state_dict())
    backbone = Backbone(ARCHITECTURE, state, Preprocessing((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)))
    save_backbone(tmp_path / "backbone.safetensors", backbone)
    loaded = load_backbone(tmp_path / "backbone.safetensors")
    assert (loaded.architecture, loaded.preprocessing) == (backbone.architecture, backbone.preprocessing)
    assert set(loaded.state) == set(state)
    for name, tensor in state.items():
        assert torch.equal(loaded.state[name], tensor), name
