"""Which layers of a real ResNet move in which epoch, at which rate, and what batch normalisation does meanwhile."""

import copy

import pytest
import torch
import torchvision
from torch import nn

from transfer.network.torchvision_models import last_layer
from transfer.training.unfreezing import Unfreezing, Wave, last_stages, layers_of


@pytest.fixture
def backbone() -> nn.Module:
    torch.manual_seed(0)
    model = torchvision.models.resnet18(weights=None)
    model.fc = nn.Identity()  # type: ignore[assignment]
    return model


def train_one_step(backbone: nn.Module, unfreezing: Unfreezing, epoch: int) -> set[str]:
    """Names of the parameters and statistics that one step of training in this epoch changes."""
    optimizer = torch.optim.SGD(unfreezing.groups(lr=1.0, weight_decay=0.0))
    before = copy.deepcopy(backbone.state_dict())
    backbone.train()
    unfreezing.begin_epoch(epoch)
    torch.manual_seed(1)
    (backbone(torch.randn(4, 3, 32, 32)) ** 2).sum().backward()
    optimizer.step()
    return {name for name, value in backbone.state_dict().items() if not torch.equal(value, before[name])}


def parameters(backbone: nn.Module) -> set[str]:
    return {name for name, _ in backbone.named_parameters()}


def statistics(backbone: nn.Module) -> set[str]:
    return {name for name, _ in backbone.named_buffers()}


def test_layers_are_all_convolutions_each_with_its_norm(backbone: nn.Module):
    layers = layers_of(backbone)
    convolutions = [module for module in backbone.modules() if isinstance(module, nn.Conv2d)]
    assert [layer.modules[0] for layer in reversed(layers)] == convolutions
    assert all(isinstance(layer.modules[1], nn.BatchNorm2d) and len(layer.modules) == 2 for layer in layers)
    assert [layer.stage for layer in layers] == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 4 + [4]


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny"])
def test_every_parameter_of_other_backbones_is_in_one_layer(name: str):
    with torch.device("meta"):
        model = torchvision.models.get_model(name, weights=None)
        model.set_submodule(last_layer(model), nn.Identity())
    found = [p for layer in layers_of(model) for module in layer.modules for p in module.parameters(recurse=False)]
    assert len(found) == len({id(p) for p in found}) == len(list(model.parameters()))
    assert len({layer.stage for layer in layers_of(model)}) > 3


def test_all_at_once_moves_everything(backbone: nn.Module):
    assert train_one_step(backbone, Unfreezing(backbone, []), 1) == parameters(backbone) | statistics(backbone)


def test_the_last_stages_alone_move(backbone: nn.Module):
    unfreezing = Unfreezing(backbone, [Wave(last_stages(backbone, 2), 1, 1.0)])
    moved = train_one_step(backbone, unfreezing, 1)
    both = parameters(backbone) | statistics(backbone)
    assert moved == {name for name in both if name.startswith(("layer3.", "layer4."))}


def test_gradual_unfreezing_moves_the_top_layers_first(backbone: nn.Module):
    waves = [Wave(5, 1, 1.0), Wave(10, 3, 0.5), Wave(20, 4, 0.1)]
    prefixes = {1: ("layer4.",), 2: ("layer4.",), 3: ("layer4.", "layer3."), 4: ("",)}
    for epoch, expected in prefixes.items():
        fresh = copy.deepcopy(backbone)
        moved = train_one_step(fresh, Unfreezing(fresh, waves), epoch)
        assert moved == {name for name in parameters(fresh) | statistics(fresh) if name.startswith(expected)}


def test_rates_fall_with_each_wave_and_each_stage(backbone: nn.Module):
    unfreezing = Unfreezing(backbone, [Wave(5, 1, 1.0), Wave(20, 3, 0.5)], stage_lr_decay=0.8)
    rate_of = {id(p): group["lr"] for group in unfreezing.groups(0.01, 0.1) for p in group["params"]}
    named = dict(backbone.named_parameters())
    expected = {
        "layer4.1.conv2.weight": 0.01,
        "layer4.0.bn1.bias": 0.01,
        "layer3.0.conv1.weight": 0.01 * 0.5 * 0.8,
        "layer1.0.bn1.weight": 0.01 * 0.5 * 0.8**3,
        "conv1.weight": 0.01 * 0.5 * 0.8**4,
    }
    assert {name: rate_of[id(named[name])] for name in expected} == pytest.approx(expected)


def test_only_weights_decay(backbone: nn.Module):
    groups = Unfreezing(backbone, [], stage_lr_decay=0.9).groups(0.01, 0.1)
    assert all((p.ndim > 1) == (group["weight_decay"] > 0) for group in groups for p in group["params"])
    assert sum(len(group["params"]) for group in groups) == len(list(backbone.parameters()))


def test_frozen_statistics_stay_while_all_weights_move(backbone: nn.Module):
    moved = train_one_step(backbone, Unfreezing(backbone, [], frozen_statistics=True), 1)
    assert moved == parameters(backbone)


def test_layers_beyond_the_last_wave_are_never_trained(backbone: nn.Module):
    unfreezing = Unfreezing(backbone, [Wave(5, 1, 1.0)])
    trained = sum(len(group["params"]) for group in unfreezing.groups(0.01, 0.0))
    assert trained == len(list(backbone.layer4.parameters()))  # type: ignore[union-attr]
    assert train_one_step(backbone, unfreezing, 100) <= {n for n in backbone.state_dict() if n.startswith("layer4.")}
