"""Images a second of each form of a package, against the same network in torch."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.figures import spread
from benchmarks.run import in_turn
from transfer.deployment.export import FILES, program_network
from transfer.deployment.package import WEIGHTS, read_package
from transfer.deployment.predictor import Network, onnx_network
from transfer.devices.precision import autocast
from transfer.network.program import load_program

BATCH = 16  # the server's largest
REFERENCE = "torch float32"


def networks(package: Path, threads: int) -> dict[str, Network]:
    """Each form that the package has, on so many threads of the CPU, by its name."""
    about = read_package(package)
    program = load_program(package / WEIGHTS, about.mirror, about.shift_fraction)

    def in_torch(precision: Any) -> Network:
        @torch.no_grad()
        def run(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            with autocast(torch.device("cpu"), precision):
                probabilities, features = program(torch.from_numpy(pixels))
            return probabilities.numpy(), features.numpy()

        return run

    torch.set_num_threads(threads)
    found = {REFERENCE: in_torch("float32"), "torch bfloat16": in_torch("bfloat16")}
    for form, name in FILES.items():
        if (package / name).exists():
            found[name] = (
                program_network(package / name) if form == "program" else onnx_network(package / name, threads)
            )
    return found


def rate(network: Network, pixels: np.ndarray, seconds: float) -> float:
    """Images a second of a network that is run for so long, and once at least."""
    runs, started = 0, time.perf_counter()
    while (taken := time.perf_counter() - started) < seconds or not runs:
        network(pixels)
        runs += 1
    return runs * len(pixels) / taken


def measure_forms(package: Path, threads: int, repetitions: int, seconds: float) -> dict[str, Any]:
    """Of each form its images a second, and over those of torch in float32 in the same repetition."""
    size = read_package(package).preparation.size_px
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3), np.uint8)
    found = networks(package, threads)
    for network in found.values():  # the first run reserves memory
        network(pixels)
    rates: dict[str, dict[int, float]] = {name: {} for name in found}
    for number, name in in_turn(list(found), repetitions):
        rates[name][number] = rate(found[name], pixels, seconds)
    return {
        name: {
            "images_per_s": spread(list(own.values())),
            "times_torch": spread([own[number] / rates[REFERENCE][number] for number in own]),
        }
        for name, own in rates.items()
    }
