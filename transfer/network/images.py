"""Images as uint8, on the device if they fit or a batch at a time, normalised there."""

import numpy as np
import torch
from torch import Tensor

from transfer.network.backbones import Preprocessing

RESIDENT_SHARE = 0.5  # of a GPU's free memory; the rest is for the network and its activations


def fits(count: int, device: torch.device) -> bool:
    """Whether so many bytes may stay on the device."""
    return device.type != "cuda" or count <= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]


class Images:
    """A set of images (N, S, S, 3) uint8 RGB, given out in normalised batches on `device`.

    On the CPU the pixels stay in the memory-mapped file until they are asked for. On an accelerator they are copied
    there once, so that no batch waits for the host; if they do not fit, each batch is read from the file.
    """

    def __init__(self, pixels: np.ndarray, preprocessing: Preprocessing, device: torch.device) -> None:
        self.device, self.resident = device, fits(pixels.nbytes, device)
        self.pixels = torch.from_numpy(pixels)  # (N, S, S, 3)
        if self.resident:
            self.pixels = self.pixels.to(device)
        self.mean = 255 * torch.tensor(preprocessing.mean, device=device)
        self.std = 255 * torch.tensor(preprocessing.std, device=device)

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def size_px(self) -> int:
        return self.pixels.shape[1]

    def source(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (M, S, S, 3) on the device, and where among them the chosen images are."""
        if self.resident:
            return self.pixels, chosen
        batch = self.pixels[chosen.cpu()].to(self.device)
        return batch, torch.arange(len(batch), device=self.device)

    def plain(self, chosen: Tensor | slice, mirrored: bool = False, shift_px: int = 0) -> Tensor:
        """Images as they are, mirrored left to right or shifted: (batch, 3, S, S) float, normalised.

        `shift_px` moves the window down and right, before the mirror; what it uncovers is filled by reflection.
        """
        if isinstance(chosen, slice):
            chosen = torch.arange(*chosen.indices(len(self)), device=self.device)
        pixels, places = self.source(chosen)
        pixels = pixels[places]
        if shift_px:
            moved = reflect(torch.arange(self.size_px, device=self.device) + shift_px, self.size_px)
            pixels = pixels[:, moved][:, :, moved]
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
