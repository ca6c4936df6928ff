"""What a run ended with, for the terminal."""

from collections.abc import Iterable, Mapping
from typing import Any

from transfer.runtime.wording import number, percent

SHOWN_STAGES = ("train_head", "fine_tune", "evaluate")


def metrics_table(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """A table of the figures that matter, from the contents of metrics/*.json by stage name."""
    phase_1, phase_2, test = metrics["train_head"], metrics["fine_tune"], metrics["evaluate"]
    interval = " to ".join(number(100 * test[f"accuracy_ci_{end}"], 1) for end in ("low", "high"))
    rows = [
        ("validation accuracy after phase 1 (frozen backbone)", percent(phase_1["val"]["accuracy"])),
        ("validation accuracy after phase 2 (fine-tuned)", percent(phase_2.get("val", phase_1["val"])["accuracy"])),
        ("test accuracy, one view", percent(test["accuracy_single_view"])),
        ("test accuracy", percent(test["accuracy"])),
        ("  95 % interval", interval),
        ("test macro F1", f"{test['macro_f1']:.4f}"),
        ("minimum viable accuracy", "met" if test["mva_met"] else "missed"),
    ]
    return _aligned(rows)


def times_table(lines: Iterable[str]) -> str:
    """A table of seconds per stage, from lines of state/timings.tsv."""
    rows = [tuple(line.rstrip("\n").split("\t")) for line in lines]
    total = sum(float(seconds) for _, seconds in rows)
    return _aligned([*((what, f"{seconds} s") for what, seconds in rows), ("all stages", f"{total:.1f} s")])


def _aligned(rows: list[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value:>10}" for name, value in rows)
