"""Heads, feature extractors and classifiers: shapes, references against torchvision, round trips, misfits."""

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from transfer.backbones import Backbone, Preprocessing
from transfer.errors import WeightsError
from transfer.network import (
    Head,
    HeadShape,
    ModelCard,
    build_classifier,
    build_feature_extractor,
    build_head,
    last_linear,
    load_head,
    load_model,
    save_head,
    save_model,
)

IMAGENET = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLASSES = ("airplane", "bird", "cat")


def random_backbone(architecture: str = "resnet18") -> Backbone:
    torch.manual_seed(0)
    return Backbone(architecture, torchvision.models.get_model(architecture, weights=None).state_dict(), IMAGENET)


def random_head(features: int = 512) -> Head:
    shape = HeadShape(features, (8,), batch_norm=True, dropout=0.5, classes=len(CLASSES))
    return Head(shape, build_head(shape).state_dict(), CLASSES, epochs=4)


def images(count: int = 2, side: int = 32) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("shape", "layers"),
    [
        (HeadShape(6, (), False, 0.0, 3), [nn.Linear]),
        (HeadShape(6, (), True, 0.5, 3), [nn.Linear]),
        (HeadShape(6, (5, 4), False, 0.0, 3), [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]),
        (HeadShape(6, (5,), True, 0.5, 3), [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout, nn.Linear]),
    ],
)
def test_a_head_has_the_layers_its_shape_names(shape: HeadShape, layers: list[type]):
    head = build_head(shape)
    assert [type(layer) for layer in head] == layers
    assert head(torch.zeros(2, 6)).shape == (2, 3)


@pytest.mark.parametrize(
    "architecture", ["resnet18", "mobilenet_v3_small", "efficientnet_b0", "vgg11", "convnext_tiny"]
)
def test_features_are_what_the_last_linear_layer_of_torchvision_gets(architecture: str):
    torch.manual_seed(0)
    model = torchvision.models.get_model(architecture, weights=None).eval()
    last = model.get_submodule(last_linear(model))
    assert isinstance(last, nn.Linear)
    seen = []
    last.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    extractor, features = build_feature_extractor(Backbone(architecture, model.state_dict(), IMAGENET))
    with torch.no_grad():
        model(images(side=64))
        found = extractor.eval()(images(side=64))
    assert features == last.in_features == found.shape[1]
    torch.testing.assert_close(found, seen[0])


def test_a_classifier_is_the_head_on_the_features():
    backbone, head = random_backbone(), random_head()
    classifier = build_classifier(backbone, head).eval()
    extractor, _ = build_feature_extractor(backbone)
    top = build_head(head.shape)
    top.load_state_dict(head.state)
    with torch.no_grad():
        torch.testing.assert_close(classifier(images()), top.eval()(extractor.eval()(images())))


def test_training_a_classifier_leaves_the_backbone_it_was_built_from_alone():
    backbone = random_backbone()
    before = {name: tensor.clone() for name, tensor in backbone.state.items()}
    classifier = build_classifier(backbone, random_head()).train()
    optimizer = torch.optim.SGD(classifier.parameters(), lr=0.1)
    classifier(images()).square().sum().backward()
    optimizer.step()
    changed = [name for name, tensor in backbone.state.items() if not torch.equal(tensor, before[name])]
    assert changed == []


def test_a_head_of_another_width_is_refused():
    with pytest.raises(WeightsError, match="takes 100 features, resnet18 gives 512"):
        build_classifier(random_backbone(), random_head(features=100))


def test_a_head_comes_back_as_it_was_saved(tmp_path):
    head = random_head()
    save_head(tmp_path / "head.safetensors", head)
    loaded = load_head(tmp_path / "head.safetensors")
    assert (loaded.shape, loaded.classes, loaded.epochs) == (head.shape, head.classes, head.epochs)
    different = [name for name in head.state if not torch.equal(loaded.state[name], head.state[name])]
    assert different == []


def save_classifier(path) -> tuple[nn.Module, ModelCard]:
    classifier = build_classifier(random_backbone(), random_head()).eval()
    card = ModelCard("resnet18", random_head().shape, CLASSES, IMAGENET, size_px=32)
    save_model(path, classifier, card)
    return classifier, card


def test_a_model_comes_back_as_it_was_saved_and_answers_the_same(tmp_path):
    classifier, card = save_classifier(tmp_path / "model.safetensors")
    loaded, loaded_card = load_model(tmp_path / "model.safetensors", CLASSES, 32)
    assert loaded_card == card
    with torch.no_grad():
        np.testing.assert_array_equal(loaded(images()).numpy(), classifier(images()).numpy())


@pytest.mark.parametrize(
    ("classes", "size_px", "complaint"),
    [
        (("airplane", "cat", "bird"), 32, r"trained for classes \['airplane', 'bird', 'cat'\], the data has"),
        (CLASSES, 64, "trained on 32 pixels, the data has 64"),
    ],
)
def test_a_model_of_other_classes_or_size_is_refused(tmp_path, classes, size_px: int, complaint: str):
    save_classifier(tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=complaint):
        load_model(tmp_path / "model.safetensors", classes, size_px)


def test_an_architecture_without_a_linear_layer_is_refused():
    with pytest.raises(WeightsError, match=r"SqueezeNet ends in no linear layer; choose another backbone\.name"):
        last_linear(torchvision.models.get_model("squeezenet1_1", weights=None))
