"""Write one report of the whole run, and lay the model with its cards into one folder to be fetched together."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from jinja2 import UndefinedError

from transfer.network.classifier import load_card
from transfer.report.cards import card_content
from transfer.report.content import report_content
from transfer.report.evidence import Evidence, read_evidence
from transfer.report.gate import Gate, gate
from transfer.report.page import TEMPLATES, AsMarkdown, AsPage, fill_in, page_of
from transfer.report.provenance import provenance
from transfer.runtime.command import run
from transfer.runtime.errors import DataError
from transfer.runtime.files import sha256_of, whole
from transfer.runtime.parameters import Group

CARDS = {"README.md": "model_card.md.j2", "data_card.md": "data_card.md.j2"}  # where a model hub, or a reader, looks


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
    robustness: dict[str, Any]
    leakage: dict[str, Any]
    unknown: dict[str, Any]
    export: dict[str, Any]
    explain: dict[str, Any]
    grad_cam: dict[str, Any]
    audit: dict[str, Any]


def report_texts(files: Namespace, evidence: Evidence, verdict: Gate) -> dict[str, str]:
    """What the report's files say, by their names."""
    content = report_content(evidence, verdict, sha256_of(files.model))
    paths = files.metrics.rglob("*.png")
    pictures = {path.relative_to(files.metrics).with_suffix("").as_posix(): path for path in paths}
    template = TEMPLATES / "report.md.j2"
    page = page_of(fill_in(template, content, AsPage(pictures)), content)
    return {"report.md": fill_in(template, content, AsMarkdown(pictures, files.report)), "report.html": page}


def package_texts(files: Namespace, evidence: Evidence) -> dict[str, str]:
    """What the files beside the model say, by their names."""
    origin = provenance(files.model, files.metrics, evidence.parameters, files.params)
    content = card_content(evidence, load_card(files.model), origin) | {"model_name": files.model.name}
    texts = {name: fill_in(TEMPLATES / template, content) for name, template in CARDS.items()}
    return {**texts, "provenance.json": json.dumps(origin, indent=2, allow_nan=False) + "\n"}


def write_folder(path: Path, texts: dict[str, str], *copied: Path) -> None:
    with whole(path) as folder:
        folder.mkdir()
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        for source in copied:
            (folder / source.name).write_bytes(source.read_bytes())  # an error names the copy, not the source


def main(parameters: Parameters, files: Namespace) -> None:
    evidence = read_evidence(files.metrics, parameters.model_dump())
    try:
        verdict = gate(evidence)
        report, package = report_texts(files, evidence, verdict), package_texts(files, evidence)
    except (KeyError, IndexError, TypeError, ValueError, UndefinedError) as error:
        missing = f"{files.metrics}: a figure is missing or garbled ({error!r})"
        raise DataError(f"{missing}; run `dvc repro` for the stage that writes it") from error
    write_folder(files.report, report)
    write_folder(files.package, package, files.model, *sorted(files.exported.iterdir()))
    print(verdict.sentence)


if __name__ == "__main__":
    run(main, Parameters, inputs=["model", "exported", "metrics"], outputs=["report", "package"])
