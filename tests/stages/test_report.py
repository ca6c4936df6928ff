"""report: one page that needs nothing else, a Markdown with the same verdict, and no error where figures are absent."""

import base64
import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt

from stages import report
from tests.stages.conftest import CLASSES, FILES, Arena
from tests.transfer.report.healthy_run import METRICS, TABLES
from transfer.report.evidence import read_evidence
from transfer.runtime.errors import DataError
from transfer.runtime.files import ROOT, sha256_of, write_json, write_tsv

VOID = {"meta", "link", "img"}
LARGEST_PAGE_BYTES = 5_000_000


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


def page_of(arena: Arena, folder: str = "report") -> Page:
    return Page(arena.file(f"{folder}/report.html"))


def markdown_of(arena: Arena, folder: str = "report") -> str:
    return arena.file(f"{folder}/report.md").read_text(encoding="utf-8")


def links_of(arena: Arena) -> list[str]:
    """The pictures that the Markdown links to, in their order."""
    return re.findall(r"!\[[^]]+\]\(([^)]+)\)", markdown_of(arena))


def write_report(arena: Arena, name: str, metrics: dict, tables: dict) -> None:
    """A report and the texts of a package of made figures; a stage that is left out of `metrics` was not run."""
    folder = arena.file(f"{name}/metrics")
    for stage, content in metrics.items():
        write_json(folder / f"{stage}.json", content)
    for path, rows in tables.items():
        write_tsv(folder / f"{path}.tsv", rows, None if rows else ["nothing"])
    evidence = read_evidence(folder, arena.parameters)
    paths = {"model": arena.file("models/model.safetensors"), "params": ROOT / "params.yaml"}
    files = report.Namespace(metrics=folder, report=arena.file(name) / "r", **paths)
    report.write_folder(files.report, report.report_texts(files, evidence, report.gate(evidence)))
    report.write_folder(arena.file(name) / "package", report.package_texts(files, evidence))


def test_the_page_is_sound_and_needs_nothing_else(arena: Arena) -> None:
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
    shown = {path.relative_to(arena.file("metrics")) for path in arena.file("metrics").rglob("*.png")}
    shown = {path for path in shown if path.parts[0] != "label_errors"}  # of training images; the data card counts them
    links = links_of(arena)
    assert {Path(link).relative_to("../metrics") for link in links} == shown
    pictures = page_of(arena).all("img")
    assert len(pictures) == len(links) == len(shown)
    for picture, name in zip(pictures, links, strict=True):
        content = base64.b64decode(picture["src"].removeprefix("data:image/webp;base64,"), validate=True)
        inside = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        original = cv2.imread(str(arena.file("report") / name))
        assert inside is not None
        assert original is not None
        assert cv2.PSNR(inside, original) > 25
        assert picture["alt"]
    charts = [attributes for attributes in page_of(arena).all("div") if attributes.get("role") == "img"]
    assert len(charts) == len(page_of(arena).all("svg")) == 6  # the learning curves also as a thumbnail
    assert all(chart["aria-label"] for chart in charts)


def test_page_and_markdown_have_the_evaluations_figures_and_one_verdict(arena: Arena) -> None:
    scores = json.loads(arena.file("metrics/evaluate.json").read_text())
    markdown = MarkdownIt("gfm-like", {"linkify": False}).render(markdown_of(arena))
    page = page_of(arena).text.replace("\N{NO-BREAK SPACE}", " ")
    for text in (markdown, page):
        assert f"macro F1 {scores['macro_f1']:.4f}, at least 0.65 required." in text
        assert ("Minimum viable accuracy met" in text) is scores["mva_met"]
        assert f"Accuracy {100 * scores['accuracy']:.1f} %" in text
        assert "30 test images" in text
        assert all(name in text for name in CLASSES)
        assert [question for question in ("Is it good?", "Can I trust it?", "What next?") if question not in text] == []


def test_the_report_says_what_it_is_of(arena: Arena) -> None:
    text = page_of(arena).text
    for digest in (
        sha256_of(arena.file("models/model.safetensors")),
        json.loads(arena.file("metrics/backbone.json").read_text())["sha256"],
        json.loads(arena.file("metrics/subsample.json").read_text())["test"]["positions_sha256"],
        arena.parameters["download"]["sha256"],
    ):
        assert digest in text
    assert "train.fine_tune.head_lr_multiple" in text


def test_every_group_of_parameters_is_shown() -> None:
    groups = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert set(report.Parameters.model_fields) == set(groups)


def test_the_same_inputs_give_the_same_bytes(arena: Arena) -> None:
    before = arena.digests()
    arena.run(report, **FILES[report])
    assert arena.digests() == before


def test_a_missed_gate_opens_both_with_its_diagnosis(arena: Arena) -> None:
    missed = {**METRICS, "evaluate": {**METRICS["evaluate"], "mva_met": False, "macro_f1": 0.6}}
    write_report(arena, "missed", missed, TABLES)
    text = markdown_of(arena, "missed/r")
    assert "❌ Minimum viable accuracy missed: macro F1 0.6000" in text
    assert text.index("Classes responsible: cat") < text.index("Is it good?")
    read = page_of(arena, "missed/r")
    assert {"class": "bad"} in read.all("body")
    assert read.text.index("Classes responsible") < read.text.index("Is it good?")


def test_every_stages_figures_make_a_sound_page(arena: Arena) -> None:
    write_report(arena, "full", METRICS, TABLES)
    read, text = page_of(arena, "full/r"), markdown_of(arena, "full/r")
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert len(read.all("svg")) == 6  # the learning curves also as a thumbnail
    assert re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == [
        *("Learning curves", "Classes and confusion", "Findings", "Calibration", "Robustness"),
        *("What the network looks at", "Clever Hans audit", "The data", "Appendix"),
    ]
    assert "10 nearest neighbours gives a validation accuracy of 70.0 %, a linear probe 79.0 %" in text
    assert "| rigid | 1.0 % (0.5 to 2.0) | 4.0 % (2.0 to 6.0) |" in text
    assert "changes validation accuracy by +7.0 points, the best of phase 2 by +11.0 points" in text
    assert "# ResNet-18 on CIFAR-10 (2009)" in text
    assert "40 × 40 pixels" in text  # of the arena's parameters


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (3, "`python -m benchmarks.held_out --classes NAME …` trains without"),
        (2, "With two classes none can be left out"),
    ],
)
def test_classes_that_it_never_saw_are_said_to_be_not_measured(arena: Arena, count: int, words: str) -> None:
    figures = METRICS["evaluate"]["per_class"]["cat"]
    evaluate = {**METRICS["evaluate"], "per_class": dict.fromkeys(["cat", "dog", "ox"][:count], figures)}
    unknown = json.loads(arena.file("metrics/unknown.json").read_text())
    write_report(arena, f"kin{count}", {**METRICS, "evaluate": evaluate, "unknown": unknown}, TABLES)
    assert words in markdown_of(arena, f"kin{count}/r")


@pytest.mark.parametrize("name", ["<b>", "a|b", "fire truck", "$5 #new", "*_x_*", "[a](b)", "鳥", 'say "hi"', "a & b"])
def test_a_class_name_is_text_whatever_it_holds(arena: Arena, name: str) -> None:
    per_class = {name: METRICS["evaluate"]["per_class"]["cat"], "dog": METRICS["evaluate"]["per_class"]["dog"]}
    metrics = {"evaluate": {**METRICS["evaluate"], "per_class": per_class}}
    predicted = [{"actual": name, "predicted": "dog"}, {"actual": "dog", "predicted": "dog"}] * 3
    write_report(arena, f"named{len(name)}{hash(name)}", metrics, {"evaluate/confusion": predicted})
    folder = f"named{len(name)}{hash(name)}/r"
    read = page_of(arena, folder)
    assert not read.all("b")
    assert not read.all("em")
    assert read.text.count(name) >= 3  # the hardest class, its row, the confusion matrix
    rendered = MarkdownIt("gfm-like", {"linkify": False}).render(markdown_of(arena, folder))
    escaped = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    assert f"<td>{escaped}</td>" in rendered


@pytest.mark.parametrize("left_out", [name for name in METRICS if name != "evaluate"])
def test_a_stage_that_did_not_run_is_left_out(arena: Arena, left_out: str) -> None:
    metrics = {name: content for name, content in METRICS.items() if name != left_out}
    tables = {path: rows for path, rows in TABLES.items() if path.split("/")[0] != left_out}
    write_report(arena, f"without-{left_out}", metrics, tables)
    text = markdown_of(arena, f"without-{left_out}/r")
    assert ("## Robustness" in text) is (left_out != "robustness")
    assert ("No audit was run" in text) is (left_out == "audit")
    assert "## Learning curves" in text  # one phase is enough
    page_of(arena, f"without-{left_out}/r")
    card = arena.file(f"without-{left_out}/package/README.md").read_text()
    assert ("**Robustness.**" in card) is (left_out != "robustness")
    assert ("not run" in card) is (left_out == "audit")


def test_the_evaluation_alone_makes_a_report(arena: Arena) -> None:
    write_report(arena, "alone", {"evaluate": METRICS["evaluate"]}, {})
    assert "No audit was run" in markdown_of(arena, "alone/r")
    assert not page_of(arena, "alone/r").all("img")
    assert "Accuracy 91.2 %" in arena.file("alone/package/README.md").read_text()
    assert "is not recorded" in arena.file("alone/package/data_card.md").read_text()


def test_many_classes_have_no_matrix_but_their_most_frequent_errors(arena: Arena) -> None:
    names = [f"class {number}" for number in range(25)]
    predicted = [{"actual": name, "predicted": names[0]} for name in names]
    scores = {name: {"precision": 0.0, "recall": 0.0, "f1": 0.0} for name in names}
    write_report(
        arena, "many", {"evaluate": {**METRICS["evaluate"], "per_class": scores}}, {"evaluate/confusion": predicted}
    )
    assert not page_of(arena, "many/r").all("svg")
    frequent = markdown_of(arena, "many/r").split("Most frequent errors")[1].split("\n\n")[1]
    assert len(frequent.splitlines()) == 2 + 10


def test_tables_are_read_as_they_were_written(tmp_path: Path) -> None:
    rows = [{"class": 'a "quoted', "f1": 0.5}, {"class": "line\u2028end", "f1": 0.25}]
    write_tsv(tmp_path / "evaluate/per_class.tsv", rows)
    write_json(tmp_path / "evaluate.json", {})
    evidence = read_evidence(tmp_path, {})
    assert evidence.rows("evaluate/per_class") == [{key: str(value) for key, value in row.items()} for row in rows]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("evaluate.json", b"{", r"evaluate\.json: not readable .*; run the stage that writes it again"),
        ("evaluate.json", b"\xff\xfe", r"evaluate\.json: not readable"),
        ("evaluate.json", b"{}", r"a figure is missing or garbled \(KeyError\('macro_f1'\)\)"),
        ("evaluate.json", b"[]", r"evaluate\.json: not readable \(no figures by name\)"),
        ("evaluate.json", b'{"loss": NaN}', r"evaluate\.json: not readable \(NaN is no figure\)"),
        ("evaluate.json", b'{"a":' * 100_000, r"evaluate\.json: not readable"),
        ("fine_tune.json", b"{}", "no evaluate.json in it"),
        ("evaluate/pairs.tsv", b"first\tsecond\ncat", r"pairs\.tsv: not readable \(line 2 has more or fewer cells"),
        ("evaluate/pairs.tsv", b"first\ncat\tdog", r"pairs\.tsv: not readable"),
        ("evaluate/pairs.tsv", b"first\n" + 200_000 * b"x", r"pairs\.tsv: not readable \(field larger"),
    ],
)
def test_wrong_metrics_are_one_line_and_nothing_is_written(
    arena: Arena, tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    shutil.copytree(tmp_path, arena.file("wrong_metrics"), dirs_exist_ok=True)
    with pytest.raises(DataError, match=told) as caught:
        arena.run(report, **{**FILES[report], "metrics": "wrong_metrics", "report": "none", "package": "none"})
    assert "\n" not in str(caught.value)
    assert not arena.file("none").exists()
    shutil.rmtree(arena.file("wrong_metrics"))


@pytest.mark.parametrize("name", ["audit", "robustness", "leakage"])
def test_a_stage_that_lacks_a_figure_is_one_line_and_nothing_is_written(arena: Arena, name: str) -> None:
    shutil.copytree(arena.file("metrics"), arena.file("lacking"))
    arena.file(f"lacking/{name}.json").write_text('{"images": 3}')
    with pytest.raises(DataError, match="a figure is missing or garbled") as caught:
        arena.run(report, **{**FILES[report], "metrics": "lacking", "report": "none", "package": "nothing"})
    assert "\n" not in str(caught.value)
    assert not arena.file("none").exists()
    assert not arena.file("nothing").exists()
    shutil.rmtree(arena.file("lacking"))
