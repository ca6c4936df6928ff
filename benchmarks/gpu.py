"""Everything that needs a GPU, in one command of at most 20 minutes: `python -m benchmarks.gpu --output gpu.json`.

A ResNet-50 with random weights on handwritten digits, so that nothing has to be fetched; what an image shows makes no
difference to speed. `--rehearse` goes the same way at tiny sizes, on any machine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.figures import OURS, summarise
from benchmarks.ours import pipeline_for
from benchmarks.processes import ROOT
from benchmarks.quick import PEER, digits
from benchmarks.run import STATE, in_turn, measure, surroundings
from benchmarks.settings import Settings, read_settings
from benchmarks.step import Step, medians
from benchmarks.task import Size, make_task
from commands.entry_point import exit_with
from transfer.network.inference import run_over
from transfer.runtime.files import write_json

GOALS = {  # for one H200; more is better
    "train 224 px, images/s": 3_500,
    "train 224 px, of a step without data path": 0.95,
    "answer 224 px, images/s": 10_000,
    "answer 128 px, images/s": 10_000,
    "both phases from cold start, torchvision loop over ours": 5,
}
IMAGES, VAL_IMAGES = 1_024, 128
EVERY_WAY = ("deterministic", "fastest algorithms", "streamed", "compiled", "compiled with CUDA graphs")


def train(settings: Settings, pixels: Path, way: str, repeats: int) -> dict[str, float]:
    """Rates of a step of phase 2, done in one of EVERY_WAY."""
    step = Step(settings, pixels, deterministic=way == "deterministic")
    if way == "streamed":
        step.images.resident, step.images.pixels = False, step.images.pixels.cpu()
    if way.startswith("compiled"):
        mode = "reduce-overhead" if way.endswith("graphs") else None
        step.model.backbone = torch.compile(step.model.backbone, mode=mode)  # pyright: ignore[reportAttributeAccessIssue]
    ready = step.draw()
    medians(3, lambda: step.train(ready), lambda: step.train(step.draw()))
    synthetic_s, real_s = medians(repeats, lambda: step.train(ready), lambda: step.train(step.draw()))
    return {"images_per_s": settings.batch_size / real_s, "of_synthetic": synthetic_s / real_s}


def answer(settings: Settings, pixels: Path, repeats: int) -> float:
    """Images a second without gradients, as evaluate and embed run."""
    step = Step(settings, pixels)
    model = step.model.eval()
    (seconds,) = medians(repeats, lambda: run_over(model, step.images, None, precision=step.precision))
    return len(step.images) / seconds


def cold_start(settings_file: Path) -> float:
    """How many times as long as ours the torchvision loop takes for both phases with start-up."""
    settings = read_settings(settings_file)
    records = [
        {"repetition": number, "system": system, **measure(system, settings_file, settings, evaluate=False)}
        for number, system in in_turn((OURS, PEER), 1)
    ]
    times = summarise(records, settings.images, (settings.head_epochs, settings.epochs))[PEER]["times_as_long"]
    return times["all"]["median"]


def several(count: int, size_px: int, batch_size: int) -> float:
    """Images a second of phase 2 in `count` processes, a GPU each where there are (NCCL)."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    options = ["--once", f"--size-px={size_px}", f"--batch-size={batch_size * count}", "--steps=4", "--epochs=3"]
    command = [sys.executable, *launcher, "-m", "benchmarks.parallel", *options]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(arguments: argparse.Namespace) -> int:
    tiny = arguments.rehearse
    sizes, batch_size, repeats = ((32, 40), 16, 2) if tiny else ((128, 224), 256, 15)
    images, architecture, threads = 64 if tiny else IMAGES, "resnet18" if tiny else "resnet50", os.cpu_count() or 1
    figures: dict[str, float] = {}

    def note(name: str, value: float) -> None:
        figures[name] = value
        goal = f", goal {GOALS[name]:,g}" if name in GOALS and not tiny else ""
        print(f"{name}: {value:,.2f}{goal}", flush=True)

    for size_px in sizes:
        size = Size(images, VAL_IMAGES, size_px, batch_size, 10, 5, threads)
        settings_file = make_task(STATE, size, digits(STATE / "digits", architecture))
        settings = read_settings(settings_file)
        with tempfile.TemporaryDirectory(dir=STATE) as folder:
            pipeline = pipeline_for(settings, Path(folder))
            pipeline.run("resize@train")
            pixels = Path(pipeline.paths["resized"], "train")
            note(f"answer {size_px} px, images/s", answer(settings, pixels, repeats))
            if size_px == sizes[-1]:
                ways = {way: train(settings, pixels, way, repeats) for way in EVERY_WAY}
                note(f"train {size_px} px, images/s", ways["deterministic"]["images_per_s"])
                note(f"train {size_px} px, of a step without data path", ways["deterministic"]["of_synthetic"])
                for way, found in ways.items():
                    note(f"train {size_px} px, {way}, images/s", found["images_per_s"])
                note("both phases from cold start, torchvision loop over ours", cold_start(settings_file))
    for count in sorted({1, 2 if tiny else torch.cuda.device_count()}):
        note(f"ResNet-18, {sizes[-1]} px, {count} processes, images/s", several(count, sizes[-1], batch_size))
    if arguments.output:
        place: dict[str, Any] = surroundings(("torch", "torchvision"))
        write_json(arguments.output, {**place, "rehearsal": tiny, "goals": GOALS, "figures": figures})
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--output", type=Path, help="JSON to write")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, on any machine")
    exit_with(lambda: main(parser.parse_args()))
