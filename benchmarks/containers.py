"""What `download`, `subsample` and `resize` cost for each kind of source: `python -m benchmarks.containers`.

The same CIFAR-10 images in five containers, which have to give the same pixels, and sets of other kinds. Seconds are
the processor's, over all cores, so that other work on the machine counts little; memory is a process's own, without the
pages of mapped files, which the system takes back when it needs them.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dvc.utils.serialize import dumps_yaml

from benchmarks.made_sources import CONTAINERS, Pictures, cifar_100_archive, grey_folder, photographs, small_files
from benchmarks.ours import Pipeline
from commands.entry_point import exit_with
from transfer.runtime.errors import DataError
from transfer.runtime.files import ROOT, sha256_of
from transfer.runtime.parameters import read_mapping
from transfer.sources.cifar import LabelledImages, read_archive

SPLITS = ("train", "val", "test")
RUNS = {"download": "download", "again": "download", "subsample": "subsample"}
FOLDER = ROOT / "state" / "bench" / "containers"
LOOK_EVERY_S = 0.1
MIB = 1 << 20
HEAD = "||images|MB|download, s|again, s|subsample, s|resize, s|peak MiB|\n" + "|---" * 8 + "|"


def pictures_of(archive: Path, count: int) -> Pictures:
    """The first images of a CIFAR-10 archive, four fifths of its training and a fifth of its test images."""
    read, test = read_archive(archive), count // 5
    parts = [
        LabelledImages(of.images[:size], of.labels[:size])
        for of, size in ((read.train, count - test), (read.test, test))
    ]
    return Pictures(parts[0], parts[1], read.classes)


def watched(command: list[str], state: Path) -> tuple[float, float]:
    """Run a stage: seconds of the processor, and the most MiB of its own. Raises DataError if it fails."""
    log = state.with_suffix(".log")
    environment = {**os.environ, "TRANSFER_STATE": str(state)}
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=stream, stderr=stream)
    peak = 0
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        peak = max(peak, own_bytes(process.pid))
        time.sleep(LOOK_EVERY_S)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise DataError(f"{' '.join(command)}: {log.read_text(encoding='utf-8').strip().splitlines()[-1]}")
    return usage.ru_utime + usage.ru_stime, peak / MIB


def own_bytes(pid: int) -> int:
    """Memory that belongs to a process alone (Linux)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:  # it has just ended
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon", "RssShmem")))


def measure(source: Path, size_px: int, place: Path) -> dict[str, Any]:
    """Run the three stages on a source; `again` is `download` once more, with nothing new."""
    params = {**read_mapping(ROOT / "params.yaml")}
    params["download"] = {**params["download"], "url": str(source), "sha256": None}
    params["subsample"] = {**params["subsample"], "train_size": None, "val_size": 0.2}
    params["resize"] = {**params["resize"], "size_px": size_px}
    (place / "params.yaml").write_text(dumps_yaml(params), encoding="utf-8")

    pipeline = Pipeline(place, place / "params.yaml")

    def stage(name: str) -> tuple[float, float]:
        return watched(pipeline.command(name), Path(pipeline.paths["state"]))

    runs = {name: stage(stage_name) for name, stage_name in RUNS.items()}
    resized = [stage(f"resize@{name}") for name in SPLITS]
    runs["resize"] = sum(seconds for seconds, _ in resized), max(memory for _, memory in resized)
    pixels = [sha256_of(Path(pipeline.paths["resized"], name, "pixels.npy")) for name in SPLITS]
    return {
        "images": read_mapping(Path(pipeline.paths["metrics"], "download.json"))["images"],
        **{f"{name}_s": seconds for name, (seconds, _) in runs.items()},
        "peak_mib": max(memory for _, memory in runs.values()),
        "pixels": hashlib.sha256("".join(pixels).encode()).hexdigest(),
    }


def row(name: str, source: Path, found: dict[str, Any]) -> str:
    files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
    files += [path for path in source.parent.glob("images/**/*") if path.is_file() and source.suffix == ".csv"]
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    seconds = [f"{found[f'{part}_s']:.1f}" for part in ("download", "again", "subsample", "resize")]
    return f"|{name}|{found['images']:,}|{megabytes:,.0f}|{'|'.join(seconds)}|{found['peak_mib']:.0f}|"


def main(arguments: argparse.Namespace) -> int:
    pictures = pictures_of(arguments.archive, arguments.images)
    kinds: dict[str, Callable[[Path, Pictures], Path]] = {
        **CONTAINERS,
        "CIFAR-100, binary archive": cifar_100_archive,
        "grey PNG files": grey_folder,
        "photographs, 3 to 12 megapixels": lambda folder, of: photographs(folder, of, arguments.photographs),
        "JPEG files of 64 px": lambda folder, of: small_files(folder, of, arguments.files),
    }
    pixels: dict[str, str] = {}
    print(HEAD, flush=True)
    for name in [name for name in kinds if not arguments.only or name in arguments.only]:
        place = arguments.folder / name.replace(" ", "-")
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        source = kinds[name](place, pictures)
        found = measure(source, arguments.size, place)
        print(row(name, source, found), flush=True)
        if name in CONTAINERS:
            pixels[name] = found["pixels"]
        shutil.rmtree(place)
    if len(set(pixels.values())) > 1:
        raise DataError(f"the same images gave other pixels: {pixels}")
    if len(pixels) > 1:
        print(f"\nthe same pixels in the same splits from all {len(pixels)} containers")
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.containers", description=__doc__)
    parser.add_argument("archive", type=Path, help="CIFAR-10's binary archive")
    parser.add_argument("--only", nargs="+", help="rows, by their names (default: all)")
    parser.add_argument("--images", type=int, default=10_000, help="of CIFAR-10 (default %(default)s)")
    parser.add_argument("--photographs", type=int, default=300, help="(default %(default)s)")
    parser.add_argument("--files", type=int, default=100_000, help="JPEG files of 64 px (default %(default)s)")
    parser.add_argument("--size", type=int, default=64, help="pixels that they are resized to (default %(default)s)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="to make them in (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    exit_with(lambda: main(parse()))
