"""Write one report of the whole run, as a page for people and as Markdown for a pull request."""

import platform
import subprocess
from argparse import Namespace
from importlib.metadata import version
from os.path import relpath
from pathlib import Path
from typing import Any

from transfer.devices.device import best_device, hardware
from transfer.report.findings import gate
from transfer.report.page import fill_in, inlined
from transfer.report.read_evidence import read_evidence
from transfer.report.sections import sections
from transfer.runtime.command import run
from transfer.runtime.errors import DataError
from transfer.runtime.files import sha256_of, whole
from transfer.runtime.parameters import Group


class Parameters(Group):
    """Every group of params.yaml, since all are shown; each is checked by the stages that act on it."""

    seed: int
    groups: dict[str, Any]
    download: dict[str, Any]
    backbone: dict[str, Any]
    subsample: dict[str, Any]
    explore: dict[str, Any]
    resize: dict[str, Any]
    embed: dict[str, Any]
    label_errors: dict[str, Any]
    train: dict[str, Any]
    evaluate: dict[str, Any]
    leakage: dict[str, Any]
    grad_cam: dict[str, Any]
    audit: dict[str, Any]


def commit() -> str:
    """The commit that is checked out, as git names it."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or no repository
        return "unknown"
    return done.stdout.strip()


def main(parameters: Parameters, files: Namespace) -> None:
    evidence = read_evidence(files.evidence, parameters.model_dump())
    provenance = {
        "model file (SHA-256)": sha256_of(files.model),
        "commit checked out for the report": commit(),
        "hardware of the report": hardware(best_device()),
        "software": f"Python {platform.python_version()}, torch {version('torch')}",
    }
    try:
        verdict = gate(evidence)
        content = {"verdict": verdict, "sections": sections(evidence, verdict, provenance)}
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(f"--evidence lacks or garbles a figure ({error!r}); run the stages before report") from error
    pictures = [path for path in files.evidence if path.suffix == ".png"]
    links = {path.stem: Path(relpath(path, files.markdown.parent)).as_posix() for path in pictures}
    markdown = fill_in(files.markdown_template, {**content, "pictures": links})
    page = fill_in(files.page_template, {**content, "pictures": {path.stem: inlined(path) for path in pictures}})
    for path, text in ((files.markdown, markdown), (files.page, page)):
        with whole(path) as partial:
            partial.write_text(text, encoding="utf-8")
    print(verdict.sentence)


if __name__ == "__main__":
    run(
        main,
        Parameters,
        inputs=["model", "page_template", "markdown_template"],
        several=["evidence"],
        outputs=["markdown", "page"],
    )
