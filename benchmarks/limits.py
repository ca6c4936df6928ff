"""How close the pipeline is to what the machine can do: `make bench-limits`, or `python -m benchmarks.limits`.

Each part can be measured on its own (`--only`); the others' figures stay as they were.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.ours import pipeline_for
from benchmarks.processes import ROOT
from benchmarks.run import STATE, show, surroundings
from benchmarks.settings import read_settings
from benchmarks.task import Size, add_task_options, make_task
from commands.entry_point import exit_with
from transfer.runtime.errors import DataError
from transfer.runtime.files import write_json

RESULTS = ROOT / "docs" / "performance" / "limits.json"
PLOT = "scaling.png"
COUNTS = (1_000, 3_000, 10_000, 30_000, 50_000)
RESIZED_IMAGES = 2_000


def prepared(arguments: argparse.Namespace, folder: Path) -> tuple[Path, Path]:
    """A task's settings, and its training split resized below `folder`."""
    size = Size(1_024, 100, arguments.size, arguments.batch_size, 1, 1, arguments.threads)
    settings_file = make_task(STATE, size, arguments.set_param)
    settings = read_settings(settings_file)
    pipeline = pipeline_for(settings, folder)
    done = subprocess.run(pipeline.command("resize@train"), cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DataError(done.stderr.strip().splitlines()[-1])
    return settings_file, Path(pipeline.paths["resized"], "train")


def step_part(arguments: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.step import measure_step

    STATE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=STATE) as folder:
        settings_file, pixels = prepared(arguments, Path(folder))
        return measure_step(read_settings(settings_file), pixels)


def resize_part(arguments: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.resizing import measure_resize
    from transfer.data.splits import load_split

    size = Size(RESIZED_IMAGES, 100, arguments.size, arguments.batch_size, 1, 1, arguments.threads)
    settings = read_settings(make_task(STATE, size, arguments.set_param))
    with tempfile.TemporaryDirectory(dir=STATE) as folder:
        return measure_resize(load_split(Path(settings.train)), arguments.size, "cubic", Path(folder))


def scaling_part(arguments: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.scaling import draw_scaling, measure_size

    size = Size(0, 0, arguments.size, arguments.batch_size, 1, 1, arguments.threads)
    rows = []
    for count in arguments.counts:
        rows.append(measure_size(STATE, count, size, arguments.set_param))
        print(f"{count:,} images: {rows[-1]}", flush=True)
    title = f"ResNet-18 at {arguments.size} pixels, {arguments.threads} threads, batches of {arguments.batch_size}"
    draw_scaling(arguments.output.with_name(PLOT), rows, title)
    return {"size_px": arguments.size, "batch_size": arguments.batch_size, "rows": rows}


def bookkeeping_part(arguments: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.bookkeeping import measure_bookkeeping

    return measure_bookkeeping(arguments.demo, arguments.threads)


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "step": step_part,
    "resize": resize_part,
    "bookkeeping": bookkeeping_part,
    "scaling": scaling_part,
}


def met(value: float, goal: float) -> str:
    return "met" if value <= goal else "**missed**"


def step_text(found: dict[str, Any]) -> str:
    rows = [f"| {kind} | {share:.1%} |" for kind, share in found["shares"].items()]
    return "\n".join(
        [
            f"A step of {found['batch_size']} images at {found['size_px']} pixels in {found['precision']} on "
            f"{found['threads']} threads takes {1000 * found['step_s']:.0f} ms: {found['images_per_s']:.1f} images/s, "
            f"{found['step_gflop_per_s']:.0f} GFLOP/s. A product of two matrices of 2,048 rows and columns reaches "
            f"{found['matrix_gflop_per_s']:.0f} GFLOP/s, so a step has **{found['of_matrix_product']:.0%} of the "
            f"matrix product's rate**. The network's convolutions alone, forward and backward on the same shapes in "
            f"channels-last layout, take {1000 * found['bare_convolutions_s']:.0f} ms, "
            f"**{found['of_bare_convolutions']:.0%} of the step**.",
            "",
            f"- Data path: drawing a batch takes {1000 * found['draw_s']:.1f} ms, {found['data_path_share']:.1%} of a "
            f"step; goal below 5 %: {met(found['data_path_share'], 0.05)}. A step on a batch that is there already "
            f"takes {1000 * found['synthetic_step_s']:.0f} ms.",
            "",
            "| operations of a step, by torch's profiler | share of the time |",
            "|---|---|",
            *rows,
        ]
    )


def resize_text(found: dict[str, Any]) -> str:
    return (
        f"- Resize: {found['images']:,} images to {found['size_px']} pixels in {found['ours_s']:.2f} s, written whole "
        f"or not at all; `cv2.resize` and writing the same bytes take {found['bare_s']:.2f} s: "
        f"{found['times_as_long']:.2f} times as long; goal 1.5: {met(found['times_as_long'], 1.5)}."
    )


def bookkeeping_text(found: dict[str, Any]) -> str:
    idle, spent = found["repro_with_nothing_to_do_s"], found["demo_bookkeeping_s"]
    starts: dict[str, float] = found["startup_s"]
    quickest, slowest = min(starts, key=starts.__getitem__), max(starts, key=starts.__getitem__)
    return "\n".join(
        [
            f"- `dvc repro` with nothing to do: {idle:.1f} s; goal below 3 s: {met(idle, 3)}.",
            f"- `make demo`: {found['demo_s']:.0f} s in all, of which the stages' work is "
            f"{found['demo_work_s']:.0f} s; start-up and bookkeeping {spent:.1f} s; goal below 25 s: "
            f"{met(spent, 25)}. Of these, {found['startups_s']:.1f} s are the start-ups of {found['stage_runs']} "
            f"processes, from {starts[quickest]:.1f} s ({quickest}) to {starts[slowest]:.1f} s ({slowest}), the rest "
            "is DVC's own time, the processes' ends and the making of the digits.",
        ]
    )


def scaling_text(found: dict[str, Any]) -> str:
    def cells(row: dict[str, Any]) -> list[str]:
        own = row.get("fine_tune_own_mib")
        return [
            f"{row['images']:,}",
            f"{row['cache_mib']:,.0f}",
            f"{row['resize_s']:.1f}",
            f"{row['resize_peak_mib']:,.0f}",
            f"{row['epoch_s']:,.0f}",
            "–" if own is None else f"{own:,.0f}",
            f"{row['fine_tune_resident_mib']:,.0f}",
        ]

    return "\n".join(
        [
            "| images | cache, MiB | resize, s | its peak, MiB | an epoch, s | own MiB | with mapped pages, MiB |",
            "|---|---|---|---|---|---|---|",
            *("| " + " | ".join(cells(row)) + " |" for row in found["rows"]),
            "",
            f"![memory and time over the number of images]({PLOT})",
        ]
    )


TEXTS = {"step": step_text, "resize": resize_text, "bookkeeping": bookkeeping_text, "scaling": scaling_text}


def main(arguments: argparse.Namespace) -> int:
    there = json.loads(arguments.output.read_text(encoding="utf-8")) if arguments.output.exists() else {}
    for name in [name for name in PARTS if name in arguments.only]:
        place = surroundings(("torch", "torchvision", "opencv-python-headless", "dvc"))
        there[name] = {**place, "weights": arguments.weights_name, **PARTS[name](arguments)}
        text = f"{place['date']}, {place['hardware']}.\n\n{TEXTS[name](there[name])}"
        print(f"{name}: {text}\n", flush=True)
        write_json(arguments.output, there)
        if arguments.output == RESULTS:
            show(name, text)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.limits", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts (default: all)")
    parser.add_argument("--size", type=int, default=64, help="pixels (default %(default)s)")
    parser.add_argument("--batch-size", type=int, default=64, help="(default %(default)s)")
    parser.add_argument("--counts", type=int, nargs="+", default=list(COUNTS), help="images of `scaling`")
    parser.add_argument("--demo", type=Path, default=STATE / "demo", help="where the demo is run (%(default)s)")
    add_task_options(parser)
    parser.add_argument("--output", type=Path, default=RESULTS, help="JSON (default %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    exit_with(lambda: main(parse()))
