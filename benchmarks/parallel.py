"""Images a second of phase 2 in one process and in two: `python -m benchmarks.parallel --output parallel.json`.

The stage's own training step, on pictures of noise and a network with random weights, whose speed is the same. Runs
alternate, so that other work on the machine meets all of them; the table has medians and ranges.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torchvision
import yaml
from torch import nn

from stages import fine_tune
from transfer.devices.device import best_device
from transfer.devices.precision import resolve_precision
from transfer.devices.processes import join, leave_to_first, synchronised
from transfer.network.backbones import Backbone, Preprocessing
from transfer.network.classifier import Classifier, HeadShape, build_feature_extractor, build_head
from transfer.network.images import Images
from transfer.runtime.files import ROOT
from transfer.runtime.parameters import check_parameters
from transfer.training.loop import fit
from transfer.training.optimization import build_optimizer, build_schedule, parameter_groups
from transfer.training.plan import Plan
from transfer.training.state import SavedState, seed_step
from transfer.training.task import image_task
from transfer.training.unfreezing import Unfreezing

WAYS = {  # processes and threads of each
    "1 process, 1 thread": (1, 1),
    "1 process, 2 threads": (1, 2),
    "2 processes, 1 thread each": (2, 1),
}
CLASSES = tuple("abcdefghij")
NOISE = Preprocessing((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def rate(size_px: int, batch_size: int, steps: int, epochs: int) -> float:
    """Images a second of this process and those it works with: the median epoch but for the first, which warms up."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    content["train"]["batch_size"] = batch_size
    wanted = check_parameters(fine_tune.Parameters, content).train
    draw, device = np.random.default_rng(0), best_device()
    pixels = draw.integers(0, 256, (batch_size * steps, size_px, size_px, 3), np.uint8)
    labels = torch.from_numpy(draw.integers(0, len(CLASSES), len(pixels))).to(device)
    data, val = (Images(pixels, NOISE, device), labels), (Images(pixels[:2], NOISE, device), labels[:2])
    seed_step(0, 0)
    backbone = Backbone("resnet18", torchvision.models.resnet18().state_dict(), NOISE)
    extractor, features = build_feature_extractor(backbone)
    head = build_head(HeadShape(features, (128, 64), False, 0.0, len(CLASSES)))
    model = Classifier(synchronised(extractor), head).to(device)
    unfreezing = Unfreezing(model.backbone, [])
    nothing, precision = np.array([], np.int64), resolve_precision(wanted.precision, device)
    what = model, unfreezing, data, val, CLASSES, [0], nothing, precision
    task = image_task(wanted.fine_tune, wanted.augment, wanted.batch_size, *what)
    groups = unfreezing.groups(1e-4, 0.05) + parameter_groups(model.head, 1e-4, 0.05)
    optimizer = build_optimizer("adamw", groups, 0.9)
    schedule = build_schedule("constant", optimizer, epochs * steps, 0.3, 1)
    begun: list[float] = []
    ended: list[float] = []

    def begin(epoch: int) -> None:
        unfreezing.begin_epoch(epoch)
        begun.append(time.perf_counter())

    def validate(_model: nn.Module) -> tuple[float, float]:
        ended.append(time.perf_counter())
        return 0.0, 0.0

    task = replace(task, begin_epoch=begin, validate=validate)
    with TemporaryDirectory() as folder:
        saved = SavedState(Path(folder), "parallel", "0")
        fit(
            model,
            task,
            Plan(epochs, batch_size, 0, 0.0, 0),
            optimizer,
            schedule,
            saved,
            lambda _epoch: None,
            "parallel",
        )
    spans = [end - start for start, end in zip(begun, ended, strict=True)]
    return batch_size * steps / statistics.median(spans[1:])


def measure(way: str, arguments: argparse.Namespace) -> float:
    processes, threads = WAYS[way]
    options = [f"--{name}={getattr(arguments, name)}" for name in ("size_px", "batch_size", "steps", "epochs")]
    variables = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] * (processes > 1)
    program = ["-m", "benchmarks.parallel", "--once", *(option.replace("_", "-") for option in options)]
    command = [sys.executable, *launcher, *program]
    done = subprocess.run(command, cwd=ROOT, env=variables, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(rates: dict[str, list[float]]) -> str:
    """Medians, ranges and ratios to the first way, in Markdown."""
    first, *_ = rates.values()
    lines = ["| | images/s | range | ratio, run by run | range |", "|---|---:|---:|---:|---:|"]
    for way, found in rates.items():
        ratios = [one / other for one, other in zip(found, first, strict=True)]
        lines.append(
            f"| {way} | {statistics.median(found):.1f} | {min(found):.1f} to {max(found):.1f} "
            f"| {statistics.median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.parallel", description=__doc__)
    parser.add_argument("--size-px", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=10, help="of an epoch (default %(default)s)")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--output", type=Path, help="file for every rate, as JSON")
    parser.add_argument("--once", action="store_true", help="measure in this process, or those of torchrun")
    arguments = parser.parse_args()
    if arguments.once:
        join()
        found = rate(arguments.size_px, arguments.batch_size, arguments.steps, arguments.epochs)
        leave_to_first()
        print(found)
        return
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(arguments.repetitions):
        for way, found in rates.items():
            found.append(measure(way, arguments))
            print(f"{way}: {found[-1]:.1f} images/s", flush=True)
    print(table(rates))
    if arguments.output:
        settings = {name: value for name, value in vars(arguments).items() if name not in ("once", "output")}
        arguments.output.write_text(json.dumps({"settings": settings, "images_per_s": rates}, indent=1) + "\n")


if __name__ == "__main__":
    main()
