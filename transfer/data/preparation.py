"""How an image comes to the network's size, in training and ever after."""

from typing import Any, Self

import numpy as np
from pydantic import Field

from transfer.data.resize import Aspect, Interpolation, Resized, resized
from transfer.runtime.parameters import Group
from transfer.sources.decode import check_whole, decode


class Preparation(Group):
    """From an image to the network's pixels.

    `original_px` is the side of the largest image that it was trained or evaluated on. One that is larger is first
    reduced to that, because the network has seen no finer detail; any other is treated as the stage `resize` does.
    """

    original_px: int = Field(gt=0)
    size_px: int = Field(gt=0)
    interpolation: Interpolation
    aspect: Aspect

    @classmethod
    def of(cls, train: Resized, *others: Resized) -> Self:
        """The one by which each image of these splits becomes the pixels that it has there."""
        largest = max(int(_shown(split.sizes.T, train.aspect).max()) for split in (train, *others))
        parts = {"interpolation": train.interpolation, "aspect": train.aspect, "size_px": train.pixels.shape[1]}
        return cls.model_validate({"original_px": largest, **parts})

    def from_bytes(self, encoded: bytes) -> np.ndarray:
        """Pixels (size_px, size_px, 3) uint8 RGB of an image file. Raises DamagedImageError with the reason."""
        check_whole(encoded)
        return self.from_image(decode(encoded))

    def from_image(self, image: np.ndarray) -> np.ndarray:
        """The same of a decoded image (H, W, 3) uint8 RGB."""
        if _shown(image.shape[:2], self.aspect) > self.original_px:
            image = resized(image, self.original_px, self.interpolation, self.aspect)
        return resized(image, self.size_px, self.interpolation, self.aspect)


def _shown(sides: Any, aspect: Aspect | str) -> Any:
    """Of heights and widths those that become the square's sides."""
    return np.maximum(*sides) if aspect == "pad" else np.minimum(*sides)
