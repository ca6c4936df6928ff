"""What all systems are told alike, as one JSON file."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from transfer.runtime.files import write_json


@dataclass(frozen=True)
class Settings:
    """The task: which images and weights, how large, how long. Every system gets all of it.

    `train` and `val` are splits as `subsample` writes them (uint8, 32 pixels), `weights` is a torchvision state
    dict as safetensors, `params` the pipeline's parameters, which say the same. `bfloat16` asks a peer for its own
    switch to mixed precision.
    """

    train: str
    val: str
    weights: str
    params: str
    architecture: str
    images: int
    val_images: int
    classes: int
    size_px: int
    batch_size: int
    head_epochs: int
    epochs: int
    head_lr: float
    lr: float
    head_lr_multiple: float
    weight_decay: float
    label_smoothing: float
    threads: int
    workers: int
    seed: int
    bfloat16: bool = False


def read_settings(path: Path) -> Settings:
    """Read what `write_settings` wrote."""
    return Settings(**json.loads(path.read_text(encoding="utf-8")))


def write_settings(path: Path, settings: Settings) -> None:
    """Write settings as JSON."""
    write_json(path, asdict(settings))
