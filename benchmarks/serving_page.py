"""The figures of docs/use-the-model.md, out of docs/results/serving.json."""

from collections.abc import Mapping
from typing import Any

from benchmarks.figures import between_markers
from benchmarks.forms import BATCH, REFERENCE
from benchmarks.load import SYSTEMS
from benchmarks.processes import ROOT
from transfer.deployment.export import FILES, OPSET

PAGE, RESULT = ROOT / "docs/use-the-model.md", ROOT / "docs/results/serving.json"
BFLOAT16 = "torch bfloat16"
LABELS = {
    REFERENCE: "torch, float32",
    BFLOAT16: "torch, bfloat16",
    FILES["onnx"]: f"`{FILES['onnx']}`, opset {OPSET}",
    FILES["program"]: f"`{FILES['program']}`, `torch.export.load`",
    FILES["int8"]: f"`{FILES['int8']}`",
}


def _difference(value: float) -> str:
    return f"{value:.{3 if value >= 0.001 else 6}f}" if value else "0"


def _accuracy(found: Mapping[str, Any]) -> str:
    if "accuracy" not in found:
        return ""
    share, low, high = (100 * found[name] for name in ("accuracy", "accuracy_ci_low", "accuracy_ci_high"))
    return f"{share:.1f} % ({low:.1f} to {high:.1f})"


def forms_table(result: Mapping[str, Any]) -> str:
    """Size, difference, accuracy and speed of each form, on most threads, and what they were measured on."""
    exported, model, threads = result["export"], result["model"], max(result["forms"], key=int)
    by_name = {REFERENCE: exported["torch"], **{name: exported.get(form, {}) for form, name in FILES.items()}}
    evaluated = exported["evaluate"] if model["precision"] == "bfloat16" else {}
    by_name[BFLOAT16] = {"bytes": exported["torch"]["bytes"], **evaluated}
    rows = ["| form | size | largest difference | changed answers | accuracy (95 % interval) | images/s |"]
    rows += ["|---|---|---|---|---|---|"]
    for name, speed in result["forms"][threads].items():
        own = by_name[name]
        cells = [
            LABELS[name] + (", as evaluated" if name == BFLOAT16 and evaluated else ""),
            f"{own['bytes'] / 1e6:.1f} MB",
            _difference(own["largest_difference"]) if "largest_difference" in own else "",
            str(own.get("changed_answers", "")),
            _accuracy(own),
            f"{speed['images_per_s']['median']:.1f}",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    speed = f"{threads} threads, batches of {BATCH}, {model['views']} views, median of {result['repetitions']}"
    place = f"{result['hardware']}, load {result['load_before']:.1f} before, {result['date']}"
    return "\n".join(
        [
            *rows,
            "",
            f"({model['architecture']} at {model['size_px']} pixels, {result['made_of']}, {exported['images']:,}",
            f"test images; differences of probabilities; speed by `make bench-serving`: {speed};",
            f"{place}; [all figures](results/serving.json).)",
        ]
    )


def _time(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.1f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"


def load_lines(result: Mapping[str, Any]) -> str:
    """Images a second, and latencies, for each number of clients, against the plain handler; what changed since."""
    server, plain, *_ = SYSTEMS
    lines = []
    for clients, systems in result["load"].items():
        own = {figure: each["median"] for figure, each in systems[server].items()}
        times = f"{_time(own['p50_ms'])}, {_time(own['p99_ms'])}"
        other = systems[plain]["images_per_s"]["median"]
        many = "client" if clients == "1" else "clients"
        lines.append(f"- {clients} {many}: {own['images_per_s']:.1f} ({times}) against {other:.1f}")
    note = [f"\n{result['since']}"] if "since" in result else []
    return "\n".join([*lines, *note])


def with_figures(page: str, result: Mapping[str, Any]) -> str:
    """The page with the figures of a result."""
    return between_markers(between_markers(page, "forms", forms_table(result)), "load", load_lines(result))
