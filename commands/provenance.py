"""Check what a model package says of its origin against the repository: `python -m commands.provenance [PACKAGE]`.

PACKAGE is a folder that holds provenance.json and model.safetensors, or one of these two files. Each line is ok,
differs, or cannot be checked and why. Exits 1 if something differs.
"""

import argparse
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from dvc.exceptions import DvcException
from dvc.repo import Repo
from pydantic import BaseModel, ValidationError

from commands.cached_outputs import LOCK, committed_digest, parse_lock, recorded_outputs
from commands.entry_point import exit_with
from commands.revisions import DEEPEN, START, WORKSPACE, git, has_commits, is_shallow, read, read_bytes, run_git
from transfer.comparison.changes import not_run_with, recorded_parameters
from transfer.report.evidence import leaves
from transfer.runtime.errors import DataError
from transfer.runtime.files import md5_of, sha256_of

MODEL, PROVENANCE, DIRTY = "model.safetensors", "provenance.json", "-dirty"
OK, DIFFERS, UNCHECKED = "ok", "differs", "cannot be checked"


class Provenance(BaseModel, frozen=True, extra="forbid"):
    """What a package says: the commit it was made on, or why that is none or not all, and what it was made of."""

    revision: str | None
    revision_reason: str | None = None
    model_md5: str
    model_sha256: str
    parameters: dict[str, Any]
    metrics: dict[str, str]  # SHA-256 by path in metrics/


class Line(NamedTuple):
    what: str
    outcome: str
    why: str


class Record:
    """A dvc.lock that names the model, and the revision that it is from."""

    def __init__(self, revision: str, text: str) -> None:
        self.revision, self.where = revision, f"{LOCK} of {revision}"
        self.stages = parse_lock(text, self.where)
        self.outputs = {path: output.md5 for path, output in recorded_outputs(self.stages).items()}
        self.inputs = [(dep["path"], dep["md5"]) for entry in self.stages.values() for dep in entry.get("deps", [])]

    def other_parameters(self, parameters: dict[str, Any]) -> list[str]:
        """Names of those that a stage was run with another value of, or that no stage was run with."""
        unknown = dict(leaves(parameters)).keys() - recorded_parameters(self.stages).keys()
        return sorted({*not_run_with(parameters, self.stages), *unknown})


def open_package(path: Path) -> tuple[Path, Provenance]:
    """The folder and what it says. Raises DataError if this is no package."""
    folder = path.parent if path.name in (MODEL, PROVENANCE) else path
    if missing := [name for name in (MODEL, PROVENANCE) if not (folder / name).is_file()]:
        raise DataError(f"{path}: no model package, {missing[0]} is missing; `dvc pull models/classifier` brings one")
    try:
        return folder, Provenance.model_validate_json((folder / PROVENANCE).read_bytes())
    except ValidationError as error:
        why = " ".join(str(error).split("\n")[1:3])
        raise DataError(f"{folder / PROVENANCE}: not readable ({why}); fetch the package again") from None


def find_record(root: Path, about: Provenance) -> Record | None:
    """The dvc.lock, here or in any commit or experiment, that names the model and fits its parameters best."""
    others = git(root, "log", "--all", "--format=%H", "-S", about.model_md5, "--", LOCK).split()
    revisions = [WORKSPACE, "HEAD", (about.revision or "HEAD").removesuffix(DIRTY), *others]
    locks = ((revision, text) for revision in revisions if (text := read(root, revision, LOCK)))
    records = [record for record in (Record(*lock) for lock in locks) if about.model_md5 in record.outputs.values()]
    return min(records, key=lambda record: len(record.other_parameters(about.parameters)), default=None)


def compared(what: str, others: Iterable[str], where: str) -> Line:
    named = ", ".join(others)
    return Line(what, DIFFERS if named else OK, f"other than in {where}: {named}" if named else f"as in {where}")


def check_record(root: Path, about: Provenance, record: Record) -> Iterator[Line]:
    """The inputs of each stage, the parameters and the metrics, by the dvc.lock that names the model."""
    yield Line("record", OK, f"{record.where} names the model")
    others = {path for path, md5 in record.inputs if record.outputs.get(path, md5) != md5}
    yield compared("inputs of the stages", sorted(others), f"the outputs of {record.where}")
    yield compared("parameters", record.other_parameters(about.parameters), record.where)
    contents = {name: read_bytes(root, record.revision, f"metrics/{name}") or b"" for name in about.metrics}
    others = {name for name, digest in about.metrics.items() if hashlib.sha256(contents[name]).hexdigest() != digest}
    yield compared("metrics", sorted(others), record.revision)


def check_revision(root: Path, about: Provenance, record: Record | None) -> Iterator[Line]:
    """Whether the commit is there, and holds the code that dvc.lock records."""
    commit = (about.revision or "").removesuffix(DIRTY)
    if about.revision is None:
        yield Line("revision", UNCHECKED, about.revision_reason or "the package names none")
    elif run_git(root, "cat-file", "-e", f"{commit}^{{commit}}").returncode:
        lost = "rebased, squashed or not pushed" if has_commits(root) else f"nothing was committed yet; {START}"
        why = DEEPEN if is_shallow(root) else lost
        yield Line("revision", UNCHECKED, f"{commit} is not in this repository: {why}")
    else:
        is_ancestor = run_git(root, "merge-base", "--is-ancestor", commit, "HEAD").returncode == 0
        yield Line("revision", OK, f"{commit} is here" + (", an ancestor of HEAD" if is_ancestor else ""))
        if record and not about.revision.endswith(DIRTY):
            yield compared("code", other_code(root, commit, record), record.where)
        else:
            why = "it differed from that commit, as the package says" if record else f"no {LOCK} to compare it with"
            yield Line("code", UNCHECKED, why)


def other_code(root: Path, revision: str, record: Record) -> Iterator[str]:
    """Files and folders that stages read, and none wrote, whose digest in a commit is not that of the record."""
    with Repo(str(root)) as repo, repo.switch(revision):
        for path, md5 in dict(record.inputs).items():
            written = any(f"{output}/".startswith(f"{path}/") for output in record.outputs)
            if not written and committed_digest(repo, path) != md5:
                yield path


def check(root: Path, package: Path) -> list[Line]:
    """A line for each thing that a package says. Raises DataError if it is none."""
    folder, about = open_package(package)
    digests, recorded = (md5_of(folder / MODEL), sha256_of(folder / MODEL)), (about.model_md5, about.model_sha256)
    lines = [Line("model", OK if digests == recorded else DIFFERS, f"md5 {digests[0]}, sha256 {digests[1]}")]
    try:
        record = find_record(root, about)
        nothing = Line("record", UNCHECKED, f"no {LOCK} in this repository names md5 {about.model_md5}")
        lines += check_record(root, about, record) if record else [nothing]
        return [*lines, *check_revision(root, about, record)]
    except (DataError, DvcException) as error:
        return [*lines, Line("repository", UNCHECKED, " ".join(str(error).split()))]


def main(root: Path, package: Path) -> int:
    lines = check(root, package)
    print(*(f"{line.outcome:<17}  {line.what}: {line.why}" for line in lines), sep="\n")
    return int(any(line.outcome == DIFFERS for line in lines))


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m commands.provenance", description=__doc__)
    parser.add_argument("package", type=Path, nargs="?", default=Path("models/classifier"), help="%(default)s")
    exit_with(lambda: main(Path(), parser.parse_args().package))
