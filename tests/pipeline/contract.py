"""What a stage declares in dvc.yaml, what it did, and where the two differ."""

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo
from dvc.stage import PipelineStage

from tests.pipeline.workspace import stages_of

# Written by nobody as a result: temporary siblings, locks, bytecode.
PASSING = (".*.partial", ".*.lock", "__pycache__")
INITIAL = "stages/__init__.py"  # no result depends on it
# DVC's and git's own, resume state, and parameters, which are compared by name.
ELSEWHERE = (".dvc", ".git", ".dvcignore", ".gitignore", "dvc.yaml", "dvc.lock", "params.yaml", "state", INITIAL)


@dataclass(frozen=True)
class Declared:
    """A stage as dvc.yaml has it, after DVC has filled in variables: paths are relative to dvc.yaml.

    Code is declared by folder, and so are a stage's pictures.
    """

    command: list[str]
    deps: frozenset[str]
    outs: frozenset[str]
    parameters: frozenset[str]


@dataclass(frozen=True)
class Traced:
    """A stage as it ran: files opened, files written or renamed to, own modules imported, parameters taken."""

    reads: frozenset[str] = field(default_factory=frozenset)
    writes: frozenset[str] = field(default_factory=frozenset)
    modules: frozenset[str] = field(default_factory=frozenset)
    parameters: frozenset[str] = field(default_factory=frozenset)


def findings(stage: str, declared: Declared, traced: Traced) -> list[str]:
    """One line for each difference, naming stage and culprit; empty if declared means true."""
    modules = traced.modules - {INITIAL}
    reads, writes = _relevant(traced.reads) - modules, _relevant(traced.writes)
    return [
        *_lines(f"{stage}: undeclared module", _outside(modules, declared.deps)),
        *_lines(f"{stage}: undeclared read of", _outside(reads, declared.deps)),
        *_lines(f"{stage}: undeclared write of", _outside(writes, declared.outs)),
        *_lines(f"{stage}: undeclared parameter", traced.parameters - declared.parameters),
        *_lines(f"{stage}: unused dependency", _untouched(declared.deps, reads | modules)),
        *_lines(f"{stage}: output never written", _untouched(declared.outs, writes)),
        *_lines(f"{stage}: unused parameter", declared.parameters - traced.parameters),
    ]


def _lines(what: str, culprits: Iterable[str]) -> list[str]:
    return [f"{what} {culprit}" for culprit in sorted(culprits)]


def _relevant(paths: Iterable[str]) -> set[str]:
    return {path for path in paths if not _is_passing(path) and not _within(path, ELSEWHERE)}


def _is_passing(path: str) -> bool:
    return any(fnmatch(part, pattern) for part in PurePosixPath(path).parts for pattern in PASSING)


def _within(path: str, places: Iterable[str]) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)


def _outside(paths: Iterable[str], places: Iterable[str]) -> set[str]:
    return {path for path in paths if not _within(path, places)}


def _untouched(places: Iterable[str], paths: Iterable[str]) -> set[str]:
    return {place for place in places if not any(_within(path, [place]) for path in paths)}


def read_declared(workspace: Path) -> dict[str, Declared]:
    """The stages of a workspace's dvc.yaml by name, as DVC resolves them."""
    with Repo(str(workspace)) as repo:
        return {name: _declared(stage) for name, stage in stages_of(repo).items()}


def _declared(stage: PipelineStage) -> Declared:
    return Declared(
        shlex.split(str(stage.cmd)),
        frozenset(dep.def_path for dep in stage.deps if not isinstance(dep, ParamsDependency)),
        frozenset(out.def_path for out in stage.outs),
        frozenset(name for dep in stage.deps if isinstance(dep, ParamsDependency) for name in _names(dep)),
    )


def _names(dependency: ParamsDependency) -> list[str]:
    """The parameters of a dependency; one that names none is on the whole file."""
    return list(dependency.params or dependency.read_params(flatten=False))


def read_traced(folder: Path, declared: Mapping[str, Declared]) -> dict[str, Traced]:
    """What the recorder left of each declared stage that ran; a stage that ran twice counts as one."""
    stages = {tuple(stage.command): name for name, stage in declared.items()}
    traced: dict[str, Traced] = {}
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        name = stages[tuple(content.pop("command"))]
        before = traced.get(name, Traced())
        merged = {key: getattr(before, key) | set(values) for key, values in content.items()}
        traced[name] = replace(before, **merged)
    return traced
