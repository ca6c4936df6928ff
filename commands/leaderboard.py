"""List all experiments and trained commits, the best validation accuracy first: `python -m commands.leaderboard`.

Test accuracy is shown and never sorted by: of many runs the one that scored best on the test images did so partly
by luck, and its score would promise more than new images give. Validation images are there to choose with.
"""

import argparse
import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dvc.repo import Repo
from dvc.utils.flatten import flatten

from commands.entry_point import exit_with
from commands.revisions import experiments, git, read
from commands.run_chart import run_chart
from commands.summary import SHOWN_STAGES
from commands.trials import error_line
from transfer.report.page import as_markdown, fill_in
from transfer.runtime.errors import DataError
from transfer.runtime.files import whole
from transfer.runtime.parameters import parse_yaml
from transfer.runtime.wording import percent

TEMPLATE = Path(__file__).with_name("leaderboard.html.j2")
WHY = "Sorted by validation accuracy: a run chosen for its test accuracy would owe part of it to luck."
FIGURES = ("val accuracy", "test accuracy", "test macro F1")
LONGEST_SUBJECT = 40


@dataclass(frozen=True)
class Run:
    """What one revision of git holds, or a failed experiment of the queue, which has an error and no figures."""

    names: list[str]
    parameters: dict[str, Any]
    figures: dict[str, float | None] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class Table:
    columns: list[str]
    rows: list[list[str]]


def trained_commits(root: Path) -> dict[str, str]:
    """Each commit of a branch or tag that wrote dvc.lock: its short name and subject, and its full name."""
    listed = git(root, "log", "--branches", "--remotes", "--tags", "--format=%H %h %s", "--", "dvc.lock")
    commits: dict[str, str] = {}
    for line in listed.splitlines():
        commit, short, subject = [*line.split(" ", 2), ""][:3]
        title = subject if len(subject) <= LONGEST_SUBJECT else f"{subject[:LONGEST_SUBJECT]}…"
        commits[f"{short} {title}".strip()] = commit
    return commits


def read_parameters(root: Path, revision: str) -> dict[str, Any]:
    """All parameters of a revision by their dotted names; lists as text."""
    content = flatten(parse_yaml(read(root, revision, "params.yaml") or "{}"))
    return {name: str(value) if isinstance(value, list | dict) else value for name, value in content.items()}


def read_figures(root: Path, revision: str) -> dict[str, float | None]:
    """Accuracy on validation (of phase 1 where there is no phase 2) and test images, and macro F1."""
    phase_1, phase_2, test = (json.loads(read(root, revision, f"metrics/{name}.json") or "{}") for name in SHOWN_STAGES)
    val = phase_2.get("val", phase_1.get("val", {}))
    return dict(zip(FIGURES, (val.get("accuracy"), test.get("accuracy"), test.get("macro_f1")), strict=True))


def failed_runs(root: Path) -> list[Run]:
    """The failed experiments of DVC's queue, by name."""
    with Repo(str(root)) as repo:
        entries = [done.entry for done in repo.experiments.celery_queue.iter_failed()]
    failed = []
    for entry in entries:
        command = ["dvc", "queue", "logs", entry.stash_rev]
        done = subprocess.run(command, cwd=root, capture_output=True, encoding="utf-8", errors="replace", check=False)
        error = error_line(done.stdout) or "no reason in its log"
        failed.append(Run([entry.name or entry.stash_rev[:7]], read_parameters(root, entry.stash_rev), error=error))
    return sorted(failed, key=lambda run: run.names)


def finished_runs(root: Path) -> list[Run]:
    """Experiments and trained commits, the best first; one entry for an experiment that was applied and committed."""
    by_record: dict[str, Run] = {}
    for name, revision in {**experiments(root), **trained_commits(root)}.items():
        record = read(root, revision, "dvc.lock")
        if record in by_record:
            by_record[record].names.append(name)
        elif record:
            by_record[record] = Run([name], read_parameters(root, revision), read_figures(root, revision))
    return sorted(by_record.values(), key=lambda run: (-(run.figures["val accuracy"] or 0), run.names))


def varied(runs: list[Run]) -> list[str]:
    """The parameters that are not the same in all runs that have them."""
    names = dict.fromkeys(name for run in runs for name in run.parameters)
    return [name for name in names if len({repr(run.parameters[name]) for run in runs if name in run.parameters}) > 1]


def tables(runs: list[Run], failed: list[Run], names: list[str]) -> dict[str, Table]:
    """Tables by title, with a column for each parameter of `names`."""

    def cells(run: Run) -> list[str]:
        figures = [run.figures.get(name) for name in FIGURES] if not run.error else []
        shown = ["–" if value is None else _shown(name, value) for name, value in zip(FIGURES, figures, strict=False)]
        return [", ".join(run.names), *shown, *(str(run.parameters.get(name, "–")) for name in names)]

    found = {"Leaderboard": Table(["run", *FIGURES, *names], [cells(run) for run in runs])}
    if failed:
        found["Failed"] = Table(["experiment", *names, "error"], [[*cells(run), run.error] for run in failed])
    return found


def _shown(name: str, value: float) -> str:
    return percent(value) if name.endswith("accuracy") else f"{value:.4f}"


def markdown(content: dict[str, Table]) -> str:
    def line(cells: list[str]) -> str:
        return f"| {' | '.join(as_markdown(cell) for cell in cells)} |"

    text = f"# Leaderboard\n\n{WHY}\n"
    for number, (title, table) in enumerate(content.items()):
        head = [f"## {title}", ""] if number else []
        rule = "|" + " --- |" * len(table.columns)
        text += "\n" + "\n".join([*head, line(table.columns), rule, *map(line, table.rows)]) + "\n"
    return text


def page(content: dict[str, Table], runs: list[Run], names: list[str]) -> str:
    """The board as one HTML file that needs no network, with a chart of all runs."""
    axes = {name: [run.parameters.get(name) for run in runs] for name in names}
    axes |= {name: [run.figures[name] for run in runs] for name in ("test accuracy", "val accuracy")}
    chart = run_chart(axes, "val accuracy") if len(runs) > 1 else ""
    return fill_in(TEMPLATE, {"why": WHY, "tables": content, "chart": chart})


def main(root: Path, folder: Path) -> int:
    runs, failed = finished_runs(root), failed_runs(root)
    if not runs and not failed:
        raise DataError("no experiment and no commit with a dvc.lock; run `dvc exp run` or `dvc repro` first")
    names = varied(runs + failed)
    content = tables(runs, failed, names)
    text = markdown(content)
    for name, written in (("leaderboard.md", text), ("leaderboard.html", page(content, runs, names))):
        with whole(folder / name) as partial:
            partial.write_text(written, encoding="utf-8")
    print(text)
    print(f"{folder / 'leaderboard.html'} draws it")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m commands.leaderboard", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("leaderboard"), help="folder (default %(default)s)")
    arguments = parser.parse_args()
    exit_with(lambda: main(Path(), arguments.output))
