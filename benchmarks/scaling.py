"""Time and memory of resize and fine_tune over data of growing size.

Run as a module it is one measured process: `python -m benchmarks.scaling SETTINGS PIXELS RESULT` trains a fixed
number of steps on a cache of any size, whose pages it has all read before, as a whole epoch does.
"""

import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.ours import pipeline_for
from benchmarks.processes import run_watched
from benchmarks.settings import read_settings
from benchmarks.task import Size, make_task
from transfer.data.resize import PIXELS
from transfer.data.splits import Split, load_split, save_split
from transfer.runtime.errors import DataError
from transfer.runtime.files import write_json

VAL_IMAGES = 100
OWN_IMAGES = 50_000  # of CIFAR-10; larger sizes hold copies
STEPS = 15
LOOK_EVERY_S = 0.05
MIB = 1 << 20


def memory_mib() -> dict[str, float]:
    """What this process holds now: its own memory, and with the pages of mapped files. Linux tells; elsewhere {}."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if "kB" in rest}
    return {"own_mib": kib["RssAnon"] / 1024, "resident_mib": kib["VmRSS"] / 1024} if kib else {}


def measure_training(settings_file: Path, pixels: Path, result: Path) -> None:
    """Train STEPS steps and write seconds a step and memory, with and without the file's mapped pages."""
    from benchmarks.step import Step, seconds_of, touch

    settings = read_settings(settings_file)
    step = Step(settings, pixels)
    touch(step.images.pixels.numpy())
    times, held = [], []
    for _ in range(STEPS):
        times.append(seconds_of(lambda: step.train(step.draw())))
        held.append(memory_mib())
    write_json(result, {"step_s": median(times), **{name: max(now[name] for now in held) for name in held[0]}})


def write_copies(path: Path, split: Split, images: int) -> None:
    """Write a split of so many images, over and over those of another."""
    places = np.arange(images) % len(split.labels)
    save_split(path, Split(**vars(split.take(places)), positions=np.arange(images)))


def measure_size(folder: Path, images: int, size: Size, assignments: list[str]) -> dict[str, Any]:
    """Resize `images` training images, all of them or copies of them, and train some steps on them."""
    own = min(images, OWN_IMAGES)
    val_images = min(VAL_IMAGES, own // 10)
    wanted = Size(own - val_images, val_images, size.size_px, size.batch_size, 1, 1, size.threads)
    settings_file = make_task(folder, wanted, assignments)
    settings = read_settings(settings_file)
    with tempfile.TemporaryDirectory(dir=settings_file.parent) as place:
        pipeline = pipeline_for(settings, Path(place))
        if images > own:
            pipeline.paths["splits"] = place
            write_copies(Path(place, "train.npz"), load_split(Path(settings.train)), images)
        resized = run_watched(pipeline.command("resize@train"), settings.threads, look_every_s=LOOK_EVERY_S)
        pixels, result = Path(pipeline.paths["resized"], "train"), Path(place, "result.json")
        command = [sys.executable, "-m", "benchmarks.scaling", str(settings_file), str(pixels), str(result)]
        run_watched(command, settings.threads, look_every_s=LOOK_EVERY_S)
        trained = json.loads(result.read_text(encoding="utf-8"))
        cache_mib = (pixels / PIXELS).stat().st_size / MIB
    return {
        "images": images,
        "cache_mib": cache_mib,
        "resize_s": resized.seconds,
        "resize_peak_mib": resized.peak_bytes / MIB,
        "epoch_s": trained["step_s"] * settings.images / settings.batch_size,
        **{f"fine_tune_{name}": value for name, value in trained.items()},
    }


def draw_scaling(path: Path, rows: list[dict[str, Any]], title: str) -> None:
    """Memory and time over the number of images, both axes logarithmic where a straight line means linear."""
    from transfer.pictures.sheets import plt, save_figure

    images = [row["images"] for row in rows]
    figure, (memory, seconds) = plt.subplots(1, 2, figsize=(10.5, 4.2))
    for key, label, style in (
        ("fine_tune_own_mib", "fine_tune, its own memory", "C0o-"),
        ("fine_tune_resident_mib", "fine_tune, with the pages of mapped files", "C0o--"),
        ("resize_peak_mib", "resize", "C1s-"),
    ):
        if all(key in row for row in rows):
            memory.plot(images, [row[key] for row in rows], style, label=label)
    memory.set(xscale="log", ylim=(0, None), ylabel="peak memory, MiB", title="Memory")
    for key, label, style in (
        ("epoch_s", f"fine_tune, one epoch (from {STEPS} steps)", "C0o-"),
        ("resize_s", "resize, the whole process", "C1s-"),
    ):
        seconds.plot(images, [row[key] for row in rows], style, label=label)
    ideal = [rows[-1]["epoch_s"] * count / images[-1] for count in images]
    seconds.plot(images, ideal, ":", color="gray", label="proportional to the images")
    seconds.set(xscale="log", yscale="log", ylabel="seconds", title="Time")
    # Where no line runs: memory's is flat above, time's rises to the right.
    memory.legend(fontsize=8, loc="center", bbox_to_anchor=(0.5, 0.28), handlelength=4)
    seconds.legend(fontsize=8, loc="upper left")
    for axes in (memory, seconds):
        axes.set_xlabel("images")
        axes.set_xticks(images, [f"{count / 1000:g}k" for count in images])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    save_figure(path, figure)


if __name__ == "__main__":
    try:
        measure_training(*map(Path, sys.argv[1:]))
    except DataError as error:
        sys.exit(f"error: {error}")
