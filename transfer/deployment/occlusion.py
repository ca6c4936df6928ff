"""Where in an image an answer comes from, with nothing but the network's outputs: what is covered, and what it costs.

Occlusion (Zeiler & Fergus 2014): unlike class activation maps it needs neither gradients nor the network's inside.
"""

import numpy as np

from transfer.deployment.predictor import Network

STEPS = 8  # positions of the cover each way
COVER = 4  # its side is this part of the image's
BATCH = 32


def _places(size_px: int) -> tuple[int, list[tuple[int, int]]]:
    """The cover's side, and its top and left at each position."""
    side = max(size_px // COVER, 1)
    starts = np.linspace(0, size_px - side, STEPS).round().astype(int).tolist()
    return side, [(top, left) for top in starts for left in starts]


def covered(pixels: np.ndarray) -> np.ndarray:
    """One prepared image (S, S, 3) uint8 with a square of its mean colour at each of 64 places, and as it is: 65."""
    side, places = _places(len(pixels))
    images = np.repeat(pixels[None], len(places) + 1, axis=0)
    colour = np.rint(pixels.mean((0, 1))).astype(np.uint8)
    for image, (top, left) in zip(images, places, strict=False):
        image[top : top + side, left : left + side] = colour
    return images


def heat_of(probabilities: np.ndarray, size_px: int) -> np.ndarray:
    """Map (size_px, size_px) in [0, 1] from a class's probabilities (65,) for what `covered` gives.

    A place has the mean loss of the squares that cover it, and the costliest 1; all zeros if no square costs any.
    """
    side, places = _places(size_px)
    *with_cover, plain = probabilities.astype(np.float64)
    total, count = np.zeros((2, size_px, size_px))
    for (top, left), probability in zip(places, with_cover, strict=True):
        total[top : top + side, left : left + side] += plain - probability
        count[top : top + side, left : left + side] += 1
    losses = np.maximum(total / count, 0)
    return losses / losses.max() if losses.max() > 0 else losses


def occlusion_map(network: Network, pixels: np.ndarray, label: int) -> np.ndarray:
    """Map (S, S) in [0, 1] of one prepared image (S, S, 3) uint8: where covering costs the class most."""
    images = covered(pixels)
    parts = [network(images[start : start + BATCH])[0][:, label] for start in range(0, len(images), BATCH)]
    return heat_of(np.concatenate(parts), len(pixels))
