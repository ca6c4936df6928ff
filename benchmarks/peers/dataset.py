"""A split as a map-style dataset of PIL images, in the manner of torchvision.datasets.CIFAR10."""

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import Dataset


class Split(Dataset):
    """Images of one .npz, each a PIL image that goes through `transform` when it is asked for."""

    def __init__(self, path: str, transform: Callable[[Image.Image], Any] | None = None) -> None:
        with np.load(path) as arrays:
            self.images, self.labels = arrays["images"], arrays["labels"]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = Image.fromarray(self.images[index])
        return (self.transform(image) if self.transform else image), int(self.labels[index])
