"""Images as a bad camera would give them: six corruptions, each at three strengths.

The idea, and most of the kinds, are those of Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to
Common Corruptions and Perturbations" (ICLR 2019). The strengths are our own, fewer and wider apart than their
CIFAR-10-C's. They are meant for images before any upscaling, since it is the camera that is bad.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from transfer.evaluation.turned import turned


def _rounded(pixels: np.ndarray) -> np.ndarray:
    return np.rint(pixels).clip(0, 255).astype(np.uint8)


def _noise(image: np.ndarray, deviation: float, generator: np.random.Generator) -> np.ndarray:
    return _rounded(image + deviation * generator.standard_normal(image.shape))


def _blur(image: np.ndarray, sigma_of_32: float, _: np.random.Generator) -> np.ndarray:
    sigma_px = sigma_of_32 * min(image.shape[:2]) / 32
    return cv2.GaussianBlur(image, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT_101)


def _jpeg(image: np.ndarray, quality: float, _: np.random.Generator) -> np.ndarray:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)  # JPEG keeps less of colour than of brightness
    encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
    return cv2.cvtColor(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)


def _brightness(image: np.ndarray, levels: float, _: np.random.Generator) -> np.ndarray:
    return _rounded(image.astype(float) + levels)  # else whole levels would wrap around in uint8


def _contrast(image: np.ndarray, factor: float, _: np.random.Generator) -> np.ndarray:
    mean = image.mean(axis=(0, 1))
    return _rounded(mean + factor * (image - mean))


def _rotation(image: np.ndarray, degrees: float, _: np.random.Generator) -> np.ndarray:
    return turned(image, degrees)


@dataclass(frozen=True)
class Corruption:
    """What is done to an image, and how much of it at each strength, in `unit`."""

    apply: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
    title: str
    unit: str
    amounts: dict[str, float]


STRENGTHS: tuple[str, ...] = ("mild", "medium", "strong")


def _at(mild: float, medium: float, strong: float) -> dict[str, float]:
    return dict(zip(STRENGTHS, (mild, medium, strong), strict=True))


CORRUPTIONS = {
    # Independent for each pixel and channel.
    "noise": Corruption(_noise, "Gaussian noise", "standard deviation, levels of 255", _at(6, 12, 24)),
    "blur": Corruption(_blur, "Gaussian blur", "standard deviation, pixels of 32", _at(0.5, 0.8, 1.2)),
    # With OpenCV's chroma subsampling of 4:2:0, as most cameras use it.
    "jpeg": Corruption(_jpeg, "JPEG", "quality of 100", _at(80, 50, 20)),
    # Too long an exposure: what goes beyond white is lost.
    "brightness": Corruption(_brightness, "Brightness", "levels of 255 added", _at(25, 50, 100)),
    # Haze: each channel towards its own mean over the image.
    "contrast": Corruption(_contrast, "Contrast", "share kept", _at(0.75, 0.5, 0.25)),
    # One way only: a network trained with mirror images treats both alike. Borders are filled by reflection.
    "rotation": Corruption(_rotation, "Rotation", "degrees anticlockwise", _at(5, 10, 20)),
}


def corrupted(images: np.ndarray, name: str, strength: str, seed: int) -> Iterator[np.ndarray]:
    """Yield images (N, H, W, 3) uint8 RGB one by one, corrupted as CORRUPTIONS says, same shape and type.

    What is random depends on the seed, the name, the strength and the image's place, and on nothing that ran before.
    """
    corruption = CORRUPTIONS[name]
    generator = np.random.default_rng([seed, *f"{name} {strength}".encode()])
    for image in images:
        yield corruption.apply(image, corruption.amounts[strength], generator)
