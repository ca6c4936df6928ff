"""The parameters of phase 2: `train.fine_tune` and `train.augment` of params.yaml."""

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import nn

from transfer.runtime.parameters import Group
from transfer.training.augmentation import Augmentation, Geometry
from transfer.training.optimization import ScheduleName
from transfer.training.unfreezing import Wave, last_stages


class Unfreeze(Group):
    how: Literal["all", "stages", "gradual"]
    stages: int = Field(ge=1)
    layers: tuple[int, ...]
    epochs: tuple[int, ...]
    lr_factors: tuple[float, ...]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not len(self.layers) == len(self.epochs) == len(self.lr_factors) > 0:
            raise ValueError("layers, epochs and lr_factors must be lists of the same length, of one or more")
        if sorted(set(self.layers)) != list(self.layers) or sorted(self.epochs) != list(self.epochs):
            raise ValueError("layers must grow, and epochs must not fall, from one wave to the next")
        if self.layers[0] < 1 or self.epochs[0] < 1 or min(self.lr_factors) <= 0:
            raise ValueError("layers and epochs count from 1, and lr_factors are above 0")
        return self

    def waves(self, backbone: nn.Module) -> list[Wave]:
        if self.how == "all":
            return []
        if self.how == "stages":
            return [Wave(last_stages(backbone, self.stages), 1, 1.0)]
        return [Wave(*wave) for wave in zip(self.layers, self.epochs, self.lr_factors, strict=True)]


class HardExamples(Group):
    share: float = Field(ge=0, le=1)
    first_epoch: int = Field(ge=1)


class SmallImages(Group):
    size_px: int | None = Field(ge=32)
    final_share_without: float = Field(ge=0, le=1)


class FineTune(Group):
    epochs: int = Field(ge=0)
    unfreeze: Unfreeze
    batch_norm: Literal["training", "frozen"]
    optimizer: Literal["adamw", "sgd"]
    head_lr_multiple: float = Field(gt=0)
    stage_lr_decay: float = Field(gt=0, le=1)
    momentum: float = Field(gt=0, lt=1)
    weight_decay: float = Field(ge=0)
    label_smoothing: float = Field(ge=0, lt=1)
    class_weights: Literal["equal", "validation_recall"] | dict[str, float]
    schedule: ScheduleName
    warm_up_fraction: float = Field(gt=0, lt=1)
    plateau_patience: int = Field(ge=1)
    ema_decay: float = Field(ge=0, lt=1)
    patience: int = Field(ge=0)
    keep: Literal["best", "last"]
    small_images: SmallImages
    hard_examples: HardExamples

    @model_validator(mode="after")
    def _statistics_of_all_classes(self) -> Self:
        if self.hard_examples.share and self.batch_norm == "training":
            raise ValueError(
                "hard_examples.share above 0 needs batch_norm: frozen, or the statistics would be those of few classes"
            )
        return self

    def epochs_with(self, final_share_without: float) -> int:
        """How many epochs of the run come before its final share, rounded."""
        return round(self.epochs * (1 - final_share_without))


class Turns(Group):
    degrees: float = Field(ge=0, le=180)
    scale: float = Field(ge=0, le=1)


class Mix(Group):
    mixup_alpha: float = Field(ge=0)
    cutmix_alpha: float = Field(ge=0)
    probability: float = Field(ge=0, le=1)
    final_share_without: float = Field(ge=0, le=1)


class Augment(Group):
    mirror: bool
    shift_fraction: float = Field(ge=0, le=0.5)
    brightness: float = Field(ge=0, le=1)
    contrast: float = Field(ge=0, le=1)
    saturation: float = Field(ge=0, le=1)
    rigid: Turns
    organic: Turns
    mix: Mix

    def allowed(self) -> Augmentation:
        rigid, organic = (Geometry(group.degrees, group.scale) for group in (self.rigid, self.organic))
        return Augmentation(
            self.mirror, self.shift_fraction, self.brightness, self.contrast, self.saturation, rigid, organic
        )
