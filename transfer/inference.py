"""Run a network over a whole set of images."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from transfer.device import fitting_in_memory, mixed_precision
from transfer.images import Images


@torch.no_grad()
def run_over(
    module: Callable[[Tensor], Tensor], images: Images, batch_size: int, mirrored: bool = False, label: str = "images"
) -> Tensor:
    """Outputs (N, ...) of `module` for all images, float32, in their order, on their device."""
    outputs = []
    starts = range(0, len(images), batch_size)
    with mixed_precision(images.pixels.device), fitting_in_memory(batch_size, f"images of {images.size_px} px"):
        for start in tqdm(starts, desc=label, unit="batch", disable=None, leave=False):
            batch = images.plain(slice(start, start + batch_size), mirrored)
            outputs.append(module(batch).float())
    return torch.cat(outputs)


def view_probabilities(
    model: Callable[[Tensor], Tensor], images: Images, batch_size: int, mirror: bool, label: str = "images"
) -> np.ndarray:
    """Probabilities (views, N, classes) for all images and, if `mirror`, for their mirror images: one run a view."""
    views = [run_over(model, images, batch_size, label=label)]
    if mirror:
        views.append(run_over(model, images, batch_size, mirrored=True, label=f"{label} mirrored"))
    # Softmax in double precision, so that rows sum to one as closely as scikit-learn checks.
    return np.stack([torch.softmax(logits.cpu().double(), dim=1).numpy() for logits in views])
