"""Judge a change against the commit that it started from, as Markdown: `python -m commands.pr_report BASE [HEAD]`.

BASE and HEAD are branches, tags, commits, experiments or `workspace`; HEAD is compared with the merge base of the
two. Figures, tables and dvc.lock come from git; the pictures need the files that dvc.lock names as well.
"""

import argparse
import json
import subprocess
from os.path import relpath
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dvc.exceptions import DvcException
from dvc.utils.serialize import parse_yaml
from pydantic import ValidationError

from commands.ending import exit_with
from commands.revisions import WORKSPACE, git, listed, read, resolve
from transfer.comparison.changes import SeedSpread
from transfer.comparison.sections import PICTURES, Run, judged, paired, sections, shortened, verdict
from transfer.report.evidence import Evidence, read_table
from transfer.report.page import fill_in
from transfer.report.sections import Section
from transfer.runtime.errors import DataError
from transfer.runtime.files import whole

TEMPLATE = Path(__file__).resolve().parent.parent / "transfer/report/templates/report.md.j2"
SPREAD = "experiments/seed_spread.json"
WITH_PICTURES = 'ARGS="--pictures state/pr-report --output state/pr-report.md" draws them.'
LONGEST = 65_000  # characters; GitHub takes 65,536 in a comment
MOST_ROWS = (200, 50, 15, 5)  # of a table, the most that leave the report short enough
DEEPEN = "`git fetch --unshallow` (in actions/checkout: fetch-depth: 0) brings the rest"


def is_shallow(root: Path) -> bool:
    return git(root, "rev-parse", "--is-shallow-repository").strip() == "true"


def commit_of(root: Path, name: str) -> str:
    """The commit of a revision, or the one checked out for the workspace. Exits with one line if there is none."""
    try:
        revision = resolve(root, name)
    except SystemExit as error:
        raise SystemExit(f"{error}; this clone is shallow: {DEEPEN}" if is_shallow(root) else error.code) from None
    return git(root, "rev-parse", "HEAD").strip() if revision == WORKSPACE else revision


def starting_point(root: Path, base: str, head: str) -> tuple[str, str]:
    """The commit that a change is compared with, and a sentence that says which it is and why."""
    commits = [commit_of(root, name) for name in (base, head)]
    command = ["git", "merge-base", *commits]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    found = done.stdout.strip() or commits[0]
    which = git(root, "log", "-1", "--format=%h of %cs (%s)", found).strip()
    if done.stdout:
        return found, f"Compared with {which}, the merge base of {base} and {head}."
    why = (
        f"is beyond this shallow clone; {DEEPEN.replace('`', '')}" if is_shallow(root) else "is nowhere in the history"
    )
    return found, f"Compared with {base} itself, {which}: the merge base of {base} and {head} {why}."


def read_run(root: Path, name: str, revision: str) -> Run:
    """What git keeps of a run. Raises DataError naming a file that is not readable."""

    def yaml(path: str) -> dict[str, Any] | None:
        text = read(root, revision, path)
        return None if text is None else parse_yaml(text, path)

    metrics: dict[str, Any] = {}
    tables: dict[str, list[dict[str, str]]] = {}
    path = ""
    try:
        for path in listed(root, revision, "metrics"):
            file = Path(path)
            if file.suffix == ".json":
                metrics[file.stem] = json.loads(read(root, revision, path) or "")
            elif file.suffix == ".tsv":
                tables[file.stem] = read_table(read(root, revision, path) or "")
        path = "params.yaml"
        parameters = yaml(path) or {}
        path = "dvc.lock"
        lock = yaml(path)
        return Run(Evidence(metrics, tables, parameters), None if lock is None else lock["stages"])
    except (DvcException, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} of {name}: not readable ({error}); run dvc repro there and commit it") from None


def read_spread(root: Path, revision: str) -> SeedSpread | None:
    """How far figures scatter between seeds, if that was measured. Raises DataError if the file is damaged."""
    text = read(root, revision, SPREAD)
    try:
        return None if text is None else SeedSpread.model_validate_json(text)
    except ValidationError as error:
        raise DataError(f"{SPREAD}: not readable ({error.errors()[0]['msg']}); measure the spread again") from None


def markdown(content: dict[str, Any], found: list[Section]) -> str:
    """The report, with as many rows a table as a comment has room for."""
    text = ""
    for most in MOST_ROWS:
        text = fill_in(TEMPLATE, {**content, "sections": [shortened(section, most) for section in found]})
        if len(text) < LONGEST:
            break
    return text


def main(root: Path, base: str, head: str, pictures: Path | None, output: Path | None) -> int:
    revision = resolve(root, head)
    commit, compared_with = starting_point(root, base, head)
    before, after = read_run(root, commit[:7], commit), read_run(root, head, revision)
    notes, links = None, {}
    try:
        comparison = paired(before.evidence, after.evidence)
        if pictures:
            from commands.pr_pictures import draw  # which needs torch, and that takes seconds

            notes = draw(root, pictures, before, after)
            beside = output.parent if output else Path()
            drawn = {name: pictures / f"{name}.png" for name in PICTURES if (pictures / f"{name}.png").exists()}
            links = {name: quote(Path(relpath(path, beside)).as_posix()) for name, path in drawn.items()}
        content = {
            "title": "Report of the change",
            "comparison": verdict(before.evidence, after.evidence, comparison),
            "verdict": judged(before.evidence, after.evidence),
            "about": compared_with,
            "pictures": links,
        }
        found = sections(before, after, comparison, read_spread(root, revision), notes)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(f"metrics or dvc.lock lack or garble something ({error!r}); run dvc repro") from error
    if not pictures:
        found.append(Section("Pictures", [f"Not asked for; make pr-report BASE={base} HEAD={head} {WITH_PICTURES}"]))
    text = markdown(content, found)
    if output:
        with whole(output) as partial:
            partial.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m commands.pr_report", description=__doc__)
    parser.add_argument("base", metavar="BASE", help="what the change is to be merged into")
    parser.add_argument("head", metavar="HEAD", nargs="?", default=WORKSPACE, help="the change (default %(default)s)")
    parser.add_argument("--pictures", metavar="FOLDER", type=Path, help="draw pictures there and show them")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write the report there, not to the terminal")
    arguments = parser.parse_args()
    exit_with(lambda: main(Path(), arguments.base, arguments.head, arguments.pictures, arguments.output))
