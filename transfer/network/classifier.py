"""The classifier: a pretrained backbone without its last layer, and a new head on top."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from transfer.devices.precision import Precision
from transfer.network.architectures import empty_network
from transfer.network.backbones import Backbone, check_known, load_into, network_with
from transfer.network.published import Preprocessing
from transfer.network.tensors import DESCRIBED, check_tensors, described, load_tensors, save_tensors
from transfer.runtime.errors import WeightsError


@dataclass(frozen=True)
class HeadShape:
    """Layers of a head: widths of the hidden layers ([] is linear), batch normalisation, dropout share."""

    __pydantic_config__ = DESCRIBED
    features: int
    hidden: tuple[int, ...]
    batch_norm: bool
    dropout: float
    classes: int


def build_head(shape: HeadShape) -> nn.Sequential:
    """Dense layers (batch, features) -> (batch, classes): linear, [batch norm], ReLU, [dropout] each, then linear."""
    layers: list[nn.Module] = []
    width = shape.features
    for hidden in shape.hidden:
        layers.append(nn.Linear(width, hidden))
        if shape.batch_norm:
            layers.append(nn.BatchNorm1d(hidden))
        layers.append(nn.ReLU())
        if shape.dropout:
            layers.append(nn.Dropout(shape.dropout))
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, shape.classes))


def build_feature_extractor(backbone: Backbone) -> tuple[nn.Module, int]:
    """The backbone up to its pooled features: module (batch, 3, H, W) -> (batch, features), and `features`."""
    return network_with(backbone)


class Classifier(nn.Module):
    """Images (batch, 3, H, W), normalised -> logits (batch, classes)."""

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.backbone(images))

    def classify(self, features: Tensor) -> Tensor:
        """Features (batch, features) -> logits, in float32: in bfloat16 many would tie, and calibration be coarse."""
        low = features.dtype in (torch.bfloat16, torch.float16)
        with torch.autocast(features.device.type, enabled=False):
            return self.head(features.float() if low else features)


@dataclass(frozen=True)
class Head:
    """A trained head: its weights, shape and class names, and the epochs it was trained."""

    __pydantic_config__ = DESCRIBED
    shape: HeadShape
    state: dict[str, Tensor]
    classes: tuple[str, ...]
    epochs: int


def save_head(path: Path, head: Head) -> None:
    """Write a head as safetensors."""
    save_tensors(path, head.state, {"shape": asdict(head.shape), "classes": head.classes, "epochs": head.epochs})


def load_head(path: Path) -> Head:
    """Read what `save_head` wrote. Raises WeightsError if the file holds anything else."""
    state, about = load_tensors(path)
    head = described(path, Head, about, state=state)
    check_tensors(path, "such a head", state, _empty_head(path, head.shape).state_dict())
    return head


def _empty_head(path: Path, shape: HeadShape) -> nn.Module:
    """The head without memory for its weights."""
    try:
        with torch.device("meta"):
            return build_head(shape)
    except (RuntimeError, ValueError) as error:
        raise WeightsError(f"{path}: no head can be {shape} ({error})") from None


@dataclass(frozen=True)
class ModelCard:
    """What a saved classifier needs to be used: network, classes, and how images come to its size."""

    __pydantic_config__ = DESCRIBED
    architecture: str
    head: HeadShape
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    size_px: int
    interpolation: str
    precision: Precision


def build_classifier(backbone: Backbone, head: Head) -> Classifier:
    """Put a trained head on a pretrained backbone. Raises WeightsError if their widths differ."""
    extractor, features = build_feature_extractor(backbone)
    if features != head.shape.features:
        raise WeightsError(
            f"the head takes {head.shape.features} features, {backbone.architecture} gives {features}; "
            "run train_head again"
        )
    top = build_head(head.shape)
    top.load_state_dict(head.state)
    return Classifier(extractor, top)


def save_model(path: Path, model: Classifier, card: ModelCard) -> None:
    """Write a classifier as safetensors with its card."""
    save_tensors(path, model.state_dict(), asdict(card))


def load_card(path: Path) -> ModelCard:
    """What a classifier's file says of it. Raises WeightsError if the file holds anything else."""
    return described(path, ModelCard, load_tensors(path)[1])


def load_model(path: Path, classes: Sequence[str], size_px: int | None = None) -> tuple[Classifier, ModelCard]:
    """Read a classifier for images of `size_px` of the given classes, in channels-last layout, ready to evaluate.

    Raises WeightsError if the file holds anything else, or was trained for other classes or another size;
    without `size_px` any size will do.
    """
    state, about = load_tensors(path)
    card = described(path, ModelCard, about)
    if card.classes != tuple(classes):
        raise WeightsError(f"{path}: trained for classes {list(card.classes)}, the data has {list(classes)}")
    if size_px is not None and card.size_px != size_px:
        raise WeightsError(f"{path}: trained on {card.size_px} pixels, the data has {size_px}; resize it to match")
    check_known(path, card.architecture)
    model = Classifier(empty_network(card.architecture, card.size_px)[0], _empty_head(path, card.head))
    check_tensors(path, f"such a {card.architecture}", state, model.state_dict())
    load_into(model, state)
    return model.eval(), card
