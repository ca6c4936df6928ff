"""The one way from an image's bytes to an answer, whatever runs the network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from transfer.deployment.package import INT8, ONNX, WEIGHTS, Package, read_package, read_reference
from transfer.evaluation.neighbours import neighbour_distances
from transfer.runtime.errors import DataError

Verdict = Literal["known", "unsure", "unlike"]
# Pixels (N, S, S, 3) uint8 -> probabilities (N, classes), features (N, F).
Network = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
VERDICTS: dict[Verdict, str] = {
    "known": "known",
    "unsure": "unknown: not sure enough",
    "unlike": "unknown: unlike the training images",
}


@dataclass(frozen=True)
class Answers:
    """What a network makes of N images: probabilities (N, classes) as they come and calibrated, distances (N,)."""

    raw: np.ndarray
    probabilities: np.ndarray
    distances: np.ndarray
    verdicts: list[Verdict]

    def each(self) -> "list[Answers]":
        """The answer to each image."""
        places = (slice(i, i + 1) for i in range(len(self.raw)))
        return [Answers(self.raw[i], self.probabilities[i], self.distances[i], self.verdicts[i]) for i in places]


@dataclass(frozen=True)
class Predictor:
    """A package with a network to run."""

    package: Package
    network: Network
    reference: np.ndarray

    def predict(self, encoded: Sequence[bytes]) -> Answers:
        """Answer image files by their bytes. Raises DamagedImageError for one that is no image."""
        return self.answer(np.stack([self.package.preparation.from_bytes(one) for one in encoded]))

    def answer(self, pixels: np.ndarray) -> Answers:
        """Answer prepared images (N, S, S, 3) uint8."""
        raw, features = self.network(pixels)
        distances = neighbour_distances(features, self.reference, self.package.rejection.neighbours)
        probabilities = calibrated(raw, self.package.temperature)
        rejection = self.package.rejection
        verdicts: list[Verdict] = [
            "unlike" if far else "unsure" if unsure else "known"
            for far, unsure in zip(
                distances > rejection.max_distance, probabilities.max(1) < rejection.min_confidence, strict=True
            )
        ]
        return Answers(raw, probabilities, distances, verdicts)


def calibrated(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (N, classes) whose logarithms were divided by a temperature, float64."""
    logs = np.log(np.maximum(probabilities.astype(np.float64), np.finfo(np.float64).tiny)) / temperature
    powers = np.exp(logs - logs.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def onnx_network(path: Path, threads: int = 0) -> Network:
    """A network of an .onnx file, by ONNX Runtime; 0 threads: one a core."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that spin while they wait take the cores from whatever else a server does between two runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; run the export stage with this format") from None
    except Exception as error:  # its own kinds, which share no base
        raise DataError(f"{path}: ONNX Runtime cannot run it ({' '.join(str(error).split())})") from None

    def run(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probabilities, features = session.run(["probabilities", "features"], {"pixels": pixels})
        return np.asarray(probabilities), np.asarray(features)

    return run


def torch_network(path: Path, mirror: bool, shift_fraction: float) -> Network:
    """A network of a .safetensors file, by torch, in the precision that it was trained in, on the best device."""
    import torch

    from transfer.devices.device import best_device
    from transfer.devices.precision import autocast
    from transfer.network.classifier import load_card
    from transfer.network.program import load_program

    program, device = load_program(path, mirror, shift_fraction).to(best_device()), best_device()
    precision = load_card(path).precision

    @torch.no_grad()
    def run(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with autocast(device, precision):
            probabilities, features = program(torch.from_numpy(pixels).to(device))
        return probabilities.cpu().numpy(), features.cpu().numpy()

    return run


def load_predictor(folder: Path | str, network: str | None = None) -> Predictor:
    """A package's predictor; `network` is the file in it to run, by default the exact ONNX one, or else the weights.

    Raises DataError or WeightsError if a file is missing or damaged.
    """
    folder = Path(folder)
    package = read_package(folder)
    name = network or next((name for name in (ONNX, WEIGHTS, INT8) if (folder / name).exists()), ONNX)
    path = folder / name
    run = (
        torch_network(path, package.mirror, package.shift_fraction)
        if path.suffix == ".safetensors"
        else onnx_network(path)
    )
    return Predictor(package, run, read_reference(folder))
