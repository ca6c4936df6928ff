"""Class activation maps: where in the image a decision comes from."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from pydantic import Field
from pytorch_grad_cam import EigenCAM, GradCAM, GradCAMPlusPlus, HiResCAM, ScoreCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from transfer.explanation.norms import FixedNorms
from transfer.network.images import Images
from transfer.network.spatial import as_maps, frozen, layout_of, maps_of
from transfer.runtime.errors import DataError, ParameterError
from transfer.runtime.parameters import Group


class LeanScoreCAM(ScoreCAM):
    """Score-CAM that does not keep the activations of its own calls of the model; good for one call."""

    def get_cam_weights(self, *arguments: Any, **named: Any) -> np.ndarray:
        self.activations_and_grads.release()
        with redirect_stderr(io.StringIO()):  # a progress bar an image
            return super().get_cam_weights(*arguments, **named)


Method = Literal["gradcam", "gradcam++", "hirescam", "scorecam", "eigencam"]
METHODS = dict(zip(get_args(Method), (GradCAM, GradCAMPlusPlus, HiResCAM, LeanScoreCAM, EigenCAM), strict=True))
TITLES = dict(zip(METHODS, ("Grad-CAM", "Grad-CAM++", "HiResCAM", "Score-CAM", "Eigen-CAM"), strict=True))


class Explain(Group):
    """The parameters of heat maps, which grad_cam and audit share."""

    method: Method
    layer: str | None
    min_map_px: int = Field(ge=2)
    batch_size: int = Field(gt=0)


@dataclass(frozen=True)
class Layer:
    """A layer whose output (batch, channels, h, w) is explained, the width w, and the model's last map's width.

    `wanted_px` is the width that was asked for, 0 if the layer was.
    """

    name: str
    module: nn.Module
    width: int
    last_width: int
    wanted_px: int

    @property
    def description(self) -> str:
        """Layer and map size for a title, with the reason if it is not the last one or has less than was asked for."""
        size = f"{self.name}, maps of {self.width} × {self.width}"
        if self.width < self.wanted_px:
            return f"{size}, the widest there are; explain.min_map_px = {self.wanted_px}"
        coarse = f"; the last maps, {self.last_width} × {self.last_width}, are too coarse to see an object"
        return f"{size}{coarse if self.last_width < self.width else ''}"


def choose_layer(model: nn.Module, images: Tensor, name: str | None, min_map_px: int) -> Layer:
    """The layer called `name`, or for None the last one whose map for `images` is at least `min_map_px` wide.

    For a ResNet that is one of its blocks, for a vision transformer the norm before a block's attention; if all maps
    are narrower, the last of the widest. Raises ParameterError if there is no such name or its output is no map,
    DataError if there is no map.
    """
    maps = maps_of(model, images)
    if not maps:
        raise DataError(
            f"images of {images.shape[-1]} pixels leave no feature map to explain; raise resize.size_px, or choose "
            "another backbone.name"
        )
    widths, last_width = dict(maps), maps[-1][1]
    if name is not None:
        if name not in widths:
            raise ParameterError(f"explain.layer = {name!r}: no layer of maps; there are {', '.join(widths)}")
        return Layer(name, model.get_submodule(name), widths[name], last_width, 0)
    least = min(min_map_px, max(widths.values()))
    found = [layer for layer, width in maps if width >= least][-1]
    return Layer(found, model.get_submodule(found), widths[found], last_width, min_map_px)


@contextmanager
def _gradients_from(model: nn.Module, layer: nn.Module) -> Iterator[None]:
    """Let gradients, with norms' scales fixed, reach the layer's output and nothing before: two thirds of the time."""
    # A copy, because a ReLU in place may follow.
    hook = layer.register_forward_hook(lambda _module, _inputs, output: output.detach().requires_grad_().clone())
    try:
        with frozen(model), FixedNorms():
            yield
    finally:
        hook.remove()


def activation_maps(
    model: nn.Module, layer: nn.Module, images: Tensor, targets: np.ndarray, method: Method = "gradcam"
) -> np.ndarray:
    """Map of each image (batch, 3, H, W) for its target class by a method of the grad-cam library.

    gradcam (Selvaraju et al. 2017), gradcam++ (Chattopadhyay et al. 2018), hirescam (Draelos and Carin 2020),
    scorecam (Wang et al. 2020), eigencam (Muhammad and Yeasin 2020; looks at no class). Returns maps
    (batch, H, W) in [0, 1], enlarged bilinearly, from 0 at each one's minimum to 1 at its maximum; a map
    without any positive evidence, or the same everywhere, is all zeros.
    """
    if method == "scorecam" and len(images) > 1:  # which holds an image as many times as the layer has channels
        one_by_one = [
            activation_maps(model, layer, images[i : i + 1], targets[i : i + 1], method) for i in range(len(images))
        ]
        return np.concatenate(one_by_one)
    wanted: Any = [ClassifierOutputTarget(int(target)) for target in targets]  # callables, not Modules as typed
    with _gradients_from(model, layer):
        # Not as a context manager, which would swallow an IndexError.
        layout = layout_of(model)
        cam: Any = METHODS[method](
            model=model, target_layers=[layer], reshape_transform=lambda output: as_maps(output, layout)
        )
        try:
            with torch.set_grad_enabled(cam.uses_gradients), np.errstate(all="ignore"):
                maps = cam(input_tensor=images, targets=wanted)
        finally:
            cam.activations_and_grads.release()
    return np.nan_to_num(maps)


def explain(
    model: nn.Module,
    layer: nn.Module,
    images: Images,
    places: np.ndarray,
    targets: np.ndarray,
    method: Method,
    batch_size: int,
) -> np.ndarray:
    """Maps (N, H, W) of the images at `places` (N,) for `targets` (N,), a batch at a time."""
    maps = [np.zeros((0, images.size_px, images.size_px), np.float32)]
    for start in range(0, len(places), batch_size):
        chosen = slice(start, start + batch_size)
        batch = images.plain(torch.from_numpy(places[chosen]).to(images.device))
        maps.append(activation_maps(model, layer, batch, targets[chosen], method))
    return np.concatenate(maps)
