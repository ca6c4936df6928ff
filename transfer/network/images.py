"""Images resident on the device as uint8, normalised there a batch at a time."""

import numpy as np
import torch
from torch import Tensor

from transfer.network.backbones import Preprocessing


class Images:
    """A set of images (N, S, S, 3) uint8 RGB on one device, given out in normalised batches.

    On the CPU the pixels stay in the memory-mapped file until they are asked for; on an accelerator
    they are copied there once, so that no batch waits for the host.
    """

    def __init__(self, pixels: np.ndarray, preprocessing: Preprocessing, device: torch.device) -> None:
        self.pixels = torch.from_numpy(pixels).to(device)  # (N, S, S, 3)
        self.mean = 255 * torch.tensor(preprocessing.mean, device=device)
        self.std = 255 * torch.tensor(preprocessing.std, device=device)

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def size_px(self) -> int:
        return self.pixels.shape[1]

    def plain(self, chosen: Tensor | slice, mirrored: bool = False, shift_px: int = 0) -> Tensor:
        """Images as they are, mirrored left to right or shifted: (batch, 3, S, S) float, normalised.

        `shift_px` moves the window down and right, before the mirror; what it uncovers is filled by reflection.
        """
        pixels = self.pixels[chosen]
        if shift_px:
            places = reflect(torch.arange(self.size_px, device=pixels.device) + shift_px, self.size_px)
            pixels = pixels[:, places][:, :, places]
        return self.normalised(pixels.flip(2) if mirrored else pixels)

    def normalised(self, pixels: Tensor) -> Tensor:
        """Pixels (batch, S, S, 3) in 0 to 255 as the backbone was trained on them: (batch, 3, S, S) float."""
        # (batch, S, S, 3) seen as (batch, 3, S, S) is already in channels-last layout.
        return ((pixels.float() - self.mean) / self.std).permute(0, 3, 1, 2)


def reflect(indices: Tensor, length: int) -> Tensor:
    """Fold indices from beyond [0, length) back inside without repeating the edge, as cv2.BORDER_REFLECT_101 does."""
    period = max(2 * (length - 1), 1)
    folded = indices.remainder(period)
    return torch.minimum(folded, period - folded) if length > 1 else torch.zeros_like(indices)
