"""Grad-CAM: maps equal the definition computed by hand, the layer is the last map, no map is refused."""

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from transfer.cam import grad_cam, last_feature_map
from transfer.errors import DataError


def resnet() -> torchvision.models.ResNet:
    torch.manual_seed(0)
    return torchvision.models.resnet18(num_classes=3).eval()


def images(side: int) -> torch.Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_the_layer_of_a_resnet_is_its_last_block():
    model = resnet()
    layer, width = last_feature_map(model, images(64))
    assert layer is model.layer4
    assert width == 2


def test_where_the_last_block_has_no_width_an_earlier_one_is_taken():
    model = resnet()
    layer, width = last_feature_map(model, images(32))
    assert layer is model.layer3
    assert width == 2


def test_images_too_small_for_any_map_are_refused():
    with pytest.raises(DataError, match=r"images of 2 pixels leave no feature map.*raise resize\.size_px"):
        last_feature_map(resnet(), images(2))


def test_maps_are_those_of_the_definition():
    """ReLU of the channels' sum, each weighted by its mean gradient; enlarged, scaled to the maximum."""
    model, batch, targets = resnet(), images(96), np.array([2, 0])
    maps = grad_cam(model, model.layer4, batch, targets)
    kept: list[torch.Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        output.retain_grad()
        kept.append(output)

    handle = model.layer4.register_forward_hook(keep)
    logits = model(batch)
    handle.remove()
    logits[torch.arange(2), torch.from_numpy(targets)].sum().backward()
    (features,) = kept
    assert features.grad is not None
    raw = F.relu((features * features.grad.mean((2, 3), keepdim=True)).sum(1)).detach().numpy()
    assert maps.shape == (2, 96, 96)
    for heat, expected in zip(maps, raw, strict=True):
        assert heat.min() >= 0
        assert heat.max() == pytest.approx(1, abs=1e-3)
        small = F.adaptive_avg_pool2d(torch.from_numpy(heat)[None, None], 3)[0, 0].numpy()
        assert np.corrcoef(small.ravel(), expected.ravel())[0, 1] > 0.95


def test_a_map_without_evidence_is_zero_and_not_nan():
    model = resnet()
    nn.init.zeros_(model.fc.weight)  # no channel matters to any class
    heat = grad_cam(model, model.layer4, images(64), np.array([1, 1]))
    np.testing.assert_array_equal(heat, 0)
