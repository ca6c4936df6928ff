"""Check what a model file says of its origin against the repository: `python -m commands.provenance MODEL`.

Each line is ok, differs, or cannot be checked and why. Exits 1 if something differs.
"""

import argparse
import hashlib
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from dvc.utils.serialize import parse_yaml
from transfer.network.provenance import Provenance, record_digest

from commands.ending import exit_with
from commands.revisions import WORKSPACE, read
from transfer.data.splits import load_labels
from transfer.network.backbones import load_backbone
from transfer.network.classifier import Head, ModelCard, load_card, load_head
from transfer.network.tensors import load_tensors
from transfer.runtime.files import md5_of

DIRTY = "-dirty"


@dataclass(frozen=True)
class Line:
    """What was checked, how it came out, and what speaks for it or against."""

    what: str
    outcome: Literal["ok", "differs", "cannot be checked"]
    why: str


@dataclass(frozen=True)
class Record:
    """What dvc.lock of a commit, or of the workspace, records of a stage."""

    where: str
    deps: dict[str, str]
    outs: dict[str, str]
    params: dict[str, Any]
    options: dict[str, str]

    def digest(self) -> str:
        return record_digest(self.deps.values(), self.params)


def git(root: Path, *arguments: str) -> bytes | None:
    """What a git command prints, None if it fails."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)
    return None if done.returncode else done.stdout


def record_of(root: Path, where: str, stage: str) -> Record | None:
    text = read(root, where, "dvc.lock")
    entry = (parse_yaml(text, "dvc.lock").get("stages") or {}).get(stage) if text else None
    if entry is None:
        return None
    words = shlex.split(entry["cmd"])
    deps, outs = ({one["path"]: one["md5"] for one in entry.get(kind, [])} for kind in ("deps", "outs"))
    params = {key: value for group in entry.get("params", {}).values() for key, value in group.items()}
    options = {a[2:].replace("-", "_"): b for a, b in pairwise(words) if a.startswith("--")}
    return Record(where, deps, outs, params, options)


def find_record(root: Path, md5: str, provenance: Provenance) -> tuple[Record | None, bool]:
    """The record of the stage that names the file among its outputs, and True; else the likeliest, and False.

    Looked for in the workspace, in HEAD, in the model's revision, and in every commit, tag or experiment of
    the repository whose dvc.lock has the digest.
    """
    revision = (provenance.revision or "").removesuffix(DIRTY)
    others = (git(root, "log", "--all", "--format=%H", "-S", md5, "--", "dvc.lock") or b"").decode().split()
    found = [record_of(root, where, provenance.stage) for where in (WORKSPACE, "HEAD", revision, *others) if where]
    records = [record for record in found if record]
    for record in records:
        if md5 in record.outs.values():
            return record, True
    likeliest = sorted(records, key=lambda record: record.digest() != provenance.lock_sha256)
    return (likeliest[0] if likeliest else None), False


def check_record(md5: str, provenance: Provenance, record: Record | None, fits: bool) -> Iterator[Line]:
    """The file itself, each input, and the digest over all of them."""
    if record is None:
        why = f"no dvc.lock with stage {provenance.stage} in the workspace, HEAD or the model's revision"
        for what in ("file", *(f"input {name}" for name in provenance.inputs), "lock digest"):
            yield Line(what, "cannot be checked", why)
        return
    where = f"dvc.lock of {record.where}"
    if fits:
        (path,) = (path for path, digest in record.outs.items() if digest == md5)
        yield Line("file", "ok", f"md5 {md5} is {path} in {where}")
    else:
        yield Line("file", "differs", f"md5 {md5} is no output of {provenance.stage} in any dvc.lock of the repository")
    for name, digest in provenance.inputs.items():
        path = record.options.get(name, "")
        if record.deps.get(path) == digest:
            yield Line(f"input {name}", "ok", f"md5 {digest} is {path} in {where}")
        else:
            yield Line(
                f"input {name}", "differs", f"md5 {digest}, {where} has {record.deps.get(path)} for {path or name}"
            )
    same = record.digest() == provenance.lock_sha256
    yield Line("lock digest", "ok" if same else "differs", f"{provenance.lock_sha256}, {where} gives {record.digest()}")


def check_revision(root: Path, provenance: Provenance, record: Record | None) -> Iterator[Line]:
    """The commit, and whether its code and parameters are those that dvc.lock records."""
    if provenance.revision is None:
        yield Line("revision", "cannot be checked", "the file names none; it was made outside git")
        return
    revision = provenance.revision.removesuffix(DIRTY)
    if git(root, "cat-file", "-e", f"{revision}^{{commit}}") is None:
        shallow = (git(root, "rev-parse", "--is-shallow-repository") or b"").strip() == b"true"
        why = "git fetch --unshallow brings it, if it is there" if shallow else "rebased, squashed or not pushed"
        yield Line("revision", "cannot be checked", f"{revision} is not in this repository: {why}")
        return
    ancestor = git(root, "merge-base", "--is-ancestor", revision, "HEAD") is not None
    yield Line("revision", "ok", f"{revision} is {'an' if ancestor else 'a commit here, but no'} ancestor of HEAD")
    if provenance.revision.endswith(DIRTY):
        why = "code or parameters differed from that commit, as in an experiment; the lock digest covers them"
        yield Line("code and parameters", "cannot be checked", why)
    elif record is None:
        yield Line("code and parameters", "cannot be checked", f"no dvc.lock with stage {provenance.stage}")
    else:
        others = others_than_at(root, revision, record)
        why = f"at {revision} other than in dvc.lock of {record.where}: {', '.join(others)}"
        same = f"{revision} has those of dvc.lock of {record.where}"
        yield Line("code and parameters", "differs" if others else "ok", why if others else same)


def others_than_at(root: Path, revision: str, record: Record) -> list[str]:
    """Modules and parameters of a record that are not the same in a commit."""
    modules = [path for path in record.deps if path.endswith(".py")]
    contents = {path: git(root, "show", f"{revision}:./{path}") or b"" for path in modules}
    others = [path for path in modules if hashlib.md5(contents[path]).hexdigest() != record.deps[path]]
    there = parse_yaml(read(root, revision, "params.yaml") or "{}", "params.yaml")
    for name, value in record.params.items():
        group = there
        for part in name.split("."):
            group = group.get(part) if isinstance(group, dict) else None
        if record_digest([], {name: group}) != record_digest([], {name: value}):
            others.append(name)
    return others


def check_content(root: Path, about: Head | ModelCard, record: Record | None) -> Iterator[Line]:
    """Class names against the training split's, architecture and preprocessing against the backbone's."""
    path, why = file_of(root, about.provenance, record, "train_split")
    if path is None:
        yield Line("classes", "cannot be checked", why)
    else:
        classes = load_labels(path)[1]
        same = classes == about.classes
        why = f"{', '.join(about.classes)}; {path.relative_to(root)} has " + (
            "the same" if same else ", ".join(classes)
        )
        yield Line("classes", "ok" if same else "differs", why)
    path, why = file_of(root, about.provenance, record, "backbone")
    if isinstance(about, Head):
        path, why = None, "a head has none: it takes the backbone's features"
    if path is None or isinstance(about, Head):
        yield Line("preprocessing", "cannot be checked", why)
        return
    backbone = load_backbone(path)
    there = (backbone.architecture, backbone.preprocessing)
    same = there == (about.architecture, about.preprocessing)
    said = f"{about.architecture}, {about.preprocessing}; {path.relative_to(root)} has "
    yield Line("preprocessing", "ok" if same else "differs", said + ("the same" if same else f"{there[0]}, {there[1]}"))


def file_of(root: Path, provenance: Provenance, record: Record | None, name: str) -> tuple[Path | None, str]:
    """The file that was input `name`, if it is here, or why it is not."""
    if record is None or name not in record.options:
        return None, f"no dvc.lock with stage {provenance.stage} says where its {name} lies"
    path = root / record.options[name]
    if not path.is_file():
        return None, f"{record.options[name]} is not here; dvc pull brings it"
    if md5_of(path) != provenance.inputs.get(name):
        return None, f"{record.options[name]} is here, but not the one that the model was made of"
    return path, ""


def check(root: Path, model: Path) -> tuple[Head | ModelCard, list[Line]]:
    """What a model file says, and a line for each thing. Raises WeightsError if it holds no model with provenance."""
    is_head = "shape" in load_tensors(model)[1]
    about = load_head(model) if is_head else load_card(model)
    md5, provenance = md5_of(model), about.provenance
    record, fits = find_record(root, md5, provenance)
    lines = [
        *check_record(md5, provenance, record, fits),
        *check_revision(root, provenance, record),
        *check_content(root, about, record),
    ]
    return about, lines


def main(root: Path, model: Path) -> int:
    about, lines = check(root, model)
    kind = "a head" if isinstance(about, Head) else f"a {about.architecture} for images of {about.size_px} pixels"
    print(f"{model}: {kind} of {len(about.classes)} classes, written by stage {about.provenance.stage}")
    for line in lines:
        print(f"{line.outcome:<17}  {line.what}: {line.why}")
    return 1 if any(line.outcome == "differs" for line in lines) else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m commands.provenance", description=__doc__)
    parser.add_argument("model", type=Path, help="a file such as models/model.safetensors")
    arguments = parser.parse_args()
    exit_with(lambda: main(Path(), arguments.model))
