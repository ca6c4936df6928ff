"""Class activation maps: where in the image a decision comes from."""

from typing import Any

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from transfer.errors import DataError


def last_feature_map(model: nn.Module, images: Tensor) -> tuple[nn.Module, int]:
    """The last module whose output is still a map (batch, channels, h, w) wider than a point, and its width w.

    For a ResNet this is its last block. Raises DataError if there is none.
    """
    last: list[tuple[nn.Module, int]] = []

    def note(module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[-1] > 1:
            last[:] = [(module, output.shape[-1])]

    hooks = [module.register_forward_hook(note) for module in model.modules()]
    try:
        with torch.no_grad():
            model(images[:1])
    finally:
        for hook in hooks:
            hook.remove()
    if not last:
        raise DataError(f"images of {images.shape[-1]} pixels leave no feature map to explain; raise resize.size_px")
    return last[0]


def grad_cam(model: nn.Module, layer: nn.Module, images: Tensor, targets: np.ndarray) -> np.ndarray:
    """Grad-CAM (Selvaraju et al. 2017) of each image (batch, 3, H, W) for its target class.

    Returns maps (batch, H, W) in [0, 1], each scaled to its own maximum; a map without any positive
    evidence is all zeros.
    """
    wanted: Any = [ClassifierOutputTarget(int(target)) for target in targets]  # callables, not Modules as typed
    with GradCAM(model=model, target_layers=[layer]) as cam:
        maps = cam(input_tensor=images, targets=wanted)
    return np.nan_to_num(maps)
