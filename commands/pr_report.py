"""Judge a change against the commit that it started from, as Markdown: `python -m commands.pr_report BASE [HEAD]`.

BASE and HEAD are branches, tags, commits, experiments or `workspace`; HEAD is compared with the merge base of the
two. Figures, tables and dvc.lock come from git; the pictures need the files that dvc.lock names as well.
"""

import argparse
import json
from os.path import relpath
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dvc.exceptions import DvcException
from dvc.utils.serialize import parse_yaml
from pydantic import ValidationError

from commands.cached_outputs import LOCK, parse_lock
from commands.entry_point import exit_with
from commands.revisions import DEEPEN, WORKSPACE, files_in, git, is_shallow, read, resolve, run_git
from transfer.comparison.changes import SeedSpread
from transfer.comparison.sections import TEMPLATE, Run, facts, paired
from transfer.report.evidence import Evidence, read_table
from transfer.report.page import fill_in
from transfer.runtime.errors import DataError
from transfer.runtime.files import whole

SPREAD = "experiments/seed_spread.json"
WITH_PICTURES = 'ARGS="--pictures state/pr-report --output state/pr-report.md" draws them.'
LONGEST = 65_000  # characters; GitHub takes 65,536 in a comment
MOST_ROWS = (200, 50, 15, 5)  # of a table, the most that leave the report short enough


def starting_point(root: Path, base: str, head: str) -> tuple[str, str]:
    """The commit that a change is compared with, and a sentence that says which it is and why."""
    commits = [resolve(root, "HEAD" if name == WORKSPACE else name) for name in (base, head)]
    merge_base = run_git(root, "merge-base", *commits).stdout.decode().strip()
    found = merge_base or commits[0]
    which = git(root, "log", "-1", "--format=%h of %cs (%s)", found).strip()
    if merge_base:
        return found, f"Compared with {which}, the merge base of {base} and {head}."
    why = (
        f"is beyond this shallow clone; {DEEPEN}".replace("`", "") if is_shallow(root) else "is nowhere in the history"
    )
    return found, f"Compared with {base} itself, {which}: the merge base of {base} and {head} {why}."


def read_run(root: Path, name: str, revision: str) -> Run:
    """What git keeps of a run. Raises DataError naming a file that is not readable."""
    metrics: dict[str, Any] = {}
    tables: dict[str, list[dict[str, str]]] = {}
    path = "params.yaml"
    try:
        parameters = parse_yaml(read(root, revision, path) or "{}", path)
        for path in files_in(root, revision, "metrics"):
            file = Path(path).relative_to("metrics").with_suffix("").as_posix()
            if path.endswith(".json"):
                metrics[file] = json.loads(read(root, revision, path) or "")
            elif path.endswith(".tsv"):
                tables[file] = read_table(read(root, revision, path) or "")
    except (DvcException, ValueError) as error:
        raise DataError(f"{path} of {name}: not readable ({error}); run dvc repro there and commit it") from None
    lock = read(root, revision, LOCK)
    return Run(Evidence(metrics, tables, parameters), None if lock is None else parse_lock(lock, f"{LOCK} of {name}"))


def read_spread(root: Path, revision: str) -> SeedSpread | None:
    """How far figures scatter between seeds, if that was measured. Raises DataError if the file is damaged."""
    text = read(root, revision, SPREAD)
    try:
        return None if text is None else SeedSpread.model_validate_json(text)
    except ValidationError as error:
        raise DataError(f"{SPREAD}: not readable ({error.errors()[0]['msg']}); measure the spread again") from None


def markdown(content: dict[str, Any]) -> str:
    """The report, with as many rows per table as a comment has room for."""
    texts = (fill_in(TEMPLATE, {**content, "most": most}) for most in MOST_ROWS)
    return next((text for text in texts if len(text) < LONGEST), fill_in(TEMPLATE, {**content, "most": MOST_ROWS[-1]}))


def main(root: Path, base: str, head: str, pictures: Path | None, output: Path | None) -> int:
    revision = resolve(root, head)
    commit, compared_with = starting_point(root, base, head)
    before, after = read_run(root, commit[:7], commit), read_run(root, head, revision)
    spread = read_spread(root, revision)
    notes, links = None, {}
    if pictures:
        from commands.pr_pictures import draw  # which needs torch, and that takes seconds

        drawn, notes = draw(root, pictures, before, after)
        folder = output.parent if output else Path()
        links = {name: quote(Path(relpath(path, folder)).as_posix()) for name, path in drawn.items()}
    content = {
        "compared_with": compared_with,
        "pictures": links,
        "notes": notes,
        "how_to_draw": f"Not asked for; make pr-report BASE={base} HEAD={head} {WITH_PICTURES}",
    }
    try:
        comparison = paired(before.evidence, after.evidence)
        text = markdown({**facts(before, after, comparison, spread), **content})
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(f"metrics or dvc.lock lack or garble something ({error!r}); run dvc repro") from error
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
