"""Has the pipeline become slower? `make bench-quick`, or `python -m benchmarks.quick`, in a few minutes.

Measures a few ratios, of which more is better, on handwritten digits and random weights, so that nothing has to be
fetched; what an image shows makes no difference to speed. Fails, naming the ratio, where one has lost over a fifth of
what docs/performance/quick.json records. `--record` records what is measured now.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import OURS, losses, summarise
from benchmarks.processes import ROOT
from benchmarks.run import STATE, in_turn, measure, surroundings
from benchmarks.settings import read_settings
from benchmarks.task import Size, make_task
from commands.demo import write_digits, write_random_weights
from commands.entry_point import exit_with
from transfer.runtime.errors import DataError
from transfer.runtime.files import sha256_of, write_json

RECORDED = ROOT / "docs" / "performance" / "quick.json"
PEER = "torchvision_loop"
SYSTEMS = (OURS, PEER)
RESIZED_IMAGES = 2_000  # the split again and again: of fewer, the wait for the disk is all


def digits(folder: Path, architecture: str = "resnet18") -> list[str]:
    """The demo's data and random weights below `folder`, as assignments for `make_task`."""
    archive, weights = folder / "digits.tar.gz", folder / f"{architecture}.pth"
    if not archive.exists():
        write_digits(archive)
    if not weights.exists():
        write_random_weights(weights, architecture)
    return [
        f"download.url={archive}",
        f"download.sha256={sha256_of(archive)}",
        f"backbone.name={architecture}",
        f"backbone.url={folder}/",
        "groups.rigid=[]",
        "evaluate.expected_pairs=[]",
    ]


def measure_ratios(arguments: argparse.Namespace) -> dict[str, float]:
    """The ratios by name; each is ours against something else, and more is better."""
    from benchmarks.ours import pipeline_for
    from benchmarks.resizing import measure_resize
    from benchmarks.step import measure_step
    from transfer.data.splits import load_split

    size = Size(arguments.images, 128, 64, 64, 10, 2, arguments.threads)
    settings_file = make_task(STATE, size, digits(STATE / "digits"))
    settings = read_settings(settings_file)
    records: list[dict[str, Any]] = []
    for number, system in in_turn(SYSTEMS, arguments.repetitions):
        records.append(
            {"repetition": number, "system": system, **measure(system, settings_file, settings, evaluate=False)}
        )
        print(f"{system}: {[round(phase['seconds'], 1) for phase in records[-1]['phases']]} s", flush=True)
    times = summarise(records, settings.images, (settings.head_epochs, settings.epochs))[PEER]["times_as_long"]
    with tempfile.TemporaryDirectory(dir=STATE) as folder:
        split = load_split(Path(settings.train))
        images = split.take(np.arange(RESIZED_IMAGES) % len(split.labels))
        resized = measure_resize(images, settings.size_px, "cubic", Path(folder))
        pipeline = pipeline_for(settings, Path(folder))
        pipeline.run("resize@train")
        step = measure_step(settings, Path(pipeline.paths["resized"], "train"))
    return {
        "phase 1, speed over the torchvision loop": times["phase_1"]["median"],
        "phase 2, images a second over the torchvision loop": times["image"]["median"],
        "step, share that is not the data path": 1 - step["data_path_share"],
        "step, speed over that of its bare convolutions": step["of_bare_convolutions"],
        "resize, speed over bare cv2.resize and writing": 1 / resized["times_as_long"],
    }


def judge(recorded_file: Path, measured: dict[str, float]) -> int:
    """Say whether a ratio fell: 1 and a line that names it, else 0. Raises DataError if nothing is recorded."""
    if not recorded_file.exists():
        raise DataError(f"{recorded_file}: nothing is recorded; run it with --record on a quiet machine")
    recorded = json.loads(recorded_file.read_text(encoding="utf-8"))["ratios"]
    if lines := losses(recorded, measured):
        print("error: slower than recorded: " + "; ".join(lines), file=sys.stderr)
        return 1
    print("no ratio lost over 20 % of what is recorded")
    return 0


def main(arguments: argparse.Namespace) -> int:
    measured = measure_ratios(arguments)
    for name, value in measured.items():
        print(f"{name}: {value:.2f}")
    if not arguments.record:
        return judge(arguments.file, measured)
    place = surroundings(("torch", "torchvision", "opencv-python-headless"))
    write_json(arguments.file, {**place, "threads": arguments.threads, "images": arguments.images, "ratios": measured})
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.quick", description=__doc__)
    parser.add_argument("--record", action="store_true", help="write what is measured now, compare nothing")
    parser.add_argument("--file", type=Path, default=RECORDED, help="what is recorded (default %(default)s)")
    parser.add_argument("--repetitions", type=int, default=2, help="(default %(default)s)")
    parser.add_argument("--images", type=int, default=512, help="training images (default %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="(default %(default)s)")
    exit_with(lambda: main(parser.parse_args()))
