"""Networks of torchvision's and timm's families, with random weights: a heat map comes of each, and of a dozen the ONNX
file answers as the network itself. docs/backbones.md says so.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.transfer.network.test_families import CLASSES, FAMILIES, TIMM_FAMILIES
from transfer.deployment.export import FILES, OPEN, differences, exported, write_onnx
from transfer.explanation.cam import activation_maps, choose_layer
from transfer.network.architectures import build_network, check_maps, published_weights
from transfer.network.classifier import Classifier, HeadShape, ModelCard, build_head
from transfer.network.program import Program
from transfer.network.spatial import as_maps, layout_of
from transfer.runtime.errors import WeightsError

series = pytest.mark.series
EXPORTED = [  # a dozen, because one takes up to half a minute on a busy core
    *(("mobilenet_v3_small", 8), ("regnet_x_400mf", 8), ("resnet18", 8), ("shufflenet_v2_x0_5", 8)),
    *(("squeezenet1_1", 17), ("swin_t", 8), ("timm/convnext_atto", 32), ("timm/efficientnet_lite0", 8)),
    *(("timm/levit_128s", 224), ("timm/pvt_v2_b0", 32), ("timm/vit_tiny_patch16_224", 32)),
    ("timm/xcit_nano_12_p16_224", 32),
]


def classifier(architecture: str, size_px: int) -> tuple[Classifier, ModelCard]:
    """The network with random weights, for images of that size."""
    torch.manual_seed(0)
    published = published_weights(architecture, "DEFAULT")
    network, features = build_network(published.architecture, size_px)[:2]
    shape = HeadShape(features, (), batch_norm=False, dropout=0.0, classes=len(CLASSES))
    card = ModelCard(published.architecture, shape, CLASSES, published.preprocessing, size_px, "area", "float32")
    return Classifier(network, build_head(shape)).eval(), card


def smallest_with_maps(architecture: str, size_px: int) -> int:
    """This size or, if its maps are of one place, twice as many pixels, and so on."""
    try:
        check_maps(architecture, size_px)
        return size_px
    except WeightsError as error:
        return int(str(error).rsplit(" ", 1)[-1])


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "size_px"), EXPORTED)
def test_the_onnx_file_of_a_family_answers_as_its_network(tmp_path: Path, architecture: str, size_px: int) -> None:
    model, card = classifier(architecture, size_px)
    program = Program(model, card, mirror=True, shift_fraction=0.0).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (3, size_px, size_px, 3), np.uint8)
    with torch.no_grad():
        probabilities, features = (outputs.numpy() for outputs in program(torch.from_numpy(pixels)))
    write_onnx(tmp_path / FILES["onnx"], exported(program, size_px))
    found, found_features = OPEN["onnx"](tmp_path / FILES["onnx"])(pixels)
    assert differences(found, probabilities)["largest_difference"] < 1e-4
    np.testing.assert_allclose(found_features, features, rtol=1e-3, atol=1e-3 * np.abs(features).max())


@series
@pytest.mark.parametrize(("architecture", "size_px"), [*FAMILIES, *TIMM_FAMILIES])
def test_a_heat_map_comes_of_a_network_of_each_family(architecture: str, size_px: int) -> None:
    size_px = smallest_with_maps(architecture, size_px)
    model, _ = classifier(architecture, size_px)
    images = torch.randn(2, 3, size_px, size_px)
    layer = choose_layer(model, images, None, 6)
    outputs = []
    hook = layer.module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    gradients = as_maps(torch.autograd.grad(model(images).sum(), outputs)[0], layout_of(model))
    hook.remove()
    assert gradients is not None
    assert gradients.abs().amax((1, 2, 3)).min() > 0
    maps = activation_maps(model, layer.module, images, np.array([0, 1]))
    assert maps.shape == (2, size_px, size_px)
