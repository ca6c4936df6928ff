"""Fail if dvc.lock is not what the committed code and parameters give: `python -m commands.fresh`.

It reads what git keeps and nothing else, so that no data need be here. `dvc status` calls missing data a change;
`dvc repro --dry --allow-missing` does not name the cause, passes a missing script, and stops without a reason at a
metrics file edited by hand.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from dvc.dependency import ParamsDependency
from dvc.output import Output
from dvc.repo import Repo
from dvc.stage import PipelineStage
from dvc.utils.flatten import flatten

from commands.cached_outputs import LOCK, parse_lock
from commands.entry_point import exit_with
from transfer.runtime.errors import DataError


def recorded_stages(lock: Path) -> set[str]:
    """Names of the stages that dvc.lock records. Raises DataError if it is missing, in conflict or damaged."""
    try:
        text = lock.read_text(encoding="utf-8")
    except OSError:
        raise DataError(f"{LOCK}: no such file, nothing was trained yet; run `dvc repro` and commit it") from None
    return set(parse_lock(text))


def _parameters(dependency: ParamsDependency) -> Iterator[str]:
    old, new = flatten(dependency.hash_info.value or {}), flatten(dependency.read_params())
    for name in [*new, *(name for name in old if name not in new)]:
        before, after = old.get(name, "(none)"), new.get(name, "(none)")
        if before != after:
            yield f"{dependency}: {name} is {after}, was {before}"


def causes(stage: PipelineStage, cached: dict[str, Output]) -> Iterator[str]:
    """What of a recorded stage is not as recorded. Data is taken as its stage recorded it, whatever lies here."""
    if stage.changed_stage():
        yield "its command changed"
    for dependency in stage.deps:
        if isinstance(dependency, ParamsDependency):
            yield from _parameters(dependency)
        elif source := cached.get(dependency.fs_path):
            if dependency.hash_info != source.hash_info:
                yield f"{dependency} is not what stage {source.stage.name} gave"
        else:
            yield from (f"{path} is {state}" for path, state in dependency.workspace_status().items())
    for out in stage.outs:
        if not out.hash_info:
            yield f"{out} was not written yet"
        elif not out.use_cache:
            yield from (f"{path}, which it wrote, is {state}" for path, state in out.workspace_status().items())


def stale(root: Path) -> tuple[int, list[str]]:
    """How many stages there are, and a line for each that `dvc repro` would run first, in the pipeline's order."""
    recorded = recorded_stages(root / LOCK)
    lines: list[str] = []
    with Repo(str(root)) as repo:
        stages = [stage for stage in repo.index.stages if isinstance(stage, PipelineStage)]
        cached = {out.fs_path: out for stage in stages for out in stage.outs if out.use_cache}
        for stage in stages:
            found = causes(stage, cached) if stage.name in recorded else ["it has not run yet"]
            lines += [f"{stage.name}: {cause}" for cause in found]
    return len(stages), lines


def main(root: Path) -> int:
    stages, lines = stale(root)
    for line in lines:
        print(f"stale: {line}", file=sys.stderr)
    if lines:
        way_out = f"run `dvc repro`, here or by a comment /train, and commit {LOCK}, metrics and report"
        print(f"error: {LOCK} is stale; {way_out}", file=sys.stderr)
        return 1
    print(f"{LOCK} is fresh: what {stages} stages read is what they last ran with")
    return 0


if __name__ == "__main__":
    exit_with(lambda: main(Path()))
