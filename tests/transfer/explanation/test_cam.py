"""Maps equal their definitions, the layer is the last with maps wide enough, no map is refused."""

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from transfer.explanation.cam import METHODS, Method, activation_maps, choose_layer, explain
from transfer.network.backbones import Preprocessing
from transfer.network.images import Images
from transfer.runtime.errors import DataError, ParameterError


def resnet() -> torchvision.models.ResNet:
    torch.manual_seed(0)
    return torchvision.models.resnet18(num_classes=3).eval()


def images(side: int) -> torch.Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("side", "min_map_px", "name", "width"),
    [
        *((96, 6, "layer3", 6), (96, 3, "layer4", 3), (224, 6, "layer4", 7), (32, 2, "layer3", 2)),
        # Of narrower ones the widest; the stem's, 16, 8 and 4, are no features.
        *((32, 6, "layer1", 8), (16, 6, "layer1", 4), (8, 6, "layer1", 2)),
    ],
)
def test_the_layer_is_the_last_with_maps_wide_enough(side: int, min_map_px: int, name: str, width: int):
    model = resnet()
    layer = choose_layer(model, images(side), None, min_map_px)
    assert (layer.name, layer.width) == (name, width)
    assert layer.module is model.get_submodule(name)


def test_a_layer_inside_a_block_is_not_taken_for_the_last():
    """In a bottleneck the first convolution of layer4 still has the width of layer3."""
    model = torchvision.models.resnet50(num_classes=3).eval()
    assert choose_layer(model, images(96), None, 6).name == "layer3"


def test_the_title_says_why_it_is_not_the_last_block():
    description = choose_layer(resnet(), images(96), None, 6).description
    assert description == "layer3, maps of 6 × 6; the last maps, 3 × 3, are too coarse to see an object"
    assert choose_layer(resnet(), images(224), None, 6).description == "layer4, maps of 7 × 7"
    description = choose_layer(resnet(), images(16), None, 6).description
    assert description == "layer1, maps of 4 × 4, the widest there are; explain.min_map_px = 6"
    assert choose_layer(resnet(), images(16), "layer1", 6).description.startswith("layer1, maps of 4 × 4; the last")


def test_a_layer_can_be_named_and_a_wrong_name_is_told_the_right_ones():
    model = resnet()
    assert choose_layer(model, images(96), "layer2.1", 6).module is model.layer2[1]
    for wrong in ("layer9", "fc"):
        with pytest.raises(ParameterError, match=rf"explain\.layer = '{wrong}'.*layer1, .*layer4$"):
            choose_layer(model, images(96), wrong, 6)


def test_images_too_small_for_a_map_are_refused():
    with pytest.raises(DataError, match=r"images of 2 pixels leave no feature map.*raise resize\.size_px"):
        choose_layer(resnet(), images(2), None, 2)


def features_and_gradients(model: nn.Module, layer: nn.Module, batch: torch.Tensor, targets: np.ndarray):
    kept: list[torch.Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        output.retain_grad()
        kept.append(output)

    handle = layer.register_forward_hook(keep)
    logits = model(batch)
    handle.remove()
    logits[torch.arange(2), torch.from_numpy(targets)].sum().backward()
    (features,) = kept
    assert features.grad is not None
    return features.detach(), features.grad


@pytest.mark.parametrize("method", ["gradcam", "hirescam"])
@pytest.mark.parametrize("name", ["layer3", "layer4"])
def test_maps_are_those_of_the_definition(method: Method, name: str):
    """Channels weighted by their gradients (or the mean of these), summed, cut at zero, enlarged and scaled."""
    model, batch, targets = resnet(), images(96), np.array([2, 0])
    layer = model.get_submodule(name)
    maps = activation_maps(model, layer, batch, targets, method)
    features, gradients = features_and_gradients(model, layer, batch, targets)
    weights = gradients.mean((2, 3), keepdim=True) if method == "gradcam" else gradients
    raw = F.relu((features * weights).sum(1, keepdim=True))
    low, high = raw.amin((2, 3), keepdim=True), raw.amax((2, 3), keepdim=True)
    expected = F.interpolate((raw - low) / (high - low), size=96, mode="bilinear")[:, 0]
    np.testing.assert_allclose(maps, expected / expected.amax((1, 2), keepdim=True), atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_maps_and_leaves_the_model_as_it_was(method: Method, capfd):
    model = resnet()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    maps = activation_maps(model, model.layer2, images(48), np.array([2, 0]), method)
    assert maps.shape == (2, 48, 48)
    assert np.isfinite(maps).all()
    assert maps.min() == 0
    assert maps.max() == pytest.approx(1)
    single = activation_maps(model, model.layer2, images(48)[1:], np.array([0]), method)
    np.testing.assert_allclose(single[0], maps[1], atol=1e-3)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "hirescam"])
def test_a_map_without_evidence_is_zero_and_not_nan(method: Method):
    model = resnet()
    nn.init.zeros_(model.fc.weight)  # no channel matters to any class
    heat = activation_maps(model, model.layer4, images(64), np.array([1, 1]), method)
    np.testing.assert_array_equal(heat, 0)


def test_a_class_that_is_not_there_is_an_error():
    model = resnet()
    with pytest.raises(IndexError):
        activation_maps(model, model.layer4, images(64), np.array([1, 3]))


def test_a_layer_before_a_relu_in_place_can_be_explained():
    model = resnet()
    assert activation_maps(model, model.bn1, images(32), np.array([1, 2])).max() > 0


def test_batches_make_no_difference():
    model, targets = resnet(), np.array([2, 0, 1])
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    stack = Images(pixels, Preprocessing((0.5, 0.5, 0.5), (0.2, 0.2, 0.2)), torch.device("cpu"))
    places = np.array([4, 0, 2])
    maps = explain(model, model.layer2, stack, places, targets, "gradcam", 2)
    whole = activation_maps(model, model.layer2, stack.plain(torch.from_numpy(places)), targets)
    np.testing.assert_allclose(maps, whole, atol=1e-4)
    assert explain(model, model.layer2, stack, places[:0], targets[:0], "gradcam", 2).shape == (0, 32, 32)
