"""How many made copies of real images are found, and with which strangers: `python -m benchmarks.duplicates`.

Reads data/resized and params.yaml's `leakage`. Of each kind of copy IMAGES are made, each of another image, and laid
among all others. Then come the correlations of those found, and what was found among the images themselves.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from transfer.data.resize import open_resized
from transfer.evaluation.duplicates import Links, Thresholds, find_links
from transfer.runtime.parameters import read_mapping

SPLITS = ("train", "val", "test")


def shifted(image: np.ndarray, right: int, down: int) -> np.ndarray:
    size, move = image.shape[1::-1], np.array([[1, 0, right], [0, 1, down]], float)
    return cv2.warpAffine(image, move, size, borderMode=cv2.BORDER_REFLECT_101)


def mirrored(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[:, ::-1])


def brightened(image: np.ndarray) -> np.ndarray:
    return np.clip(1.2 * image.astype(float) + 15, 0, 255).round().astype(np.uint8)


def as_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))


def cropped(image: np.ndarray, share: float) -> np.ndarray:
    side = len(image)
    kept = round(share * side)
    start = (side - kept) // 2
    part = image[start : start + kept, start + 1 : start + 1 + kept]
    return cv2.resize(part, (side, side), interpolation=cv2.INTER_LINEAR)


def rescaled(image: np.ndarray, share: float) -> np.ndarray:
    side = len(image)
    small = cv2.resize(image, (round(share * side),) * 2, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)


COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "JPEG 80": lambda image: as_jpeg(image, 80),
    "JPEG 50": lambda image: as_jpeg(image, 50),
    "shifted by 2 pixels": lambda image: shifted(image, 2, -2),
    "mirrored": mirrored,
    "mirrored and shifted": lambda image: shifted(mirrored(image), 2, 1),
    "brightened": brightened,
    "cropped to 90 %": lambda image: cropped(image, 0.9),
    "rescaled by 3/4": lambda image: rescaled(image, 0.75),
    "rescaled by 1/2": lambda image: rescaled(image, 0.5),
}


def recall(
    images: np.ndarray, each: int, thresholds: Thresholds, seed: int = 0
) -> tuple[dict[str, float], list[float], Links]:
    """Share of made copies that are found among images (N, S, S, 3), by kind; `each` copies of a kind.

    With it the correlations of those found, and the links of the images alone.
    """
    chosen = np.random.default_rng(seed).choice(len(images), (len(COPIES), each), replace=False)
    copies = [copy(image) for copy, places in zip(COPIES.values(), chosen, strict=True) for image in images[places]]
    links = find_links(np.concatenate([images, np.stack(copies)]), thresholds)
    found, correlations = {}, []
    for kind, (name, places) in enumerate(zip(COPIES, chosen, strict=True)):
        made = len(images) + kind * each + np.arange(each)
        pairs = list(zip(places.tolist(), made.tolist(), strict=True))
        hits = [links.first[copy] == original or (original, copy) in links.near for original, copy in pairs]
        found[name] = float(np.mean(hits))
        correlations += [links.near[pair] for pair in pairs if pair in links.near]
    own = {pair: value for pair, value in links.near.items() if max(pair) < len(images)}
    return found, correlations, Links(links.first[: len(images)], own)


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.duplicates", description=__doc__)
    parser.add_argument("--images", type=int, default=200, help="copies of each kind (default %(default)s)")
    parser.add_argument("--resized", type=Path, default=Path("data/resized"), help="(default %(default)s)")
    arguments = parser.parse_args()
    leakage = read_mapping(Path("params.yaml"))["leakage"]
    leakage.pop("pictures")
    every = np.concatenate([open_resized(arguments.resized / name).images for name in SPLITS])
    shares, correlations, links = recall(every, arguments.images, Thresholds(**leakage))
    for name, share in shares.items():
        print(f"{name}: {share:.1%} of {arguments.images} found")
    low, middle = np.quantile(correlations, (0.02, 0.5))
    print(f"correlation of those found: lowest {min(correlations):.3f}, 98 of 100 above {low:.3f}, median {middle:.3f}")
    print(f"among {len(every):,} images: {len(links.near)} near pairs, {len(links.groups())} groups")
