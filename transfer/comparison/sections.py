"""The sections of a report on a change: a verdict, then what differs between the run before it and the one after."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from transfer.report.sections import PHASES, Picture, Section, Table

from transfer.comparison.changes import MISSING, Changed, SeedSpread, StageChange, changes, not_run_with, stage_changes
from transfer.comparison.paired import Comparison, compare_names
from transfer.report.evidence import Evidence, difference_interval, interval, leaves, percent, points
from transfer.report.findings import Gate, gate

LONGEST_CELL = 160
MOST_NAMES = 4
PICTURES = CURVES, MENDED, BROKEN, GRAD_CAM = "curves", "newly_right", "newly_wrong", "grad_cam"
OTHER_IMAGES = "the two runs were tested on other images, which cannot be paired"


@dataclass(frozen=True)
class Run:
    """The figures, tables and parameters of a run, and its stages' entries of dvc.lock; None if there is no lock."""

    evidence: Evidence
    stages: Mapping[str, Any] | None


def answers(evidence: Evidence) -> np.ndarray | None:
    """Names of the true and of the predicted class (2, N) of each test image; None if nothing was evaluated."""
    rows = evidence.rows("confusion")
    return np.array([[row["actual"], row["predicted"]] for row in rows]).T if rows else None


def same_images(before: Evidence, after: Evidence) -> bool:
    """Whether both runs were tested, and on the same images."""
    old, new = answers(before), answers(after)
    chosen = [evidence.figure("subsample", "test", "positions_sha256") for evidence in (before, after)]
    return old is not None and new is not None and np.array_equal(old[0], new[0]) and chosen[0] == chosen[1]


def paired(before: Evidence, after: Evidence) -> Comparison | None:
    """The comparison over the same test images; None if there are none."""
    old, new = answers(before), answers(after)
    if old is None or new is None or not same_images(before, after):
        return None
    return compare_names(new[0], old[1], new[1])


def verdict(before: Evidence, after: Evidence, comparison: Comparison | None) -> str:
    """Whether the change made the model better, in one sentence."""
    old, new = answers(before), answers(after)
    if comparison:
        return _capital(comparison.sentence()) + "."
    if new is None:
        return "No verdict: the change holds no confusion.tsv; run dvc repro and commit what it writes."
    is_right = new[0] == new[1]
    if old is None:
        return f"No baseline yet: accuracy {percent(is_right.mean())}, and nothing before it to compare with."
    was_right = old[0] == old[1]
    shares = float(was_right.mean()), float(is_right.mean())
    ends = difference_interval(shares[1], len(is_right), shares[0], len(was_right))
    return (
        f"Accuracy {100 * shares[0]:.1f} → {100 * shares[1]:.1f}, {points(shares[1] - shares[0])}, {interval(*ends)}: "
        f"no verdict, since {OTHER_IMAGES}; seed and subsample.test_size must be equal."
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def judged(before: Evidence, after: Evidence) -> Gate | None:
    """Whether the minimum viable accuracy is met, and whether it was before; None if nothing was evaluated."""
    if "evaluate" not in after.metrics:
        return None
    now, was = gate(after), before.figure("evaluate", "mva_met")
    return now if was is None else Gate(now.met, f"{now.sentence} Before the change: {'met' if was else 'missed'}.")


def figure(value: Any) -> str:
    """A figure for people: four decimals, or three digits of a very small one."""
    if value is MISSING:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) >= 0.001 or value == 0 else f"{value:.2e}"
    return str(value)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…"


def _step(change: Changed) -> str:
    """What became of a value: its change with its sign, or that it is new or gone."""
    if MISSING in (change.before, change.after):
        return "new" if change.before is MISSING else "gone"
    difference = change.difference
    return "" if difference is None else figure(difference) if difference < 0 else f"+{figure(difference)}"


def metrics_section(before: Evidence, after: Evidence, spread: SeedSpread | None) -> Section:
    found = changes(before.metrics, after.metrics)
    total = len({name for evidence in (before, after) for name, _ in leaves(evidence.metrics)})
    if not found:
        return Section("Metrics", [f"Nothing changed: all {total} figures are the same."])
    shown = [change for change in found if not change.name.endswith(("_ci_low", "_ci_high"))]
    headline, rest = [], []
    for change in shown:
        stage, name = change.name.split(".", 1) if "." in change.name else (change.name, "")
        judged_by = spread if stage in ("evaluate", "fine_tune") else None
        step = change.difference
        noise = judged_by.judge(name, step) if judged_by and step is not None else "not recorded"
        table = headline if stage == "evaluate" and not name.startswith("per_class.") else rest
        table.append([change.name, figure(change.before), figure(change.after), _step(change), noise])
    text = [f"{len(found)} of {total} figures changed. The ends of intervals are left out here."]
    if spread:
        text.append(
            "The verdict is about these two models on these test images. Two runs that differ in the seed alone are "
            f"within 2 √2 standard deviations in 95 of 100 cases (measured with {len(spread.seeds)} seeds"
            + (f" of recipe {spread.recipe})." if spread.recipe else ").")
        )
    else:
        text.append(
            "How far figures scatter between seeds is not recorded (experiments/seed_spread.json); make seeds measures it."
        )
    columns = ["figure", "before", "after", "change", "against the noise"]
    tables = [
        Table(title, columns, rows, ["figure"], folded=folded)
        for title, rows, folded in (
            ("Test split", headline, False),
            ("Single classes and all other stages", rest, True),
        )
        if rows
    ]
    return Section("Metrics", text, tables=tables)


def parameters_section(before: Evidence, after: Run) -> Section:
    found = changes(before.parameters, after.evidence.parameters)
    rows = [[change.name, *(_parameter(value) for value in (change.before, change.after))] for change in found]
    text = [] if rows else ["No parameter changed."]
    if stale := not_run_with(after.evidence.parameters, after.stages or {}):
        text.append(f"Not run with the values of params.yaml: {_listed(stale)}; run dvc repro.")
    columns = ["parameter", "before", "after"]
    return Section("Parameters", text, tables=[Table("", columns, rows, columns)] if rows else [])


def _parameter(value: Any) -> str:
    return "none" if value is MISSING else str(value)


def _listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def stages_section(before: Run, after: Run) -> Section:
    if after.stages is None:
        return Section("Stages that ran", ["The change holds no dvc.lock; run dvc repro and commit it."])
    text = [] if before.stages is not None else ["There was no dvc.lock before."]
    found = stage_changes(before.stages or {}, after.stages)
    if not found:
        return Section("Stages that ran", ["None: dvc.lock says of every stage what it said before."])
    rows = [[change.name or change.was or "", _why(change), _listed(change.outputs)] for change in found]
    columns = ["stage", "what differs", "outputs that differ"]
    return Section("Stages that ran", text, tables=[Table("", columns, rows, ["stage"])])


def _why(change: StageChange) -> str:
    if change.name is None:
        return "gone"
    if change.was is None:
        return "new"
    parts = [f"renamed, was {change.was}"] if change.was != change.name else []
    parts += [kind if kind == "command" else f"{kind}: {_listed(names)}" for kind, names in change.because]
    return "; ".join(parts)


def classes_section(before: Evidence, after: Evidence, comparison: Comparison | None) -> Iterator[Section]:
    title = "Classes"
    if comparison:
        columns = ["%", "before", "after", "change", "95 % interval of the change"]
        yield Section(title, tables=[Table("Largest change first", columns, comparison.rows())])
        return
    figures = [evidence.figure("evaluate", "per_class") or {} for evidence in (before, after)]
    found = [change for change in changes(*figures) if change.name.endswith(".f1")]
    if found:
        ranked = sorted(found, key=lambda change: -abs(change.difference or 0))
        rows = [
            [change.name.removesuffix(".f1"), figure(change.before), figure(change.after), _step(change)]
            for change in ranked
        ]
        yield Section(title, tables=[Table("F1, largest change first", ["class", "before", "after", "change"], rows)])


def curves_section(before: Evidence, after: Evidence, notes: Mapping[str, str]) -> Iterator[Section]:
    text = []
    for phase, name in PHASES.items():
        best = [evidence.figure(phase, "val", "accuracy") for evidence in (before, after)]
        shown = ["none" if accuracy is None else percent(accuracy) for accuracy in best]
        if shown != ["none", "none"]:
            text.append(f"{_capital(name)}: best validation accuracy {shown[0]} → {shown[1]}.")
    if text:
        caption = "Accuracy and loss of each epoch, before and after"
        yield Section("Learning curves", [*text, *_noted(notes, CURVES)], pictures=[Picture(CURVES, caption)])


def answers_section(comparison: Comparison, notes: Mapping[str, str]) -> Section:
    text = [
        f"Of {comparison.images:,} test images {comparison.fixed:,} are newly right "
        f"and {comparison.broken:,} newly wrong."
    ]
    pictures = [
        Picture(MENDED, "Test images that only the model after the change has right"),
        Picture(BROKEN, "Test images that only the model before the change has right"),
    ]
    return Section("Answers that changed", [*text, *_noted(notes, MENDED)], pictures=pictures)


def heat_maps_section(notes: Mapping[str, str]) -> Section:
    caption = "Heat maps of the same test images, before and after"
    return Section("Grad-CAM", _noted(notes, GRAD_CAM), pictures=[Picture(GRAD_CAM, caption)])


def _noted(notes: Mapping[str, str], name: str) -> list[str]:
    return [notes[name]] if name in notes else []


def sections(
    before: Run,
    after: Run,
    comparison: Comparison | None,
    spread: SeedSpread | None,
    notes: Mapping[str, str] | None,
) -> list[Section]:
    """All sections. `notes` say why a picture, by name, is not there; None: no pictures were asked for."""
    old, new = before.evidence, after.evidence
    asked, notes = notes is not None, notes or {}
    return [
        metrics_section(old, new, spread),
        parameters_section(old, after),
        stages_section(before, after),
        *classes_section(old, new, comparison),
        *curves_section(old, new, notes),
        *([answers_section(comparison, notes)] if comparison else []),
        *([heat_maps_section(notes)] if asked else []),
    ]


def shortened(section: Section, most: int) -> Section:
    """A section with short cells, whose tables have at most this many rows, and say so if there were more."""

    def cut(table: Table) -> Table:
        more = len(table.rows) > most
        title = f"{table.title} (the first {most} of {len(table.rows)})".strip() if more else table.title
        return replace(table, title=title, rows=[[_short(text) for text in row] for row in table.rows[:most]])

    return replace(section, tables=[cut(table) for table in section.tables])
