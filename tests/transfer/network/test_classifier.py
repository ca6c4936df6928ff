"""Heads, feature extractors and classifiers: shapes, references against torchvision, round trips, misfits."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from transfer.network.architectures import build_network
from transfer.network.backbones import Backbone, load_backbone, save_backbone
from transfer.network.classifier import (
    Head,
    HeadShape,
    ModelCard,
    build_classifier,
    build_feature_extractor,
    build_head,
    load_card,
    load_head,
    load_model,
    save_head,
    save_model,
)
from transfer.network.published import Preprocessing
from transfer.network.tensors import load_tensors, save_tensors
from transfer.network.torchvision_models import last_layer
from transfer.runtime.errors import WeightsError

IMAGENET = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLASSES = ("airplane", "bird", "cat")


def random_backbone(architecture: str = "resnet18") -> Backbone:
    torch.manual_seed(0)
    return Backbone(architecture, dict(build_network(architecture)[0].state_dict()), IMAGENET)


def random_head(features: int = 512) -> Head:
    shape = HeadShape(features, (8,), batch_norm=True, dropout=0.5, classes=len(CLASSES))
    return Head(shape, build_head(shape).state_dict(), CLASSES, 4)


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


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenet_v3_small", "vgg11", "convnext_tiny"])
def test_features_are_what_the_last_linear_layer_of_torchvision_gets(architecture: str):
    torch.manual_seed(0)
    model = torchvision.models.get_model(architecture, weights=None).eval()
    last = model.get_submodule(last_layer(model))
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
    assert replace(loaded, state={}) == replace(head, state={})
    different = [name for name in head.state if not torch.equal(loaded.state[name], head.state[name])]
    assert different == []


def save_classifier(path) -> tuple[nn.Module, ModelCard]:
    classifier = build_classifier(random_backbone(), random_head()).eval()
    card = ModelCard("resnet18", random_head().shape, CLASSES, IMAGENET, 32, "cubic", "float32")
    save_model(path, classifier, card)
    return classifier, card


def test_a_model_comes_back_as_it_was_saved_and_answers_the_same(tmp_path):
    classifier, card = save_classifier(tmp_path / "model.safetensors")
    loaded, loaded_card = load_model(tmp_path / "model.safetensors", CLASSES, 32)
    assert loaded_card == card == load_card(tmp_path / "model.safetensors")
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


LOADERS: dict[str, Callable[[Path], object]] = {
    "backbone": load_backbone,
    "head": load_head,
    "model": lambda path: load_model(path, CLASSES, 32),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A folder with a good file of each kind."""
    folder = tmp_path_factory.mktemp("saved")
    save_backbone(folder / "backbone.safetensors", random_backbone())
    save_head(folder / "head.safetensors", random_head())
    save_classifier(folder / "model.safetensors")
    return folder


def assert_refused(kind: str, path: Path, *says: str) -> None:
    with pytest.raises(WeightsError) as caught:
        LOADERS[kind](path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert [part for part in says if part not in message] == []


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("given", LOADERS)
def test_a_file_of_another_kind_is_refused_saying_what_it_holds(saved: Path, kind: str, given: str):
    path = saved / f"{given}.safetensors"
    if kind == given:
        LOADERS[kind](path)
        return
    assert_refused(kind, path, "holds no", ", ".join(sorted(load_tensors(path)[1])))


def changed(saved: Path, kind: str, folder: Path, change: Callable[[dict, dict], Any]) -> Path:
    """A copy of a good file, changed, with a digest that fits."""
    tensors, about = load_tensors(saved / f"{kind}.safetensors")
    change(tensors, about)
    save_tensors(folder / "changed.safetensors", tensors, about)
    return folder / "changed.safetensors"


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("backbone", lambda _, about: about.clear(), "holds no Backbone but something of no description"),
        ("backbone", lambda _, about: about.pop("preprocessing"), "preprocessing: Field required"),
        ("backbone", lambda _, about: about["preprocessing"].pop("std"), "preprocessing.std: Field required"),
        ("backbone", lambda _, about: about["preprocessing"].update(mean=[0.5, 0.5]), "preprocessing.mean"),
        (
            "backbone",
            lambda _, about: about.update(architecture="resnet19"),
            "'resnet19', which neither torchvision nor timm has",
        ),
        ("backbone", lambda _, about: about.update(more=1), "more: Unexpected keyword argument"),
        ("head", lambda _, about: about["shape"].update(hidden=["wide"]), "shape.hidden.0: "),
        ("head", lambda _, about: about["shape"].update(features=-1), "no head can be HeadShape(features=-1"),
        ("head", lambda _, about: about.update(classes=3), "classes: "),
        ("head", lambda _, about: about.update(epochs=None), "epochs: "),
        ("model", lambda _, about: about.pop("size_px"), "size_px: Field required"),
        ("model", lambda _, about: about.update(head=[]), "head: "),
    ],
)
def test_a_description_that_lacks_something_is_refused_naming_it(saved: Path, tmp_path, kind: str, change, says: str):
    assert_refused(kind, changed(saved, kind, tmp_path, change), says)


@pytest.mark.parametrize(
    ("kind", "name", "shape"),
    [
        ("backbone", "layer1.0.conv1.weight", [64, 64, 3, 3]),
        ("head", "0.weight", [8, 512]),
        ("model", "backbone.layer1.0.conv1.weight", [64, 64, 3, 3]),
        ("model", "head.0.weight", [8, 512]),
    ],
)
def test_tensors_that_do_not_fit_are_refused_naming_the_first(saved: Path, tmp_path, kind: str, name: str, shape: list):
    def refuse(change: Callable[[dict, dict], Any], says: str) -> None:
        assert_refused(kind, changed(saved, kind, tmp_path, change), says)

    refuse(lambda tensors, _: tensors.pop(name), f"{name} is absent in the file, {shape} in the architecture")
    refuse(lambda tensors, _: tensors.update(extra=torch.ones(2)), "extra is [2] in the file, absent in the")
    refuse(lambda tensors, _: tensors.update({name: torch.ones(2, 3)}), f"{name} is [2, 3] in the file, {shape} in")
    refuse(lambda tensors, _: tensors.update({name: tensors[name].half()}), f"{name} is {shape} of torch.float16")
    refuse(lambda tensors, _: tensors.clear(), "is absent in the file")
