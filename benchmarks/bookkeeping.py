"""What is not work: start-up of each stage, DVC's own time, and `dvc repro` with nothing to do."""

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from benchmarks.processes import ROOT, run_watched
from transfer.runtime.files import write_json

REPEATS = 3
COLD = "cold.json"


def stage_modules() -> list[str]:
    """The module of each run of a stage, `resize` once a split, in dvc.yaml's order."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return [
        stage["cmd"].split()[2]
        for stage in stages.values()
        for _ in next(iter(stage.get("matrix", {"": [None]}).values()))
    ]


def startup_s(module: str) -> float:
    """Seconds in which a stage's process starts, imports all that it needs, reads its command line and ends."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, check=True)
        times.append(time.perf_counter() - started)
    return median(times)


def work_s(timings: Path) -> float:
    """Seconds that the stages noted for their work."""
    return sum(float(line.rpartition("\t")[2]) for line in timings.read_text(encoding="utf-8").splitlines())


def measure_bookkeeping(workspace: Path, threads: int) -> dict[str, Any]:
    """Run the demo in `workspace` if it was not yet, then `dvc repro` on it with nothing to do, some times."""
    if not (workspace / COLD).exists():
        command = [sys.executable, "-m", "commands.demo", str(workspace)]
        whole = run_watched(command, threads).seconds
        write_json(workspace / COLD, {"whole_s": whole, "work_s": work_s(workspace / "state" / "timings.tsv")})
    cold = json.loads((workspace / COLD).read_text(encoding="utf-8"))
    dvc = [str(Path(sys.executable).parent / "dvc"), "repro"]
    idle = [run_watched(dvc, threads, cwd=workspace, look_every_s=10).seconds for _ in range(REPEATS)]
    modules = stage_modules()
    startups = {module: startup_s(module) for module in dict.fromkeys(modules)}
    return {
        "repro_with_nothing_to_do_s": median(idle),
        "demo_s": cold["whole_s"],
        "demo_work_s": cold["work_s"],
        "demo_bookkeeping_s": cold["whole_s"] - cold["work_s"],
        "stage_runs": len(modules),
        "startups_s": sum(startups[module] for module in modules),
        "startup_s": startups,
    }
