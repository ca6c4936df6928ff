"""What a model answers to pictures that are made one by one, at their own size."""

from collections.abc import Iterable
from itertools import islice

import numpy as np
import torch

from transfer.data.resize import resized
from transfer.devices.device import batch_size_for, best_device
from transfer.devices.precision import autocast
from transfer.network.classifier import Classifier, ModelCard
from transfer.network.images import Images


@torch.no_grad()
def answers(model: Classifier, card: ModelCard, pictures: Iterable[np.ndarray], batch_size: int | None) -> np.ndarray:
    """The predicted class (N,) of one view of each picture (H, W, 3) uint8, upscaled and held a batch at a time."""
    device, remaining, found = best_device(), iter(pictures), [np.zeros(0, np.int64)]
    size = batch_size_for(batch_size, card.size_px, device)
    while batch := list(islice(remaining, size)):
        large = np.stack([resized(each, card.size_px, card.interpolation, "stretch") for each in batch])
        with autocast(device, card.precision):
            logits = model(Images(large, card.preprocessing, device).plain(slice(None)))
        found.append(logits.argmax(1).cpu().numpy())
    return np.concatenate(found)
