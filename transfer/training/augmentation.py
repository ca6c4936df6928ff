"""Augmentation of a batch on the device, drawn for each image on its own from torch's global generator."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import v2

from transfer.network.images import Images, reflect


@dataclass(frozen=True)
class Geometry:
    """How far an image may be turned, in degrees either way, and scaled: 0.2 stands for factors of 1/1.2 to 1.2."""

    degrees: float
    scale: float


@dataclass(frozen=True)
class Augmentation:
    """What may happen to an image.

    `shift_fraction` is the furthest shift as a share of the side; brightness, contrast and saturation are
    drawn from 1 - x to 1 + x; `rigid` and `organic` are the geometry of the two groups of classes.
    """

    mirror: bool
    shift_fraction: float
    brightness: float
    contrast: float
    saturation: float
    rigid: Geometry
    organic: Geometry

    @property
    def warps(self) -> bool:
        """Whether any image is turned or scaled, so that pixels have to be interpolated."""
        return any(group.degrees or group.scale for group in (self.rigid, self.organic))


@dataclass(frozen=True)
class Motion:
    """One geometric change an image (batch,) each: shift in pixels down and right, mirror, radians, factor of size."""

    down: Tensor
    right: Tensor
    mirrored: Tensor
    angle: Tensor
    factor: Tensor

    def at(self, places: Tensor | slice) -> "Motion":
        return Motion(*(drawn[places] for drawn in vars(self).values()))


EVERY = slice(None)


def augment(
    images: Images, chosen: Tensor, how: Augmentation, organic: Tensor, wanted: Tensor | slice = EVERY
) -> Tensor:
    """Chosen images (batch,) each shifted, mirrored, turned, scaled and recoloured on its own, as `how` allows.

    `organic` (batch,) bool says which group's geometry holds for an image. Without turns and scaling, choice,
    crop, reflection and mirror are one gather on uint8; with them, one bilinear resampling. Numbers are drawn for
    all, images made at the places `wanted` of the batch. Returns (batch, 3, S, S) float, normalised.
    """
    motion = draw_motion(how, organic, images.size_px).at(wanted)
    source, places = images.source(chosen[wanted])
    pixels = warp(source[places], motion) if how.warps else crop(source, places, motion)
    return images.normalised(recolour(pixels.float(), how, len(chosen), wanted))


def crop(pixels: Tensor, chosen: Tensor, motion: Motion) -> Tensor:
    """Shift and mirror chosen images (batch,) of (N, S, S, 3); what a shift uncovers is filled by reflection."""
    side = pixels.shape[1]
    every = torch.arange(side, device=pixels.device)
    rows, columns = reflect(every + motion.down[:, None], side), reflect(every + motion.right[:, None], side)
    columns = torch.where(motion.mirrored[:, None], columns.flip(1), columns)
    return pixels[chosen[:, None, None], rows[:, :, None], columns[:, None, :]]


def draw_motion(how: Augmentation, organic: Tensor, side: int) -> Motion:
    """Draw a motion for each image; `organic` (batch,) bool says which group's geometry holds for it."""
    count, device = len(organic), organic.device
    margin = round(how.shift_fraction * side)
    down, right = torch.randint(-margin, margin + 1, (2, count), device=device)
    mirrored = torch.rand(count, device=device) < (0.5 if how.mirror else 0.0)
    angle, factor = torch.zeros(count, device=device), torch.ones(count, device=device)
    if how.warps:
        degrees = torch.where(organic, how.organic.degrees, how.rigid.degrees)
        scale = torch.where(organic, math.log1p(how.organic.scale), math.log1p(how.rigid.scale))
        angle = torch.deg2rad(degrees * _either_way(count, device))
        factor = torch.exp(scale * _either_way(count, device))
    return Motion(down, right, mirrored, angle, factor)


def _either_way(count: int, device: torch.device) -> Tensor:
    return 2 * torch.rand(count, device=device) - 1


def warp(pixels: Tensor, motion: Motion) -> Tensor:
    """Mirror, turn, scale and shift images (batch, S, S, 3) with one bilinear resampling: same shape, float.

    What comes in from outside is filled by reflection without repeating the edge. A positive angle turns
    clockwise; `down` and `right` say where the window moves, as in a crop.
    """
    side = pixels.shape[1]
    per_pixel = 2 / max(side - 1, 1)  # in grid_sample's coordinates, -1 to 1 from centre to centre of the corners
    cos, sin = torch.cos(motion.angle) / motion.factor, torch.sin(motion.angle) / motion.factor
    flip = 1 - 2 * motion.mirrored.float()
    # Where in the source each output pixel comes from: first the mirror, then the turn, then the shift.
    theta = torch.stack(
        [
            torch.stack([flip * cos, sin, motion.right * per_pixel], dim=1),
            torch.stack([-flip * sin, cos, motion.down * per_pixel], dim=1),
        ],
        dim=1,
    )
    images = pixels.float().permute(0, 3, 1, 2)
    grid = F.affine_grid(theta, list(images.shape), align_corners=True)
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=True)
    return moved.permute(0, 2, 3, 1)


def recolour(pixels: Tensor, how: Augmentation, count: int | None = None, places: Tensor | slice = EVERY) -> Tensor:
    """Change brightness, contrast and saturation of images (batch, S, S, 3) in 0 to 255, in this order.

    The images are those at `places` of a batch of `count`, for all of which numbers are drawn.
    """

    def factor(reach: float) -> Tensor:
        drawn = _either_way(len(pixels) if count is None else count, pixels.device)
        return 1 + reach * drawn[places].view(-1, 1, 1, 1)

    if how.brightness:
        pixels = (pixels * factor(how.brightness)).clamp(0, 255)
    if how.contrast:
        pixels = torch.lerp(_grey(pixels).mean((1, 2), keepdim=True), pixels, factor(how.contrast)).clamp(0, 255)
    if how.saturation:
        pixels = torch.lerp(_grey(pixels).expand_as(pixels), pixels, factor(how.saturation)).clamp(0, 255)
    return pixels


def _grey(pixels: Tensor) -> Tensor:
    """Luma (ITU-R BT.601), as torchvision weighs it: (..., 1)."""
    return (pixels @ pixels.new_tensor([0.2989, 0.587, 0.114])).unsqueeze(-1)


def scaled_down(images: Tensor, size_px: int) -> Tensor:
    """Images (batch, 3, S, S) float at a smaller side, with what would alias filtered out: (batch, 3, size, size)."""
    small = F.interpolate(images, (size_px, size_px), mode="bilinear", antialias=True)
    return small.contiguous(memory_format=torch.channels_last)


Mix = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def build_mix(mixup_alpha: float, cutmix_alpha: float, probability: float, classes: int) -> Mix | None:
    """MixUp (Zhang et al. 2018) and CutMix (Yun et al. 2019) over a batch, either with equal chance; None for neither.

    An alpha of 0 leaves that one out. The result takes images and labels (batch,) and gives images and, for
    a batch that was mixed, which happens with `probability`, labels (batch, classes) that sum to one.
    """
    kinds = [
        kind(alpha=alpha, num_classes=classes)
        for kind, alpha in ((v2.MixUp, mixup_alpha), (v2.CutMix, cutmix_alpha))
        if alpha
    ]
    return v2.RandomApply([v2.RandomChoice(kinds)], p=probability) if kinds and probability else None
