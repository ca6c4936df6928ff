"""Parameter groups: every weight once, decay on weights only, and one step of each optimizer by its formula."""

import copy

import pytest
import torch
from torch import nn

from transfer.training.optimization import build_optimizer, parameter_groups, peak_rates
from transfer.training.state import SavedState


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def test_each_parameter_is_in_one_group_and_only_weights_are_decayed():
    network = model()
    groups = parameter_groups(network, 0.1, 0.5)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in network.parameters())
    decay = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    for name, parameter in network.named_parameters():
        is_weight = name in ("0.weight", "3.weight")  # not biases, and not the norm's weight
        assert decay[id(parameter)] == (0.5 if is_weight else 0.0), name
    assert peak_rates(groups) == [0.1, 0.1]


def test_frozen_parameters_are_left_out():
    network = model()
    network[0].requires_grad_(False)
    grouped = {id(parameter) for group in parameter_groups(network, 0.1, 0.5) for parameter in group["params"]}
    assert grouped == {id(parameter) for layer in (1, 3) for parameter in network[layer].parameters()}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # First step: the direction is the gradient's sign, after decay by lr * weight_decay.
        ("adamw", lambda w, g: w * (1 - 0.1 * 0.5) - 0.1 * g / (g.abs() + 1e-8)),
        # Nesterov: gradient with decay, plus momentum times it.
        ("sgd", lambda w, g: w - 0.1 * 1.9 * (g + 0.5 * w)),
    ],
)
def test_the_first_step_is_that_of_the_formula(name: str, expected):
    layer = nn.Linear(3, 2, bias=False)
    before = layer.weight.detach().clone()
    optimizer = build_optimizer(name, parameter_groups(layer, 0.1, 0.5), momentum=0.9)
    layer(torch.tensor([[1.0, -2.0, 3.0]])).sum().backward()
    assert layer.weight.grad is not None
    gradient = layer.weight.grad.clone()
    optimizer.step()
    torch.testing.assert_close(layer.weight.detach(), expected(before, gradient))


def test_the_head_learns_at_its_own_rate():
    backbone, head = nn.Linear(3, 3, bias=False), nn.Linear(3, 2, bias=False)
    groups = [*parameter_groups(backbone, 0.1, 0.0), *parameter_groups(head, 0.5, 0.0)]
    before = [layer.weight.detach().clone() for layer in (backbone, head)]
    optimizer = build_optimizer("adamw", groups, momentum=0.9)
    head(backbone(torch.ones(1, 3))).square().sum().backward()
    optimizer.step()
    moved = [(layer.weight - old).abs().max() for layer, old in zip((backbone, head), before, strict=True)]
    assert moved[0].item() == pytest.approx(0.1, rel=1e-3)
    assert moved[1].item() == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_a_saved_optimizer_goes_on_as_one_that_was_not(tmp_path, name: str):
    """In channels-last memory, as the network is trained; whose layout the fused kernels rely on."""
    inputs = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(72, 2)).to(memory_format=torch.channels_last)
    optimizer = build_optimizer(name, parameter_groups(network, 0.1, 0.5), momentum=0.9)

    def step(network: nn.Module, optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
        optimizer.zero_grad()
        network(inputs).square().sum().backward()
        optimizer.step()
        return [parameter.detach().clone() for parameter in network.parameters()]

    step(network, optimizer)
    saved, again = SavedState(tmp_path, "run", "0"), copy.deepcopy(network)
    saved.save(optimizer.state_dict())
    loaded = saved.load()
    assert loaded is not None
    resumed = build_optimizer(name, parameter_groups(again, 0.1, 0.5), momentum=0.9)
    resumed.load_state_dict(loaded)
    torch.testing.assert_close(step(again, resumed), step(network, optimizer), rtol=0, atol=0)


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match="no optimizer 'lion'"):
        build_optimizer("lion", [], 0.9)
