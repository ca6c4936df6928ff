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

import yaml
from dvc.repo import Repo
from dvc.utils.flatten import flatten

from commands.ending import exit_with
from commands.parallel_coordinates import parallel_coordinates
from commands.revisions import experiments, git, read
from commands.trials import error_line
from transfer.report.page import as_markdown, fill_in
from transfer.runtime.errors import DataError
from transfer.runtime.files import whole

TEMPLATE = Path(__file__).with_name("leaderboard.html.j2")
WHY = "Sorted by validation accuracy: a run chosen for its test accuracy would owe part of it to luck."
LONGEST_SUBJECT = 40


@dataclass(frozen=True)
class Run:
    """What one revision of git holds; figures that it lacks are None."""

    names: list[str]
    parameters: dict[str, Any]
    figures: dict[str, float | None]


@dataclass(frozen=True)
class Failure:
    """An experiment of the queue that failed."""

    name: str
    parameters: dict[str, Any]
    error: str


@dataclass(frozen=True)
class Board:
    """Runs, the best first, failures, and the parameters that are not the same in all of them."""

    runs: list[Run]
    failures: list[Failure]
    varied: list[str] = field(default_factory=list)


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
    content = flatten(yaml.safe_load(read(root, revision, "params.yaml") or "{}"))
    return {name: str(value) if isinstance(value, list | dict) else value for name, value in content.items()}


def read_figures(root: Path, revision: str) -> dict[str, float | None]:
    """Accuracy on validation (of phase 1 where there is no phase 2) and test images, and macro F1."""
    phase_1, phase_2, test = (
        json.loads(read(root, revision, f"metrics/{name}.json") or "{}")
        for name in ("train_head", "fine_tune", "evaluate")
    )
    val = phase_2.get("val", phase_1.get("val", {}))
    return {
        "val accuracy": val.get("accuracy"),
        "test accuracy": test.get("accuracy"),
        "test macro F1": test.get("macro_f1"),
    }


def failures(root: Path) -> list[Failure]:
    """The failed experiments of DVC's queue, by name."""
    with Repo(str(root)) as repo:
        entries = [done.entry for done in repo.experiments.celery_queue.iter_failed()]
    failed = []
    for entry in entries:
        command = ["dvc", "queue", "logs", entry.stash_rev]
        log = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False).stdout
        name = entry.name or entry.stash_rev[:7]
        failed.append(Failure(name, read_parameters(root, entry.stash_rev), error_line(log) or "no reason in its log"))
    return sorted(failed, key=lambda failure: failure.name)


def board(root: Path) -> Board:
    """Everything there is to compare. Raises DataError if nothing was trained yet."""
    by_record: dict[str, Run] = {}
    for name, revision in {**experiments(root), **trained_commits(root)}.items():
        record = read(root, revision, "dvc.lock")
        if record in by_record:  # an experiment that was applied and committed
            by_record[record].names.append(name)
        elif record:
            by_record[record] = Run([name], read_parameters(root, revision), read_figures(root, revision))
    failed = failures(root)
    if not by_record and not failed:
        raise DataError("no experiment and no commit with a dvc.lock; run `dvc exp run` or `dvc repro` first")
    runs = sorted(by_record.values(), key=lambda run: (-(run.figures["val accuracy"] or 0), run.names))
    values: dict[str, set[str]] = {}
    for parameters in [*(run.parameters for run in runs), *(failure.parameters for failure in failed)]:
        for name, value in parameters.items():
            values.setdefault(name, set()).add(repr(value))
    return Board(runs, failed, [name for name, different in values.items() if len(different) > 1])


def rows(content: Board) -> tuple[list[str], list[list[str]]]:
    """Columns and cells of the table of runs."""
    figures = list(content.runs[0].figures) if content.runs else []
    lines = []
    for run in content.runs:
        shown = [f"{value:.4f}" if (value := run.figures[name]) is not None else "–" for name in figures]
        lines.append([", ".join(run.names), *shown, *(str(run.parameters.get(name, "–")) for name in content.varied)])
    return ["run", *figures, *content.varied], lines


def markdown(content: Board) -> str:
    """The board as Markdown."""

    def line(cells: list[str]) -> str:
        return f"| {' | '.join(as_markdown(cell) for cell in cells)} |"

    columns, cells = rows(content)
    text = ["# Leaderboard", "", WHY, "", line(columns), "|" + " --- |" * len(columns), *map(line, cells)]
    if content.failures:
        text += ["", "## Failed", "", line(["experiment", *content.varied, "error"])]
        text += ["|" + " --- |" * (len(content.varied) + 2)]
        for failure in content.failures:
            changed = [str(failure.parameters.get(name, "–")) for name in content.varied]
            text.append(line([failure.name, *changed, failure.error]))
    return "\n".join(text) + "\n"


def page(content: Board) -> str:
    """The board as one HTML file that needs no network, with a chart of parallel coordinates."""
    columns, cells = rows(content)
    axes = {name: [run.parameters.get(name) for run in content.runs] for name in content.varied}
    axes |= {name: [run.figures[name] for run in content.runs] for name in ("test accuracy", "val accuracy")}
    chart = parallel_coordinates(axes, "val accuracy") if len(content.runs) > 1 else ""
    return fill_in(TEMPLATE, {"why": WHY, "columns": columns, "rows": cells, "chart": chart, "board": content})


def main(root: Path, folder: Path) -> int:
    content = board(root)
    text = markdown(content)
    for name, written in (("leaderboard.md", text), ("leaderboard.html", page(content))):
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
