"""Measure this pipeline against its peers on one task, in turn: `make bench`, or `python -m benchmarks.run`.

Every run is a process of its own. A repetition runs each system once, each time another one first; what is finished
is kept, so the same command goes on where it was stopped. Ratios are taken within a repetition.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.figures import OURS, between_markers, summarise, table
from benchmarks.processes import ROOT, run_watched
from benchmarks.settings import Settings, read_settings
from benchmarks.task import Size, add_task_options, make_task, parse_whole_batches
from commands.entry_point import exit_with
from transfer.devices.device import best_device, hardware
from transfer.runtime.errors import DataError
from transfer.runtime.files import whole, write_json

PEERS = {
    "torchvision_loop": "torchvision reference loop",
    "fastai_fine_tune": "fastai `fine_tune`",
    "lightning_finetuning": "Lightning, BackboneFinetuning",
    "keras_two_phase": "Keras 3 on torch",
    "timm_train": "timm",
}
# fastai's `to_bf16` does nothing without CUDA; Keras's policy casts images, but not the torch module that it wraps.
WITH_A_SWITCH = ("torchvision_loop", "lightning_finetuning", "timm_train")
IN_BFLOAT16 = {f"{name}:bfloat16": f"{PEERS[name]}, bfloat16" for name in WITH_A_SWITCH}
SYSTEMS = {OURS: "this pipeline", **PEERS, **IN_BFLOAT16}
GOALS = (  # a figure, in words, how many times as long peers should take, and which peers
    ("phase_1", "phase 1, fastest peer in float32", 8.0, PEERS),
    ("image", "an image of phase 2, fastest peer in float32", 1.6, PEERS),
    ("image", "an image of phase 2, fastest peer in bfloat16", 1.0, IN_BFLOAT16),
)
PACKAGES = ("torch", "torchvision", "fastai", "lightning", "keras", "timm", "opencv-python-headless", "numpy")
STATE = ROOT / "state" / "bench"
RESULTS = ROOT / "docs" / "performance" / "bench.json"
PAGE = ROOT / "docs" / "performance" / "tables.md"


def command_of(system: str, settings: Path, result: Path, evaluate: bool) -> list[str]:
    """The command line of one run; ours can go on to evaluate, which is timed apart."""
    peer, *precision = system.split(":")
    module = "benchmarks.ours" if system == OURS else f"benchmarks.peers.{peer}"
    flags = ["--evaluate"] if system == OURS and evaluate else []
    return [sys.executable, "-m", module, str(settings), str(result), *precision, *flags]


def measure(system: str, settings_file: Path, settings: Settings, evaluate: bool) -> dict[str, Any]:
    """Run a system once: its own figures, its peak memory, and how busy the machine was before."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.json")
        finished = run_watched(command_of(system, settings_file, result, evaluate), settings.threads)
        figures = json.loads(result.read_text(encoding="utf-8"))
    return {**figures, "wall_s": finished.seconds, "peak_bytes": finished.peak_bytes, "load_before": load}


def read_records(kept: Path) -> list[dict[str, Any]]:
    """What earlier runs of the same task left, one JSON a line."""
    return [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()] if kept.exists() else []


def in_turn(systems: Sequence[str], repetitions: int) -> Iterator[tuple[int, str]]:
    """Every system once a repetition, each time another one first."""
    for number in range(repetitions):
        first = number % len(systems)
        for system in [*systems[first:], *systems[:first]]:
            yield number, system


def run_all(
    settings_file: Path, systems: Sequence[str], repetitions: int, evaluate: bool = True
) -> list[dict[str, Any]]:
    """Run what is not there yet, ours in the first repetition up to evaluate, and give all records of the task."""
    kept, settings = (
        settings_file.with_name("runs.jsonl" if evaluate else "trainings.jsonl"),
        read_settings(settings_file),
    )
    records = read_records(kept)
    done = {(record["repetition"], record["system"]) for record in records}
    for number, system in in_turn(systems, repetitions):
        if (number, system) in done:
            continue
        started = time.perf_counter()
        record = {
            "repetition": number,
            "system": system,
            **measure(system, settings_file, settings, evaluate=evaluate and not number),
        }
        with kept.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")
        records.append(record)
        seconds = ", ".join(f"phase {i} {phase['seconds']:.1f} s" for i, phase in enumerate(record["phases"], 1))
        print(
            f"{number + 1}/{repetitions} {system}: {seconds}, in all {time.perf_counter() - started:.0f} s", flush=True
        )
    return records


def surroundings(packages: Sequence[str]) -> dict[str, Any]:
    """Where, when and with which packages it is measured. Raises DataError if one of them is not installed."""
    try:
        versions = {name: version(name) for name in packages}
    except PackageNotFoundError as error:
        raise DataError(f"{error.name}: not installed; `make bench` installs what the benchmark needs") from None
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{hardware(best_device())}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "packages": versions,
    }


def caption(settings: Settings, place: dict[str, Any], repetitions: int, weights: str) -> str:
    """The sentence that says what the table was measured on."""
    versions = ", ".join(f"{name} {number}" for name, number in place["packages"].items())
    return (
        f"{place['date']}, {place['hardware']}, {settings.threads} threads. {settings.architecture} ({weights}) at "
        f"{settings.size_px} pixels, {settings.images} training and {settings.val_images} validation images, batches "
        f"of {settings.batch_size}; phase 1: {settings.head_epochs} epochs of a linear head, phase 2: "
        f"{settings.epochs} of the whole network. Median (lowest–highest) of {repetitions} runs. {versions}."
    )


def goals(summary: dict[str, Any]) -> list[str]:
    """The goals as lines, each with what was measured."""
    peers = {name: found["times_as_long"] for name, found in summary.items() if "times_as_long" in found}
    if not peers:
        return []
    lines = []
    for figure, what, goal, of in GOALS:
        if there := [name for name in of if name in peers]:
            name = min(there, key=lambda name: peers[name][figure]["median"])
            lines.append((f"{what} ({SYSTEMS[name]})", peers[name][figure]["median"], goal))
    return [
        f"- {what}: {value:.2f} times as long as ours; goal {goal:g}: {'met' if value >= goal else '**missed**'}."
        for what, value, goal in lines
    ]


def show(section: str, text: str) -> None:
    """Write `text` into its section of docs/performance/tables.md."""
    page = between_markers(PAGE.read_text(encoding="utf-8"), section, text)
    with whole(PAGE) as partial:
        partial.write_text(page, encoding="utf-8")


def main(arguments: argparse.Namespace) -> int:
    place = surroundings(PACKAGES)
    size = Size(
        arguments.images,
        arguments.val_images,
        arguments.size,
        arguments.batch_size,
        arguments.head_epochs,
        arguments.epochs,
        arguments.threads,
    )
    settings_file = make_task(STATE, size, arguments.set_param)
    settings = read_settings(settings_file)
    systems = [name for name in SYSTEMS if name in arguments.only]
    records = [r for r in run_all(settings_file, systems, arguments.repetitions) if r["system"] in systems]
    summary = summarise(records, settings.images, (settings.head_epochs, settings.epochs))
    task = {name: value for name, value in vars(settings).items() if name not in ("train", "val", "weights", "params")}
    least = min(found["repetitions"] for found in summary.values())
    text = "\n".join(
        [caption(settings, place, least, arguments.weights_name), "", table(summary, SYSTEMS), "", *goals(summary)]
    )
    print(f"\n{text}")
    if arguments.output:
        content = {**place, "weights": arguments.weights_name, "task": task, "systems": summary, "runs": records}
        write_json(arguments.output, content)
        show(arguments.section, text)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.run", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), help="systems (default: all)")
    parser.add_argument("--repetitions", type=int, default=5, help="(default %(default)s)")
    parser.add_argument("--images", type=int, default=512, help="training images (default %(default)s)")
    parser.add_argument("--val-images", type=int, default=128, help="(default %(default)s)")
    parser.add_argument("--size", type=int, default=64, help="pixels (default %(default)s)")
    parser.add_argument("--batch-size", type=int, default=64, help="(default %(default)s)")
    parser.add_argument("--head-epochs", type=int, default=10, help="of phase 1 (default %(default)s)")
    parser.add_argument("--epochs", type=int, default=2, help="of phase 2 (default %(default)s)")
    add_task_options(parser)
    parser.add_argument("--section", choices=["bench", "bench-large"], default="bench", help="of the tables")
    parser.add_argument("--output", type=Path, help="JSON to write, with the table into docs/performance/tables.md")
    return parse_whole_batches(parser)


if __name__ == "__main__":
    try:
        exit_with(lambda: main(parse()))
    except KeyboardInterrupt:
        sys.exit("error: stopped; the same command goes on with what is left")
