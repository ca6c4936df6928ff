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

from transfer.network.images import Images
from transfer.network.spatial import as_maps, layout_of
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
    """A layer whose output (batch, channels, h, w) is explained, the width w, and the model's last map's width."""

    name: str
    module: nn.Module
    width: int
    last_width: int

    @property
    def description(self) -> str:
        """Layer and map size for a title, with the reason if a later, coarser layer was passed over."""
        coarse = f"; the last maps, {self.last_width} × {self.last_width}, are too coarse to see an object"
        return f"{self.name}, maps of {self.width} × {self.width}{coarse if self.last_width < self.width else ''}"


def choose_layer(model: nn.Module, images: Tensor, name: str | None, min_map_px: int) -> Layer:
    """The layer called `name`, or for None the last one whose map for `images` is at least `min_map_px` wide.

    For a ResNet that is one of its blocks, for a vision transformer the norm before a block's attention. Raises
    ParameterError if there is no such name or its output is no map, DataError if all maps are narrower.
    """
    maps = _maps(model, images)
    if not maps:
        raise DataError(f"images of {images.shape[-1]} pixels leave no feature map to explain; raise resize.size_px")
    last_width = maps[-1][1]
    if name is not None:
        widths = dict(maps)
        if name not in widths:
            raise ParameterError(f"explain.layer = {name!r}: no layer of maps; there are {', '.join(widths)}")
        return Layer(name, model.get_submodule(name), widths[name], last_width)
    wide = [(found, width) for found, width in maps if width >= min_map_px]
    if not wide:
        widest = max(width for _, width in maps)
        raise DataError(
            f"images of {images.shape[-1]} pixels leave feature maps of at most {widest}; "
            f"raise resize.size_px or lower grad_cam.min_map_px = {min_map_px}"
        )
    found, width = wide[-1]
    return Layer(found, model.get_submodule(found), width, last_width)


def _maps(model: nn.Module, images: Tensor) -> list[tuple[str, int]]:
    """Names and widths of modules whose output is a map, in the order in which they end.

    Parts of a block are left out, because a bottleneck's first convolution still has the width of the
    block before; a Sequential is no block but a row of them.
    """
    layout = layout_of(model)
    names = {module: name for name, module in model.named_modules()}
    found: dict[str, int] = {}

    def note(module: nn.Module, _inputs: object, output: object) -> None:
        maps = as_maps(output, layout)
        if maps is None or isinstance(module, nn.AdaptiveAvgPool2d):  # which may enlarge
            return
        if maps.shape[-1] > 1 and (layout.layers is None or layout.layers.fullmatch(names[module])):
            found[names[module]] = maps.shape[-1]

    hooks = [module.register_forward_hook(note) for module in names]
    try:
        with torch.no_grad():
            model(images[:1])
    finally:
        for hook in hooks:
            hook.remove()
    blocks = [name for name in found if not isinstance(model.get_submodule(name), nn.Sequential)]
    return [
        (name, width)
        for name, width in found.items()
        if not any(name.startswith(f"{block}.") for block in blocks)
    ]  # fmt: skip


@contextmanager
def _gradients_from(model: nn.Module, layer: nn.Module) -> Iterator[None]:
    """Let gradients reach the layer's output and nothing before it, which takes two thirds of the time."""
    wanted = [parameter.requires_grad for parameter in model.parameters()]
    model.requires_grad_(False)
    # A copy, because a ReLU in place may follow.
    hook = layer.register_forward_hook(lambda _module, _inputs, output: output.detach().requires_grad_().clone())
    try:
        yield
    finally:
        hook.remove()
        for parameter, before in zip(model.parameters(), wanted, strict=True):
            parameter.requires_grad_(before)


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
