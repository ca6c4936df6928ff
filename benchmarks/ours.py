"""This pipeline, timed as the peers are: the commands of dvc.yaml, each a process of its own, as `dvc repro` runs them.

What a stage does counts; from its process's start to `main` and from there to its end is start-up.
"""

import csv
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import yaml

from benchmarks.processes import ROOT
from benchmarks.settings import Settings, read_settings
from transfer.runtime.errors import DataError, PipelineError
from transfer.runtime.files import write_json

PHASE_1 = ["resize@train", "resize@val", "embed", "train_head"]
NO_COUNTERPART = ["label_errors"]  # fine_tune reads what it finds; no peer does the like
PHASE_2 = ["fine_tune"]
TEST_SPLIT = ["resize@test", "leakage", "evaluate"]
LOOK_EVERY_S = 0.02
PATHS = {  # of dvc.yaml, each of which may be moved
    "state": "state",
    "images": "data/raw/images.npz",
    "damaged": "data/raw/damaged.tsv",
    "splits": "data/splits",
    "resized": "data/resized",
    "features": "data/features",
    "suspects": "data/label_errors.npz",
    "duplicates": "data/duplicates.npz",
    "predictions": "data/predictions.npz",
    "backbone": "models/backbone.safetensors",
    "head": "models/head.safetensors",
    "model": "models/model.safetensors",
    "unknown": "models/unknown.npz",
    "metrics": "metrics",
}


class Pipeline:
    """dvc.yaml's commands on paths below a folder of their own."""

    def __init__(self, folder: Path, parameters: Path) -> None:
        content = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
        self.paths = {name: str(folder / path) for name, path in PATHS.items()}
        self._commands = {name: stage["cmd"] for name, stage in content["stages"].items()}
        self._parameters = parameters

    def command(self, stage: str) -> list[str]:
        """The command line of a stage, or of `stage@split`."""
        name, _, split = stage.partition("@")
        text = self._commands[name].replace("${item.split}", split)
        return [sys.executable, *map(self._moved, shlex.split(text)[1:]), "--params", str(self._parameters)]

    def _moved(self, word: str) -> str:
        """A path of dvc.yaml where this pipeline has it; any other word as it is."""
        for name, path in PATHS.items():
            if word == path or word.startswith(f"{path}/"):
                return self.paths[name] + word.removeprefix(path)
        return word

    def run(self, stage: str) -> tuple[float, float]:
        """Run a stage: seconds of its work, and of all else from its process's start to its end."""
        started = time.perf_counter()
        variables = {**os.environ, "TRANSFER_STATE": self.paths["state"]}
        command = self.command(stage)
        done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
        whole = time.perf_counter() - started
        if done.returncode:
            raise DataError(f"{stage}: {done.stderr.strip().splitlines()[-1]}")
        noted = Path(self.paths["state"], "timings.tsv").read_text(encoding="utf-8").splitlines()[-1]
        work = float(noted.rpartition("\t")[2])
        return work, max(whole - work, 0.0)

    def last_accuracy(self, phase: str) -> float:
        """Accuracy on the validation split after the last epoch of `train_head` or `fine_tune`."""
        with Path(self.paths["metrics"], f"{phase}.tsv").open(encoding="utf-8") as stream:
            return float(list(csv.DictReader(stream, delimiter="\t"))[-1]["val_accuracy"])


def pipeline_for(settings: Settings, folder: Path) -> Pipeline:
    """The pipeline on a task's own splits, with all that it writes below `folder`."""
    pipeline = Pipeline(folder, Path(settings.params))
    pipeline.paths["splits"] = str(Path(settings.train).parent)
    return pipeline


class EpochEnds(threading.Thread):
    """Watches the table that a phase logs while it runs, a line an epoch, and notes when each line comes."""

    def __init__(self, state: Path, phase: str) -> None:
        super().__init__(daemon=True)
        self._log = state / "live" / phase / "plots" / "metrics" / "val" / "accuracy.tsv"
        self._ended = threading.Event()
        self.ends: list[float] = []

    def run(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            epochs = len(self._log.read_bytes().splitlines()) - 1 if self._log.exists() else 0
            self.ends += [time.perf_counter()] * (epochs - len(self.ends))

    def stop(self) -> list[float]:
        self._ended.set()
        self.join()
        return self.ends


def main(settings_file: Path, result: Path, evaluate: bool) -> None:
    settings = read_settings(settings_file)
    with tempfile.TemporaryDirectory(dir=settings_file.parent) as folder:
        pipeline = Pipeline(Path(folder), Path(settings.params))
        for name, source in [("splits", Path(settings.train).parent), ("backbone", Path(settings.weights))]:
            target = Path(pipeline.paths[name])
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        times: dict[str, tuple[float, float]] = {}
        watched: dict[str, list[float]] = {}
        for stage in [*PHASE_1, *NO_COUNTERPART, *PHASE_2, *(TEST_SPLIT if evaluate else [])]:
            watch = EpochEnds(Path(pipeline.paths["state"]), stage)
            watch.start()
            times[stage] = pipeline.run(stage)
            watched[stage] = watch.stop()
        phases = [
            {
                "seconds": sum(times[stage][0] for stage in stages),
                "epoch_ends": watched[stages[-1]],
                "val_accuracy": pipeline.last_accuracy(stages[-1]),
            }
            for stages in (PHASE_1, PHASE_2)
        ]
        write_json(
            result,
            {
                "startup_s": sum(times[stage][1] for stage in [*PHASE_1, *PHASE_2]),
                "phases": phases,
                "stages": {stage: {"work_s": work, "rest_s": rest} for stage, (work, rest) in times.items()},
            },
        )


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]), evaluate="--evaluate" in sys.argv[3:])
    except PipelineError as error:
        sys.exit("error: " + " ".join(str(error).split()))
