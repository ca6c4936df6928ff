"""What measured runs amount to: medians with their spread, ratios within a repetition, a table, and a guard."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

OURS = "ours"
MIB = 1 << 20
TOLERANCE = 0.2


def figures_of(record: Mapping[str, Any], images: int, epochs: Sequence[int]) -> dict[str, float]:
    """A run's figures by name. `images` are trained on in each of a phase's `epochs`; validation counts as time.

    Phase 2's rate is that from the end of its first epoch to the end of its last: without what happens once.
    """
    first, second = record["phases"]
    ends = second["epoch_ends"]
    whole = len(ends) < 2
    trained = images * (epochs[1] if whole else len(ends) - 1)
    return {
        "startup_s": record["startup_s"],
        "phase_1_s": first["seconds"],
        "phase_2_s": second["seconds"],
        "all_s": record["startup_s"] + first["seconds"] + second["seconds"],
        "phase_2_images_per_s": trained / (second["seconds"] if whole else ends[-1] - ends[0]),
        "phase_1_val_accuracy": first["val_accuracy"],
        "phase_2_val_accuracy": second["val_accuracy"],
        "peak_mib": record["peak_bytes"] / MIB,
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    return {"median": median(values), "low": min(values), "high": max(values)}


Runs = Mapping[int, Mapping[str, float]]  # figures by repetition


def ratios(first: Runs, second: Runs, figure: str) -> list[float]:
    """The second's figure over the first's, for each repetition that both have: what slows one then slows the other."""
    return [second[number][figure] / first[number][figure] for number in sorted(first.keys() & second.keys())]


def summarise(records: Sequence[Mapping[str, Any]], images: int, epochs: Sequence[int]) -> dict[str, Any]:
    """For each system its figures' spread, and of the peers how many times as long as ours they take."""
    runs: dict[str, dict[int, dict[str, float]]] = {}
    for record in records:
        runs.setdefault(record["system"], {})[record["repetition"]] = figures_of(record, images, epochs)
    summary: dict[str, Any] = {}
    for system, found in runs.items():
        names = next(iter(found.values()))
        summary[system] = {
            "repetitions": len(found),
            **{name: spread([run[name] for run in found.values()]) for name in names},
        }
        if system != OURS and runs.get(OURS, {}).keys() & found.keys():
            summary[system]["times_as_long"] = {
                **{name: spread(ratios(runs[OURS], found, f"{name}_s")) for name in ("phase_1", "phase_2", "all")},
                "image": spread(ratios(found, runs[OURS], "phase_2_images_per_s")),
            }
    return summary


def shown(values: Mapping[str, float], digits: int) -> str:
    """`12.3 (11.9–14.0)`: median, lowest and highest."""
    middle, low, high = (f"{values[name]:,.{digits}f}" for name in ("median", "low", "high"))
    return f"{middle} ({low}–{high})"


def table(summary: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """The summary as two Markdown tables: what was measured, and the ratios."""
    measured = [
        "| | start-up, s | phase 1, s | phase 2, s | images/s | peak memory, MiB |",
        "|---|---|---|---|---|---|",
    ]
    compared = [
        "| takes … times as long as ours | phase 1 | phase 2 | an image of phase 2 | both phases, with start-up |",
        "|---|---|---|---|---|",
    ]
    for system in [name for name in labels if name in summary]:
        found = summary[system]
        cells = [
            shown(found["startup_s"], 1),
            shown(found["phase_1_s"], 1),
            shown(found["phase_2_s"], 1),
            shown(found["phase_2_images_per_s"], 1),
            shown(found["peak_mib"], 0),
        ]
        measured.append(f"| {labels[system]} | " + " | ".join(cells) + " |")
        if "times_as_long" in found:
            times = [shown(found["times_as_long"][name], 2) for name in ("phase_1", "phase_2", "image", "all")]
            compared.append(f"| {labels[system]} | " + " | ".join(times) + " |")
    return "\n".join([*measured, "", *compared])


def between_markers(page: str, name: str, content: str) -> str:
    """The page with what stands between `<!-- NAME -->` and `<!-- /NAME -->` replaced. ValueError without them."""
    opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = page.partition(opening)
    _, closed, after = rest.partition(closing)
    if not found or not closed:
        raise ValueError(f"no {opening} … {closing} on the page")
    return f"{before}{opening}\n{content}\n{closing}{after}"


def losses(recorded: Mapping[str, float], measured: Mapping[str, float], tolerance: float = TOLERANCE) -> list[str]:
    """A line for each ratio, of which more is better, that fell by more than `tolerance` of what was recorded."""
    lines = []
    for name, before in recorded.items():
        now = measured.get(name)
        if now is None:
            lines.append(f"{name}: recorded {before:.2f}, not measured")
        elif now < (1 - tolerance) * before:
            lines.append(f"{name}: {now:.2f}, was {before:.2f}: a loss of {1 - now / before:.0%}")
    return lines
