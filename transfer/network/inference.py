"""Run a network over a whole set of images."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from transfer.devices.device import batch_size_for, fitting_in_memory
from transfer.devices.precision import Precision, autocast
from transfer.devices.processes import is_first, joined, rank, world_size
from transfer.network.images import Images
from transfer.runtime.progress import Progress


@torch.no_grad()
def run_over(
    module: Callable[[Tensor], Tensor],
    images: Images,
    batch_size: int | None,
    mirrored: bool = False,
    shift_px: int = 0,
    label: str = "images",
    precision: Precision = "float32",
    rows: Tensor | None = None,
) -> Tensor:
    """Outputs (N, ...) of `module` for all images, mirrored or shifted, float32, in their order, on their device.

    With `rows` (M,) those of these images alone: (M, ...). Each batch is then full, so that an image's outputs do not
    depend on how many are asked for.

    Processes that work together take turns at the batches, and each gets the outputs of all of them.
    """
    outputs, device = [], images.device
    size = batch_size_for(batch_size, images.size_px, device)
    count = len(images) if rows is None else len(rows)
    starts = range(0, count, size)
    own = starts[rank() :: world_size()]
    with autocast(device, precision), fitting_in_memory(size, f"images of {images.size_px} px"):
        # A process without a batch runs the first one, for the shape of what comes out.
        for start in Progress(own or starts[:1], desc=label, unit="batch", hidden=not is_first(), leave=False):
            chosen = slice(start, start + size) if rows is None else rows[torch.arange(start, start + size) % count]
            outputs.append(module(images.plain(chosen, mirrored, shift_px)).float()[: count - start])
    return joined(outputs, own, count)


def view_probabilities(
    model: Callable[[Tensor], Tensor],
    images: Images,
    batch_size: int | None,
    mirror: bool,
    shift_px: int = 0,
    label: str = "images",
    precision: Precision = "float32",
) -> np.ndarray:
    """Probabilities (views, N, classes) for all images, one run a view, the images as they are first.

    `shift_px` adds the images shifted up and left and those shifted down and right, `mirror` all of these mirrored.
    """
    views = []
    for mirrored in (False, True) if mirror else (False,):
        for shift in (0, -shift_px, shift_px) if shift_px else (0,):
            name = " ".join([label, *(["mirrored"] if mirrored else []), *([f"shifted by {shift}"] if shift else [])])
            logits = run_over(model, images, batch_size, mirrored, shift, name, precision)
            # Softmax in double precision, so that rows sum to one as closely as scikit-learn checks.
            views.append(torch.softmax(logits.cpu().double(), dim=1).numpy())
    return np.stack(views)
