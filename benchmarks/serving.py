"""How fast a package answers: `make bench-serving`, or `python -m benchmarks.serving`, in ten minutes.

With ARGS=--page the figures go into docs/results/serving.json, and from there into docs/use-the-model.md.

Each form in images a second against torch, and the server under 1, 8 and 64 clients beside a plain handler of FastAPI
and torch. Times are no outputs of the export stage: the same inputs give the same bytes there.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from benchmarks.figures import shown
from benchmarks.forms import BATCH, measure_forms
from benchmarks.load import compare
from benchmarks.run import surroundings
from benchmarks.serving_page import PAGE, RESULT, with_figures
from commands.entry_point import exit_with
from transfer.deployment.package import WEIGHTS, read_package
from transfer.network.classifier import load_card
from transfer.runtime.files import whole, write_json

PACKAGES = ("torch", "onnxruntime", "fastapi", "uvicorn", "opencv-python-headless", "pillow", "numpy")
CLIENTS = (1, 8, 64)
FORMS_S, LOAD_S = 2, 5


def forms_part(arguments: argparse.Namespace) -> dict[str, Any]:
    cores = os.cpu_count() or 1
    counts = sorted({1, cores})
    return {
        str(threads): measure_forms(arguments.package, threads, arguments.repetitions, FORMS_S) for threads in counts
    }


def load_part(arguments: argparse.Namespace) -> dict[str, Any]:
    return compare(arguments.package, CLIENTS, arguments.repetitions, LOAD_S)


PARTS = {"forms": forms_part, "load": load_part}


def forms_text(found: dict[str, Any]) -> str:
    lines = ["| form | threads | images/s | times torch float32 |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {threads} | {shown(own['images_per_s'], 1)} | {shown(own['times_torch'], 2)} |"
        for threads, forms in found.items()
        for name, own in forms.items()
    ]
    return "\n".join(lines)


def load_text(found: dict[str, Any]) -> str:
    lines = [
        "| clients | | p50, ms | p99, ms | images/s | p50, times the server's | p99 | images/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for clients, systems in found.items():
        for name, own in systems.items():
            p50, p99, rate = own["p50_ms"], own["p99_ms"], own["images_per_s"]
            cells = [shown(p50, 0), shown(p99, 0), shown(rate, 1)]
            cells += [shown(each["over_server"], 2) for each in (p50, p99, rate)]
            lines.append(f"| {clients} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


TEXTS = {"forms": forms_text, "load": load_text}


def main(arguments: argparse.Namespace) -> int:
    about, before = read_package(arguments.package), os.getloadavg()[0]
    # Before what takes ten minutes.
    precision = load_card(arguments.package / WEIGHTS).precision
    export = json.loads(arguments.export.read_text(encoding="utf-8"))
    found = {name: PARTS[name](arguments) for name in arguments.only}
    place = surroundings(PACKAGES)
    views = (1 + about.mirror) * (3 if about.shift_fraction else 1)
    print(
        f"{place['date']}, {place['hardware']}. {about.architecture} at {about.preparation.size_px} pixels, "
        f"{views} views an image, forms in batches of {BATCH}. Median (lowest–highest) of {arguments.repetitions}. "
        f"Load of the machine before: {before:.1f}."
    )
    for name, figures in found.items():
        print(f"\n{TEXTS[name](figures)}")
    model = {"architecture": about.architecture, "size_px": about.preparation.size_px, "views": views}
    result = {
        **place,
        "made_of": arguments.made_of,
        "model": {**model, "precision": precision},
        "load_before": before,
        "repetitions": arguments.repetitions,
        "export": export,
        **found,
    }
    if output := RESULT if arguments.page else arguments.output:
        kept = json.loads(output.read_text(encoding="utf-8")) if output.exists() else {}
        if "load" in found:
            kept.pop("since", None)  # what has changed since it was measured
        write_json(output, result := {**kept, **result})
    if arguments.page:
        page = with_figures(PAGE.read_text(encoding="utf-8"), result)
        with whole(PAGE) as partial:
            partial.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--package", type=Path, default=Path("models/classifier"), help="(default %(default)s)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts (default: all)")
    parser.add_argument("--repetitions", type=int, default=3, help="(default %(default)s)")
    parser.add_argument("--export", type=Path, default=Path("metrics/export.json"), help="(default %(default)s)")
    made_of = "torchvision's weights, CIFAR-10"
    parser.add_argument("--made-of", default=made_of, help="for the text (default: %(default)s)")
    parser.add_argument("--page", action="store_true", help=f"write {RESULT.name} and {PAGE.name} of docs/")
    parser.add_argument("--output", type=Path, help="JSON to write; a part that is not measured stays as it was")
    exit_with(lambda: main(parser.parse_args()))
