"""Heat maps of networks of every layout: the layer that is explained, that its maps change where the image does, and of
networks trained for a moment to see a square, that their heat is in the corner in which it lies.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torchvision.models import ConvNeXt, MobileNetV2, ResNet, SqueezeNet, SwinTransformer, VisionTransformer
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.resnet import BasicBlock

from transfer.explanation.cam import Method, activation_maps, choose_layer
from transfer.network.architectures import build_network, check_maps, outline
from transfer.network.classifier import Classifier
from transfer.network.spatial import as_maps, layout_of
from transfer.runtime.errors import WeightsError

SIZE_PX, SQUARE_PX = 64, 16
series = pytest.mark.series
LITE = ("timm/efficientnet_lite0", "blocks.4")
FAMILIES = [  # architecture, the layer whose maps are 4 wide at 64 pixels
    ("resnet18", "layer3"),
    ("convnext_tiny", "features.6.0"),
    ("swin_t", "features.5"),
    ("vit_b_16", "encoder.layers.encoder_layer_11.ln_1"),
    LITE,
    ("timm/resnetv2_50x1_bit", "stages.2"),
    ("timm/vit_tiny_patch16_224", "blocks.11.norm1"),
    ("timm/deit_tiny_distilled_patch16_224", "blocks.11.norm1"),
    ("timm/vit_small_patch16_dinov3", "blocks.11.norm1"),
    ("timm/beit_base_patch16_224", "blocks.11.norm1"),
    ("timm/swin_tiny_patch4_window7_224", "layers.2"),
    ("timm/cait_xxs24_224", "blocks.23.norm1"),
    ("timm/xcit_nano_12_p16_224", "blocks.11.norm1"),
    ("timm/levit_128s", "stages.0"),
]


# Beside the trunk these have attention matrices, position encodings and pooling convolutions whose output is a map.
TRUNKS = {
    "timm/tnt_s_patch16_224": ("blocks.11.norm_out", 14),
    "timm/coat_tiny": ("patch_embed2.proj", 28),
    "timm/mvitv2_tiny": ("stages.3.blocks.1.norm1", 7),
    "timm/twins_pcpvt_small": ("blocks.3.2.norm1", 7),
    "timm/pit_ti_224": ("transformers.2.blocks.3.norm1", 7),
    "timm/naflexvit_base_patch16_gap": ("blocks.11.norm1", 14),
    "timm/efficientformer_l1": ("stages.3.blocks.2", 7),
}


@pytest.mark.parametrize("architecture", TRUNKS)
def test_the_layer_is_of_the_trunk(architecture: str) -> None:
    network = outline(architecture, 224)[0].eval()
    layer = choose_layer(network, torch.empty(1, 3, 224, 224, device="meta"), None, 6)
    assert (layer.name, layer.width) == TRUNKS[architecture]


# Of these the widest maps have fewer than 6 places a side.
NARROW = [
    ("vit_b_32", 128, "encoder.layers.encoder_layer_11.ln_1", 4),
    ("vit_b_32", 160, "encoder.layers.encoder_layer_11.ln_1", 5),
    ("vit_b_16", 64, "encoder.layers.encoder_layer_11.ln_1", 4),
    ("swin_t", 16, "features.1", 4),
    ("resnet50", 16, "layer1", 4),
    ("timm/vit_small_patch14_dinov2.lvd142m", 70, "blocks.11.norm1", 5),
]


@pytest.mark.parametrize(("architecture", "size_px", "name", "width"), NARROW)
def test_of_small_images_the_widest_maps_are_taken(architecture: str, size_px: int, name: str, width: int) -> None:
    check_maps(architecture, size_px)
    network = outline(architecture, size_px)[0].eval()
    layer = choose_layer(network, torch.empty(1, 3, size_px, size_px, device="meta"), None, 6)
    assert (layer.name, layer.width) == (name, width)
    assert "the widest there are; explain.min_map_px = 6" in layer.description


@pytest.mark.parametrize("architecture", ["timm/gmlp_s16_224", "timm/hiera_tiny_224", "timm/crossvit_9_240"])
def test_a_network_without_maps_is_refused(architecture: str) -> None:
    with pytest.raises(WeightsError, match=rf"^backbone\.name = {architecture}: it leaves no feature map .*; choose"):
        check_maps(architecture, 240 if "240" in architecture else 224)


def add_square(image: torch.Tensor, corner: int) -> None:
    """Brighten a square of an image (3, S, S): in corner 0 or 1 above, 2 or 3 below, the odd ones on the right."""
    top, left = (place * (SIZE_PX - SQUARE_PX) for place in divmod(corner, 2))
    image[:, top : top + SQUARE_PX, left : left + SQUARE_PX] += 3


def brightest_corners(maps: np.ndarray) -> list[int]:
    """The quarter of each map (N, h, w) with the most heat, numbered as the corners of `add_square`."""
    count, side = maps.shape[:2]
    quarters = maps.reshape(count, 2, side // 2, 2, side // 2).mean((2, 4)).reshape(count, 4)
    return quarters.argmax(1).tolist()


@pytest.mark.parametrize(("architecture", "name"), FAMILIES)
def test_the_layer_is_the_last_with_maps_wide_enough(architecture: str, name: str) -> None:
    network = outline(architecture, SIZE_PX)[0].eval()
    layer = choose_layer(network, torch.empty(1, 3, SIZE_PX, SIZE_PX, device="meta"), None, 4)
    assert (layer.name, layer.width) == (name, 4)


@pytest.mark.parametrize(
    ("architecture", "name"),
    # Each place of EfficientNet's maps sees the whole of so small an image.
    [
        pytest.param(*family, marks=series if place > 2 else ())
        for place, family in enumerate(FAMILIES)
        if family != LITE
    ],
)
def test_the_layers_maps_change_where_the_image_does(architecture: str, name: str) -> None:
    torch.manual_seed(0)
    network = build_network(architecture, SIZE_PX)[0].eval()
    outputs = []
    network.get_submodule(name).register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    plain = torch.randn(1, 3, SIZE_PX, SIZE_PX).repeat(4, 1, 1, 1)
    images = plain.clone()
    for corner, image in enumerate(images):
        add_square(image, corner)
    with torch.no_grad():
        network(images)
        network(plain)
    with_square, without = (as_maps(output, layout_of(network)) for output in outputs)
    assert with_square is not None
    assert without is not None
    assert brightest_corners((with_square - without).abs().sum(1).numpy()) == [0, 1, 2, 3]


SMALL: dict[str, Any] = {"img_size": SIZE_PX, "patch_size": 8, "embed_dim": 48, "num_classes": 0}
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "ResNet": lambda: ResNet(BasicBlock, [1, 1, 1, 1], num_classes=48),
    "ConvNeXt": lambda: ConvNeXt([CNBlockConfig(24, 48, 1), CNBlockConfig(48, None, 1)], num_classes=48),
    "Swin": lambda: SwinTransformer([4, 4], 24, [2, 2], [2, 4], [4, 4], num_classes=48),
    "ViT": lambda: VisionTransformer(SIZE_PX, 8, 1, 3, 48, 96, num_classes=48),
    "timm ViT": lambda: timm.create_model("vit_tiny_patch16_224", depth=1, num_heads=3, **SMALL),
    "timm DeiT": lambda: timm.create_model("deit_tiny_distilled_patch16_224", depth=1, num_heads=3, **SMALL),
    "timm Swin": lambda: timm.create_model(
        "swin_tiny_patch4_window7_224",
        **(SMALL | {"patch_size": 4, "embed_dim": 24, "window_size": 4, "depths": (2, 2), "num_heads": (2, 4)}),
    ),
    "timm CaiT": lambda: timm.create_model("cait_xxs24_224", depth=1, num_heads=3, init_values=1.0, **SMALL),
    "timm TNT": lambda: timm.create_model(
        "tnt_s_patch16_224", depth=1, inner_dim=12, num_heads_inner=2, num_heads_outer=3, **SMALL
    ),
    "timm NaFlexViT": lambda: timm.create_model("naflexvit_base_patch16_gap", depth=1, num_heads=3, **SMALL),
}
MORE: dict[str, Callable[[], nn.Module]] = {
    "timm DINOv2": lambda: timm.create_model(
        "vit_small_patch14_dinov2", depth=1, num_heads=3, init_values=1.0, **SMALL
    ),
    "timm PiT": lambda: timm.create_model(
        "pit_ti_224",
        img_size=SIZE_PX,
        patch_size=8,
        stride=4,
        base_dims=[16, 16],
        heads=[3, 3],
        depth=[1, 1],
        mlp_ratio=2,
        num_classes=48,
    ),
    "MobileNetV2": lambda: MobileNetV2(
        num_classes=48, inverted_residual_setting=[[1, 16, 1, 1], [6, 24, 1, 2], [6, 32, 1, 2], [6, 64, 1, 2]]
    ),
    "SqueezeNet": lambda: SqueezeNet("1_1", num_classes=48),
    "timm BEiT": lambda: timm.create_model("beit_base_patch16_224", depth=1, num_heads=3, **SMALL),
    "timm DenseNet": lambda: timm.create_model("densenet121", block_config=(1, 1, 1), growth_rate=16, num_classes=48),
    "timm EfficientNet": lambda: timm.create_model("test_efficientnet", num_classes=48),
    "timm EVA-02": lambda: timm.create_model("eva02_tiny_patch14_224", depth=1, num_heads=3, **SMALL),
    "timm ByobNet": lambda: timm.create_model("test_byobnet", num_classes=48),
}


def squares(count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Noise, half of it with a bright square in a corner: images, whether, and corners."""
    images = 0.3 * torch.randn(count, 3, SIZE_PX, SIZE_PX, generator=generator)
    there = torch.arange(count) % 2
    corners = torch.randint(4, (count,), generator=generator).numpy()
    for image, corner in zip(images[1::2], corners[1::2], strict=True):
        add_square(image, corner)
    return images, there.float(), corners


@pytest.mark.parametrize("name", [*NETWORKS, *(pytest.param(name, marks=series) for name in MORE)])
def test_the_map_is_brightest_where_the_object_is(name: str) -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    model = Classifier((NETWORKS | MORE)[name](), nn.Linear(48, 1)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(40):
        images, there, _ = squares(32, generator)
        loss = nn.functional.binary_cross_entropy_with_logits(model(images)[:, 0], there)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    images, _, corners = squares(32, generator)
    images, corners = images[1::2], corners[1::2]
    layer = choose_layer(model, images, None, 4)
    methods: tuple[Method, ...] = ("gradcam", "hirescam")
    for method in methods:
        maps = activation_maps(model, layer.module, images, np.zeros(16, int), method)
        assert np.mean(brightest_corners(maps) == corners) >= 0.9, method


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_no_square_of_places_is_no_map(name: str) -> None:
    layout = layout_of(NETWORKS[name]())
    assert as_maps(torch.zeros(2, 48), layout) is None
    assert as_maps((torch.zeros(2, 48, 4, 4),), layout) is None
    assert (
        as_maps(torch.zeros(2, 8, 4, 48) if layout.form == "channels last" else torch.zeros(2, 7, 48), layout) is None
    )
