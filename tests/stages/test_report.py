"""report: one page that needs nothing else, a Markdown with the same verdict, and no error where figures are absent."""

import base64
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt

from stages import report
from tests.stages.conftest import CLASSES, EVIDENCE, FILES, ROOT, Arena
from tests.transfer.training.healthy_run import METRICS, TABLES
from transfer.report.read_evidence import read_evidence
from transfer.runtime.errors import DataError
from transfer.runtime.files import sha256_of, write_json, write_tsv

VOID = {"meta", "link", "img"}
LARGEST_PAGE_BYTES = 5_000_000
PICTURES = {name for name in EVIDENCE if name.endswith(".png")}
INPUTS = {name: value for name, value in FILES[report].items() if name not in ("markdown", "page")}


def links_of(arena: Arena) -> list[str]:
    """The pictures that the Markdown links to, in their order."""
    return re.findall(r"!\[[^]]+\]\(([^)]+)\)", arena.file("report/report.md").read_text(encoding="utf-8"))


class Page(HTMLParser):
    """Reads a page as a browser does and notes its tags, ids, links and text; a tag left open is an error."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for found, attributes in self.tags if found == tag]


def page_of(arena: Arena, name: str = "report/report.html") -> Page:
    return Page(arena.file(name))


def write_report(arena: Arena, name: str, **changes: list[str]) -> tuple[Path, Path]:
    outputs = {"markdown": f"{name}/report.md", "page": f"{name}/report.html"}
    arena.run(report, **{**INPUTS, **outputs, **changes})
    return arena.file(outputs["markdown"]), arena.file(outputs["page"])


def write_evidence(folder: Path, metrics: dict, tables: dict) -> list[str]:
    folder.mkdir()
    for name, content in metrics.items():
        write_json(folder / f"{name}.json", content)
    for name, rows in tables.items():
        write_tsv(folder / f"{name}.tsv", rows)
    return [str(path) for path in sorted(folder.iterdir())]


def test_the_page_is_sound_and_needs_nothing_from_elsewhere(arena: Arena) -> None:
    path, page = arena.file("report/report.html"), page_of(arena)
    assert path.stat().st_size < LARGEST_PAGE_BYTES
    assert not page.all("script")
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    links = [attributes.get(name, "") for _, attributes in page.tags for name in ("src", "href", "srcset", "data")]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert all(not link or link.startswith("data:") or link.removeprefix("#") in ids for link in links)
    assert [name for name, count in Counter(ids).items() if count > 1] == []
    style = re.findall(r"<style>.*?</style>", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(style) == 1
    assert "@import" not in style[0]
    assert "url(" not in style[0]
    assert "prefers-color-scheme: dark" in style[0]


def test_every_picture_is_inside_and_has_a_text_in_its_place(arena: Arena) -> None:
    pictures = page_of(arena).all("img")
    assert len(pictures) == len(PICTURES)
    for picture, name in zip(pictures, links_of(arena), strict=True):
        content = base64.b64decode(picture["src"].removeprefix("data:image/webp;base64,"), validate=True)
        shown = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        original = cv2.imread(str(arena.file("report") / name))
        assert shown is not None
        assert original is not None
        assert cv2.PSNR(shown, original) > 25
        assert picture["alt"]
    charts = [attributes for attributes in page_of(arena).all("div") if attributes.get("role") == "img"]
    assert len(charts) == len(page_of(arena).all("svg")) == 5
    assert all(chart["aria-label"] for chart in charts)


def test_page_and_markdown_have_the_evaluations_figures_and_one_verdict(arena: Arena) -> None:
    scores = json.loads(arena.file("evaluate.json").read_text())
    sentence = f"macro F1 {scores['macro_f1']:.4f}, at least 0.65 wanted."
    accuracy = f"Accuracy {100 * scores['accuracy']:.1f} %"
    markdown = MarkdownIt("gfm-like", {"linkify": False}).render(arena.file("report/report.md").read_text())
    page = page_of(arena).text.replace("\N{NO-BREAK SPACE}", " ")
    for text in (markdown, page):
        assert sentence in text
        assert ("Minimum viable accuracy met" in text) is scores["mva_met"]
        assert accuracy in text
        assert "30 test images" in text
        for name in CLASSES:
            assert name in text


def test_the_report_says_what_it_is_of(arena: Arena) -> None:
    text = page_of(arena).text
    for digest in (
        sha256_of(arena.file("model.safetensors")),
        json.loads(arena.file("backbone.json").read_text())["sha256"],
        json.loads(arena.file("subsample.json").read_text())["test"]["positions_sha256"],
        arena.parameters["download"]["sha256"],
    ):
        assert digest in text
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (head.stdout.strip() or "unknown") in text
    assert "train.fine_tune.head_lr_multiple" in text


def test_outside_a_repository_the_commit_is_unknown(arena: Arena, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert report.commit() == "unknown"
    monkeypatch.setenv("PATH", str(tmp_path))  # not even git
    assert report.commit() == "unknown"


def test_every_group_of_parameters_is_shown() -> None:
    groups = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert list(report.Parameters.model_fields) == list(groups)


def test_markdown_links_to_pictures_that_are_there(arena: Arena) -> None:
    links = links_of(arena)
    assert {os.path.basename(link) for link in links} == PICTURES  # noqa: PTH119
    assert len(links) == len(PICTURES)
    assert all(not Path(link).is_absolute() and (arena.file("report") / link).is_file() for link in links)


def test_the_same_inputs_give_the_same_bytes(arena: Arena) -> None:
    markdown, page = write_report(arena, "again")
    assert markdown.read_bytes() == arena.file("report/report.md").read_bytes()
    assert page.read_bytes() == arena.file("report/report.html").read_bytes()


def test_a_missed_gate_opens_both_with_its_diagnosis(arena: Arena, tmp_path: Path) -> None:
    missed = {**METRICS, "evaluate": {**METRICS["evaluate"], "mva_met": False, "macro_f1": 0.6}}
    markdown, page = write_report(arena, "missed", evidence=write_evidence(tmp_path / "e", missed, TABLES))
    headings = re.findall(r"^## (.+)$", markdown.read_text(), flags=re.MULTILINE)
    assert headings[:2] == ["Why the gate was missed", "Result"]
    assert "❌ Minimum viable accuracy missed: macro F1 0.6000" in markdown.read_text()
    read = Page(page)
    assert "Minimum viable accuracy missed" in read.text
    assert read.text.index("Why the gate was missed") < read.text.index("Accuracy 91.2")
    assert read.text.index("Classes responsible") < read.text.index("Accuracy 91.2")
    assert {"class": "verdict bad"} in read.all("p")


def test_every_stages_figures_make_a_sound_page(arena: Arena, tmp_path: Path) -> None:
    _, page = write_report(arena, "full", evidence=write_evidence(tmp_path / "e", METRICS, TABLES))
    read = Page(page)
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert len(read.all("svg")) == 5
    assert "Clever Hans audit" in read.text
    badges = [attributes["class"] for attributes in read.all("span")]
    assert set(badges) == {"badge confirmed", "badge undecided", "badge passed"}


def test_a_class_named_like_a_tag_is_text(arena: Arena, tmp_path: Path) -> None:
    name = "<b>"
    per_class = {name: METRICS["evaluate"]["per_class"]["cat"], "a|b": METRICS["evaluate"]["per_class"]["dog"]}
    metrics = {"evaluate": {**METRICS["evaluate"], "per_class": per_class}}
    answers = [{"actual": name, "predicted": "a|b"}, {"actual": "a|b", "predicted": "a|b"}] * 3
    evidence = write_evidence(tmp_path / "e", metrics, {"confusion": answers})
    markdown, page = write_report(arena, "named", evidence=evidence)
    read = Page(page)
    assert not read.all("b")
    assert name in read.text
    rendered = MarkdownIt("gfm-like", {"linkify": False}).render(markdown.read_text())
    assert "<b>" not in rendered
    assert "<td>&lt;b&gt;</td>" in rendered
    assert "<td>a|b</td>" in rendered


def test_the_evaluation_alone_makes_a_report(arena: Arena) -> None:
    markdown, page = write_report(arena, "alone", evidence=["evaluate.json"])
    assert "No audit was run" in markdown.read_text()
    assert not Page(page).all("img")


def test_tables_are_read_as_they_were_written(arena: Arena, tmp_path: Path) -> None:
    rows = [{"class": 'a "quoted', "f1": 0.5}, {"class": "line\u2028end", "f1": 0.25}]
    write_tsv(tmp_path / "per_class.tsv", rows)
    shutil.copy(arena.file("evaluate.json"), tmp_path)
    evidence = read_evidence(sorted(tmp_path.iterdir()), {})
    assert evidence.rows("per_class") == [{key: str(value) for key, value in row.items()} for row in rows]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("evaluate.json", b"{", r"evaluate\.json: not readable .*; run the stage that writes it again"),
        ("evaluate.json", b"\xff\xfe", r"evaluate\.json: not readable"),
        ("evaluate.json", b"{}", r"--evidence lacks or garbles a figure \(KeyError\('macro_f1'\)\)"),
        ("evaluate.json", b"[]", r"--evidence lacks or garbles a figure"),
        ("fine_tune.json", b"{}", "no evaluate.json among --evidence"),
        ("notes.txt", b"", r"notes\.txt: neither \.json nor \.tsv nor \.png"),
    ],
)
def test_wrong_evidence_is_one_line_and_nothing_is_written(
    arena: Arena, tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=told):
        write_report(arena, "wrong", evidence=[str(tmp_path / name)])
    assert not arena.file("wrong").exists()
