"""Maps that know nothing of the model, which heat maps have to beat."""

import cv2
import numpy as np

CENTRE = 1 / 4  # standard deviation of the centre prior, as a share of the side


def centre_map(size_px: int) -> np.ndarray:
    """A Gaussian (size_px, size_px) at the centre of the image."""
    steps = (np.arange(size_px) + 0.5) / size_px - 0.5
    profile = np.exp(-((steps / CENTRE) ** 2) / 2)
    return np.outer(profile, profile)


def random_maps(count: int, width: int, size_px: int, rng: np.random.Generator) -> np.ndarray:
    """Noise from 0 to 1 of `width` × `width`, enlarged as maps are: (count, size_px, size_px)."""
    noise = rng.random((count, width, width), dtype=np.float32)
    low, high = noise.min((1, 2), keepdims=True), noise.max((1, 2), keepdims=True)
    return np.stack([cv2.resize(one, (size_px, size_px)) for one in (noise - low) / (high - low)])


def oracle_maps(masks: np.ndarray, width: int) -> np.ndarray:
    """Masks (N, S, S) bool as coarse as maps of `width` × `width` are: the best there can be."""
    return np.stack([_coarse(mask.astype(np.float32), width) for mask in masks])


def edge_maps(pixels: np.ndarray, width: int) -> np.ndarray:
    """Size of the gradient (Sobel, largest channel) of pixels (N, S, S, 3) uint8, as coarse as heat maps: (N, S, S).

    An explainer that only finds edges looks right on many images (Adebayo et al. 2018).
    """
    gradients = (np.hypot(cv2.Sobel(one, cv2.CV_32F, 1, 0), cv2.Sobel(one, cv2.CV_32F, 0, 1)).max(2) for one in pixels)
    return np.stack([_coarse(gradient, width) for gradient in gradients])


def _coarse(plane: np.ndarray, width: int) -> np.ndarray:
    """A map (S, S) reduced to `width` × `width` by area and enlarged again, as heat maps are."""
    return cv2.resize(cv2.resize(plane, (width, width), interpolation=cv2.INTER_AREA), plane.shape)
