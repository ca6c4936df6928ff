"""The smallest network of each torchvision family, with random weights at its smallest size: weights file, backbone,
features as torchvision's own, a training step, and the classifier back from its file.
"""

from pathlib import Path

import pytest
import torch
import torchvision

from transfer.network.architectures import check_size, is_sized
from transfer.network.backbones import Backbone, load_backbone, save_backbone
from transfer.network.classifier import (
    Head,
    HeadShape,
    ModelCard,
    build_classifier,
    build_feature_extractor,
    build_head,
    load_model,
    save_model,
)
from transfer.network.published import Preprocessing
from transfer.network.torchvision_models import last_layer
from transfer.network.weights import read_state_dict
from transfer.runtime.errors import WeightsError

IMAGENET = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLASSES = ("bird", "cat")
slow = pytest.mark.slow
LEAST_PX = 8  # that params.yaml may set
FAMILIES = [  # architecture, smallest side in pixels
    pytest.param("alexnet", 63, marks=slow),
    pytest.param("convnext_tiny", 32, marks=slow),
    pytest.param("densenet121", 29, marks=slow),
    pytest.param("efficientnet_b0", 8, marks=slow),
    pytest.param("efficientnet_v2_s", 8, marks=slow),
    pytest.param("googlenet", 15, marks=slow),
    pytest.param("inception_v3", 75, marks=slow),
    pytest.param("maxvit_t", 221, marks=slow),
    pytest.param("mnasnet0_5", 8, marks=slow),
    pytest.param("mobilenet_v2", 8, marks=slow),
    ("mobilenet_v3_small", 8),
    pytest.param("regnet_x_400mf", 8, marks=slow),
    pytest.param("regnet_y_400mf", 8, marks=slow),
    ("resnet18", 8),
    pytest.param("resnext50_32x4d", 8, marks=slow),
    ("shufflenet_v2_x0_5", 8),
    pytest.param("squeezenet1_0", 21, marks=slow),
    pytest.param("squeezenet1_1", 17, marks=slow),
    ("swin_t", 8),
    pytest.param("swin_v2_t", 8, marks=slow),
    pytest.param("vgg11", 32, marks=slow),
    pytest.param("vgg11_bn", 32, marks=slow),
    pytest.param("vit_b_32", 32, marks=slow),
    pytest.param("vit_b_32", 224, marks=slow),
    pytest.param("wide_resnet50_2", 8, marks=slow),
]


def original(architecture: str) -> torch.nn.Module:
    """Torchvision's own network with random weights, as it makes it for its pretrained ones."""
    options = {"init_weights": False, "transform_input": True} if architecture in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(architecture, weights=None, **options).eval()


def assert_near(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal but for rounding, however small random weights have made the features."""
    assert expected.abs().max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


@pytest.mark.parametrize(("architecture", "size_px"), FAMILIES)
def test_a_network_of_each_family_goes_all_the_way(tmp_path: Path, architecture: str, size_px: int) -> None:
    torch.manual_seed(0)
    check_size(architecture, size_px)
    if size_px > LEAST_PX:
        with pytest.raises(WeightsError, match=f"set {size_px}$"):
            check_size(architecture, size_px - 1)
    model = original(architecture)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    state = read_state_dict(tmp_path / "weights.pth", architecture, size_px)
    save_backbone(
        tmp_path / "backbone", Backbone(architecture, state, IMAGENET, size_px if is_sized(architecture) else None)
    )
    backbone = load_backbone(tmp_path / "backbone")
    extractor, features = build_feature_extractor(backbone)
    images = torch.randn(2, 3, size_px, size_px)
    with torch.no_grad():
        found = extractor.eval()(images)
    assert found.shape == (2, features)
    if not architecture.startswith("vit") or size_px == 224:
        model.set_submodule(last_layer(model), torch.nn.Identity())
        with torch.no_grad():
            assert_near(found, model(images))
    shape = HeadShape(features, (), batch_norm=False, dropout=0.0, classes=len(CLASSES))
    classifier = build_classifier(backbone, Head(shape, build_head(shape).state_dict(), CLASSES, 1)).train()
    torch.nn.functional.cross_entropy(classifier(images), torch.tensor([0, 1])).backward()
    assert [name for name, weight in classifier.named_parameters() if weight.grad is None] == []
    card = ModelCard(architecture, shape, CLASSES, IMAGENET, size_px, "area", "float32")
    save_model(tmp_path / "model", classifier, card)
    loaded, _ = load_model(tmp_path / "model", CLASSES, size_px)
    with torch.no_grad():
        assert_near(loaded.backbone(images), classifier.eval().backbone(images))
