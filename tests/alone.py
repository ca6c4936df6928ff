"""An environment of its own for a program: some of the packages that are installed here, and nothing else."""

import os
import sys
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement


def with_needed(*names: str) -> set[str]:
    """The packages, and all that they need."""
    found, to_do = set(), list(names)
    while to_do:
        name = to_do.pop().lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        needed = [Requirement(text) for text in metadata.requires(name) or ()]
        to_do += [each.name for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found


class Alone(NamedTuple):
    """How to start a Python that sees these packages alone: its words and its variables."""

    python: list[str]
    variables: dict[str, str]


def alone(folder: Path, *names: str) -> Alone:
    """Link the packages and all that they need into a folder, and nothing else."""
    folder.mkdir()
    for name in with_needed(*names):
        for file in metadata.files(name) or ():
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (folder / top).exists():
                (folder / top).symlink_to(
                    Path(str(file.locate())).parents[len(file.parts) - 2] if len(file.parts) > 1 else file.locate()
                )
    # -S: without this environment's own packages
    return Alone([sys.executable, "-S"], {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"})
