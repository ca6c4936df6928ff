"""Pretrained weights as their makers publish them."""

from dataclasses import dataclass

from transfer.network.tensors import DESCRIBED


@dataclass(frozen=True)
class Preprocessing:
    """What a network expects of its input: RGB in [0, 1], less `mean`, divided by `std`, a channel."""

    __pydantic_config__ = DESCRIBED
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channels: str = "RGB"


@dataclass(frozen=True)
class PublishedWeights:
    """Weights of an architecture under their name, and what images they were made for.

    `url` is None if there are none to fetch; `sha256_start` is the first digits of the file's SHA-256, "" where they
    are not published. `crop` is the share of the resized image's side that was used.
    """

    architecture: str
    name: str
    url: str | None
    sha256_start: str
    preprocessing: Preprocessing
    size_px: int
    interpolation: str
    crop: float
