"""Compare frozen backbones on the images of data/splits: `python -m commands.backbones resnet18 timm/convnext_atto`.

Each is fetched, checked and embedded as the pipeline does it, in a folder that is deleted afterwards; the files of the
last run stay as they are. The table goes to the screen and to state/backbones.md.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from dvc.utils.serialize import dump_yaml
from torch.utils.flop_counter import FlopCounterMode

from commands.entry_point import exit_with
from commands.overrides import merge
from transfer.devices.device import best_device
from transfer.devices.precision import autocast, resolve_precision
from transfer.network.architectures import outline
from transfer.network.backbones import Backbone, load_backbone, network_with
from transfer.report.page import as_markdown
from transfer.runtime.errors import PipelineError
from transfer.runtime.files import whole
from transfer.runtime.parameters import read_mapping

ROOT = Path(__file__).resolve().parent.parent
SPLITS = ROOT / "data/splits"
BATCH, BATCHES = 32, 3  # of the measurement of speed
COLUMNS = ("backbone", "px", "parameters, M", "GFLOPs", "images/s here", "kNN", "linear probe", "seconds to embed")


def run_stage(name: str, folder: Path, **files: Path) -> None:
    """Run a stage with the folder's params.yaml. Raises PipelineError with the stage's own line."""
    options = [str(part) for option, path in files.items() for part in (f"--{option.replace('_', '-')}", path)]
    command = [sys.executable, "-m", f"stages.{name}", "--params", str(folder / "params.yaml"), *options]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, encoding="utf-8", errors="replace", check=False)
    if done.returncode:
        raise PipelineError((done.stderr.strip().splitlines() or [f"{name} failed"])[-1].removeprefix("error: "))


def gflops(backbone: Backbone, size_px: int) -> float:
    """Multiplications and additions for one image, in 10^9."""
    network = outline(backbone.architecture, backbone.size_px)[0].eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, 3, size_px, size_px, device="meta"))
    return counter.get_total_flops() / 1e9


def images_per_second(backbone: Backbone, size_px: int, precision: Any) -> float:
    """How many images the frozen network takes a second on this machine, after one batch to warm up."""
    device = best_device()
    network = network_with(backbone)[0].to(device).eval()
    images = torch.randn(BATCH, 3, size_px, size_px, device=device).contiguous(memory_format=torch.channels_last)
    with torch.no_grad(), autocast(device, precision):
        network(images)[0, 0].item()  # which waits for an accelerator
        started = time.perf_counter()
        for _ in range(BATCHES):
            network(images)[0, 0].item()
    return BATCH * BATCHES / (time.perf_counter() - started)


def resized(folder: Path, parameters: dict[str, Any]) -> None:
    dump_yaml(folder / "params.yaml", parameters)
    for split in ("train", "val"):
        run_stage("resize", folder, split=SPLITS / f"{split}.npz", resized=folder / split)


def row(folder: Path, parameters: dict[str, Any]) -> list[str]:
    """The backbone's line of the table, on the images that `resized` left in the folder."""
    dump_yaml(folder / "params.yaml", parameters)
    size_px, weights = parameters["resize"]["size_px"], folder / "backbone.safetensors"
    run_stage("backbone", folder, weights=weights, metrics=folder / "backbone.json")
    started = time.perf_counter()
    written = {f"{split}_features": folder / f"{split}.npz" for split in ("train", "val")}
    splits = {split: folder / split for split in ("train", "val")}
    told = {"metrics": folder / "embed.json", "plots": folder / "embed"}
    run_stage("embed", folder, backbone=weights, **told, **splits, **written)
    seconds = time.perf_counter() - started
    figures = json.loads((folder / "embed.json").read_text(encoding="utf-8"))
    backbone = load_backbone(weights)
    speed = images_per_second(backbone, size_px, resolve_precision(parameters["train"]["precision"], best_device()))
    millions = sum(tensor.numel() for tensor in backbone.state.values()) / 1e6
    accuracies = [f"{100 * figures['val'][name]['accuracy']:.1f} %" for name in ("knn", "linear_probe")]
    return [f"{millions:.1f}", f"{gflops(backbone, size_px):.2f}", f"{speed:.0f}", *accuracies, f"{seconds:.0f}"]


def rows(names: list[str], sizes: list[int], url: str | None) -> Iterator[list[str]]:
    """A line for each backbone at each size; of one that fails its error."""
    parameters = read_mapping(ROOT / "params.yaml")
    (ROOT / "state").mkdir(exist_ok=True)
    for size_px in sizes or [parameters["resize"]["size_px"]]:
        with tempfile.TemporaryDirectory(dir=ROOT / "state") as made:
            folder = Path(made)
            at_size = merge(parameters, {"resize": {"size_px": size_px}})
            resized(folder, at_size)
            for name in names:
                own = {"name": name, "weights": "DEFAULT", "url": url, "sha256": None}
                try:
                    figures = row(folder, merge(at_size, {"backbone": own}))
                except PipelineError as error:
                    figures = [as_markdown(str(error)), *[""] * (len(COLUMNS) - 3)]
                yield [as_markdown(name), str(size_px), *figures]


def main(names: list[str], sizes: list[int], url: str | None) -> int:
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    print("\n".join(lines), flush=True)
    for cells in rows(names, sizes, url):
        lines.append("| " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    with whole(ROOT / "state/backbones.md") as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m commands.backbones", description=__doc__, allow_abbrev=False)
    parser.add_argument("names", nargs="+", help="values of backbone.name")
    parser.add_argument("--sizes", nargs="*", type=int, default=[], help="pixels (default: resize.size_px)")
    parser.add_argument("--url", help="folder with NAME.pth or NAME.safetensors of each (default: as published)")
    given = parser.parse_args()
    exit_with(lambda: main(given.names, given.sizes, given.url))
