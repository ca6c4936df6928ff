"""Answer image files with this package alone: python predict.py [--int8] IMAGE [IMAGE ...]

Needs numpy, onnxruntime and opencv-python-headless. Prints file, answer, probability and verdict, separated by tabs.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

HERE = Path(__file__).resolve().parent
ABOUT = json.loads((HERE / "package.json").read_text(encoding="utf-8"))
ENLARGE = getattr(cv2, f"INTER_{ABOUT['preparation']['interpolation'].upper()}")
# By a file's first bytes what follows all its pixels, and what they begin with.
ENDS = {b"\xff\xd8": (b"\xff\xd9", b"\xff\xda"), b"\x89P": (b"IEND", b"IDAT")}
getattr(cv2.utils, "logging", cv2).setLogLevel(0)  # pyright: ignore[reportAttributeAccessIssue]  OpenCV 5, and 4


def decode(encoded: bytes) -> np.ndarray:
    """Pixels (H, W, 3) uint8 RGB, upright."""
    end, start = ENDS.get(encoded[:2], (b"", b""))
    if end and encoded.rfind(end) <= encoded.rfind(start):
        raise ValueError("damaged, its end is missing")  # which older versions of OpenCV fill with grey
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR) if encoded else None
    if image is None:
        raise ValueError("not an image that can be read")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def to(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Reduce by area what is larger, enlarge as in training what is smaller."""
    less = min(image.shape[0], height), min(image.shape[1], width)
    if less != image.shape[:2]:
        image = cv2.resize(image, less[::-1], interpolation=cv2.INTER_AREA)
    if image.shape[:2] != (height, width):
        image = cv2.resize(image, (width, height), interpolation=ENLARGE)
    return image


def square(image: np.ndarray, side: int) -> np.ndarray:
    """Bring an image (H, W, 3) to (side, side, 3): its middle, or all of it, padded with grey or stretched."""
    height, width = image.shape[:2]
    aspect = ABOUT["preparation"]["aspect"]
    if aspect == "stretch" or height == width:
        return to(image, side, side)
    if aspect == "crop":
        least = min(height, width)
        top, left = (height - least) // 2, (width - least) // 2
        return to(image[top : top + least, left : left + least], side, side)
    scale = side / max(height, width)
    inner = to(image, max(round(height * scale), 1), max(round(width * scale), 1))
    top, left = (side - inner.shape[0]) // 2, (side - inner.shape[1]) // 2
    padded = np.full((side, side, 3), 127, np.uint8)
    padded[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return padded


def prepare(image: np.ndarray) -> np.ndarray:
    """The network's pixels (size, size, 3); what is larger than the training images were is first reduced to that."""
    about = ABOUT["preparation"]
    shown = (max if about["aspect"] == "pad" else min)(image.shape[:2])
    if shown > about["original_px"]:
        image = square(image, about["original_px"])
    return square(image, about["size_px"])


def answer(probabilities: np.ndarray, features: np.ndarray, reference: np.ndarray) -> tuple[str, float, str]:
    """Class, its calibrated probability and the verdict, from the network's outputs for one image."""
    rule = ABOUT["rejection"]
    logs = np.log(np.maximum(probabilities.astype(np.float64), np.finfo(np.float64).tiny)) / ABOUT["temperature"]
    chances = np.exp(logs - logs.max()) / np.exp(logs - logs.max()).sum()
    cosines = np.sort(reference @ (features / np.linalg.norm(features)))
    if 1 - cosines[-min(rule["neighbours"], len(cosines))] > rule["max_distance"]:
        verdict = "unlike the training images"
    else:
        verdict = "known" if chances.max() >= rule["min_confidence"] else "not sure enough"
    return ABOUT["classes"][int(chances.argmax())], float(chances.max()), verdict


def main(words: list[str]) -> int:
    network = onnxruntime.InferenceSession(HERE / ("model_int8.onnx" if "--int8" in words else "model.onnx"))
    reference = np.load(HERE / "reference.npz")["features"].astype(np.float32)
    failed = 0
    for name in (word for word in words if word != "--int8"):
        try:
            pixels = prepare(decode(Path(name).read_bytes()))[None]
            probabilities, features = map(np.asarray, network.run(["probabilities", "features"], {"pixels": pixels}))
            print(name, *answer(probabilities[0], features[0], reference), sep="\t")
        except (OSError, ValueError, cv2.error) as error:
            failed = 1
            print(f"{name}: {error}", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
