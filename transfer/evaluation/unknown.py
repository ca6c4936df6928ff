"""Images that a classifier was not trained for, and how well it can be told that they are none of its kind."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import cv2
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from transfer.evaluation.calibration import risks
from transfer.evaluation.scores import share_of

UnknownSet = Literal["digits", "textures", "noise", "shuffled"]
NEVER_SURE = 2.0  # a confidence that no answer has
TILES = 4
ACCEPTED = 0.95  # of the known images, where the rate of accepted unknown ones is read (Hendrycks & Gimpel 2017)


def digits(known: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Handwritten digits, white on black: as many, and as large, as the known images (N, H, W, 3)."""
    pixels, _ = load_digits(return_X_y=True)
    chosen = random.integers(len(pixels), size=len(known))
    small = np.rint(pixels[chosen].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)  # 0 to 16 originally
    height, width = known.shape[1:3]
    large = [cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC) for image in small]
    return np.repeat(np.stack(large)[..., None], 3, axis=3)


def textures(known: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Patterns without any object: two colours mixed by three waves of random direction, length and phase."""
    count, height, width = known.shape[:3]
    rows, columns = np.mgrid[:height, :width]
    shape = (3, count, 1, 1)
    angle, phase = random.uniform(0, 2 * np.pi, (2, *shape))
    per_image = random.uniform(1, 8, shape)  # waves along the wider side
    along = (np.cos(angle) * columns + np.sin(angle) * rows) / max(height, width)
    mixed = (np.sin(2 * np.pi * per_image * along + phase).mean(0) + 1)[..., None] / 2
    first, second = random.uniform(0, 255, (2, count, 1, 1, 3))
    return np.rint(mixed * first + (1 - mixed) * second).astype(np.uint8)


def noise(known: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Each value of each pixel drawn evenly."""
    return random.integers(0, 256, known.shape, np.uint8)


def shuffled(known: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The known images cut into 4 × 4 tiles, which change places: their colours and textures without their objects."""
    tile = [side // TILES for side in known.shape[1:3]]
    whole = known[:, : TILES * tile[0], : TILES * tile[1]]
    tiles = whole.reshape(-1, TILES, tile[0], TILES, tile[1], 3).swapaxes(2, 3).reshape(len(known), TILES**2, *tile, 3)
    mixed = np.stack([each[random.permutation(TILES**2)] for each in tiles])
    return mixed.reshape(-1, TILES, TILES, *tile, 3).swapaxes(2, 3).reshape(whole.shape)


UNKNOWN: Mapping[UnknownSet, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "digits": digits,
    "textures": textures,
    "noise": noise,
    "shuffled": shuffled,
}


def confidence_threshold(probabilities: np.ndarray, labels: np.ndarray, risk: float) -> tuple[float, float]:
    """The lowest confidence above which at most a share `risk` of answers is wrong, and the share of answers above.

    Of probabilities (N, classes) and labels (N,). NEVER_SURE and 0 if there is none.
    """
    confidence = -np.sort(-probabilities.max(1))
    last = np.flatnonzero(np.append(confidence[1:] < confidence[:-1], True))  # of those that are equally sure
    fitting = last[risks(probabilities, labels)[last] <= risk]
    return (float(confidence[fitting[-1]]), float(fitting[-1] + 1) / len(labels)) if fitting.size else (NEVER_SURE, 0.0)


def separation(known: np.ndarray, unknown: np.ndarray, name: str) -> dict[str, Any]:
    """How well a score, higher for the unknown, tells images apart, from the scores (N,) and (M,) of both.

    The area under the ROC curve, and the share of unknown images taken for known ones where 95 % of those are.
    """
    is_unknown = np.repeat([False, True], [len(known), len(unknown)])
    accepted = unknown <= np.quantile(known, ACCEPTED, method="higher")
    area = float(roc_auc_score(is_unknown, np.concatenate([known, unknown])))
    return {f"auroc_{name}": area, **share_of(f"fpr95_{name}", accepted)}
