"""The package: its cards' figures are the metrics' own, facts only where these bear them out, and their code works."""

import ast
import json
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from markdown_it import MarkdownIt

from stages import report
from tests.stages.conftest import CLASSES, FILES, Arena
from transfer.data.splits import load_split
from transfer.evaluation.calibration import scale
from transfer.report.evidence import words
from transfer.runtime.files import ROOT, md5_of, sha256_of

MODEL_CARD, DATA_CARD = "README.md", "data_card.md"


def text_of(arena: Arena, name: str, package: str = "models/classifier") -> str:
    return arena.file(f"{package}/{name}").read_text(encoding="utf-8")


def metrics(arena: Arena, name: str) -> dict[str, Any]:
    return json.loads(arena.file(f"metrics/{name}.json").read_text(encoding="utf-8"))


def rows(markdown: str) -> list[list[str]]:
    """The cells of all tables, read as GitHub reads them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    cells: list[list[str]] = []
    for token, following in pairwise(tokens):
        if token.type == "tr_open":
            cells.append([])
        elif token.type == "td_open":
            cells[-1].append(following.content)
    return [row for row in cells if row]


def test_the_model_and_both_cards_lie_together(arena: Arena) -> None:
    assert sorted(path.name for path in arena.file("models/classifier").iterdir()) == [
        MODEL_CARD,
        DATA_CARD,
        *("model.onnx", "model.pt2", "model.safetensors", "model_int8.onnx", "package.json", "predict.py"),
        *("provenance.json", "reference.npz"),
    ]
    assert (
        arena.file("models/classifier/model.safetensors").read_bytes()
        == arena.file("models/model.safetensors").read_bytes()
    )
    before = arena.digests()
    arena.run(report, **FILES[report])
    assert arena.digests() == before


def test_figures_of_the_model_card_are_those_of_the_metrics(arena: Arena) -> None:
    card, scores = text_of(arena, MODEL_CARD), metrics(arena, "evaluate")
    table = {row[0]: row[1:] for row in rows(card)}

    def written(figures: dict[str, float], name: str) -> str:
        if name == "accuracy":
            value, low, high = (100 * figures[f"accuracy{end}"] for end in ("", "_ci_low", "_ci_high"))
            return f"{value:.1f} % ({low:.1f} to {high:.1f})"
        if f"{name}_ci_low" not in figures:  # the precision of a class that was never answered
            return f"{figures[name]:.3f}"
        return f"{figures[name]:.3f} ({figures[f'{name}_ci_low']:.3f} to {figures[f'{name}_ci_high']:.3f})"

    assert table["accuracy"] == [written(scores, "accuracy")]
    assert table["macro F1"] == [written(scores, "macro_f1")]
    for name, figures in scores["per_class"].items():
        assert table[name] == [written(figures, kind) for kind in ("precision", "recall", "f1")]
    for corruption in ("noise", "jpeg", "rotation"):
        figures = metrics(arena, "robustness")[corruption]
        assert table[words(corruption)] == [
            f"{100 * figures[strength]:.1f} %" for strength in ("mild", "medium", "strong")
        ]
    assert f"error is {scores['calibration']['ece']:.3f};" in card
    assert metrics(arena, "backbone")["sha256"] in card
    assert sha256_of(arena.file("models/classifier/model.safetensors")) in card
    assert metrics(arena, "audit")["model"]["why"] in card


def test_its_front_matter_is_what_model_hubs_read(arena: Arena) -> None:
    _, front, _ = text_of(arena, MODEL_CARD).split("---\n", 2)
    about = yaml.safe_load(front)
    assert about["pipeline_tag"] == "image-classification"
    assert about["license"] == "other"
    assert "datasets" not in about  # digits are not CIFAR-10


def test_its_code_gives_the_answers_of_the_evaluation(arena: Arena, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", text_of(arena, MODEL_CARD), re.DOTALL)
    split = load_split(arena.file("data/splits/test.npz"))
    cv2.imwrite(str(tmp_path / "picture.png"), cv2.cvtColor(split.images[0], cv2.COLOR_RGB2BGR))
    for path in arena.file("models/classifier").iterdir():
        (tmp_path / path.name).symlink_to(path)
    command, variables = [sys.executable, "-c", code], {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert_its_script_gives_the_same(tmp_path, done.stdout)
    said = ast.literal_eval(done.stdout)
    assert tuple(said) == CLASSES
    with np.load(arena.file("data/predictions.npz")) as answers:
        expected = scale(answers["probabilities"][:1], float(answers["temperature"]))[0]
    np.testing.assert_allclose(list(said.values()), expected, atol=1e-5)


def assert_its_script_gives_the_same(folder: Path, printed: str) -> None:
    said = ast.literal_eval(printed)
    words = [sys.executable, "predict.py", "picture.png"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    answer = max(said, key=said.__getitem__)
    assert done.stdout.startswith(f"picture.png\t{answer}\t{said[answer]}")


def test_counts_of_the_data_card_are_those_of_the_metrics(arena: Arena) -> None:
    card, counts = text_of(arena, DATA_CARD), metrics(arena, "subsample")
    table = {row[0]: row[1:] for row in rows(card)}
    for name in CLASSES:
        assert table[name] == [str(counts[split]["per_class"][name]) for split in ("train", "val", "test")]
    assert table["all"] == [str(counts[split]["images"]) for split in ("train", "val", "test")]
    copies = metrics(arena, "leakage")["copies"]["train-test"]
    assert table["test images of training"] == [str(copies[kind]) for kind in ("exact", "near", "other_class")]
    suspects = arena.file("metrics/label_errors/suspects.tsv").read_text().count("\n") - 1
    assert f"{suspects} of 45 training images" in card
    assert [split["positions_sha256"] in card for split in counts.values()] == [True, True, True]


def run_on(arena: Arena, name: str, **changes: Any) -> str:
    """Run the stage on a metrics file with changes; the folder of what it wrote."""
    shutil.copytree(arena.file("metrics"), arena.file("other/metrics"), dirs_exist_ok=True)
    arena.file(f"other/metrics/{name}.json").write_text(json.dumps({**metrics(arena, name), **changes}))
    arena.run(report, **{**FILES[report], "metrics": "other/metrics", "report": "other/r", "package": "other/package"})
    return "other/package"


def test_cifar_10_is_named_only_where_the_pixels_are_its_own(arena: Arena) -> None:
    assert "120 images of 3 classes, read from a CIFAR binary archive." in text_of(arena, DATA_CARD)
    assert "Krizhevsky" not in text_of(arena, DATA_CARD)
    package = run_on(arena, "download", official_pixels=True)
    card = text_of(arena, DATA_CARD, package)
    assert "Krizhevsky" in card
    assert "withdrew in 2020" in card
    assert "read from" not in card
    assert "which states no licence" in text_of(arena, MODEL_CARD, package)


def test_torchvision_s_terms_are_told_only_of_its_own_weights(arena: Arena) -> None:
    assert "**not** those that torchvision publishes" in text_of(arena, MODEL_CARD)
    assert "ImageNet, whose terms" not in text_of(arena, MODEL_CARD)
    card = text_of(arena, MODEL_CARD, run_on(arena, "backbone", published=True))
    assert "They are those that torchvision publishes." in card
    assert "ImageNet, whose terms" in card


def test_a_network_that_began_with_random_weights_is_called_no_pretrained_one(arena: Arena) -> None:
    card = text_of(arena, MODEL_CARD, run_on(arena, "backbone", weights="random", published=None, sha256=None))
    assert "began with random weights" in card
    assert "No weights of others are in it." in card
    assert "retrained" not in card


def test_a_passed_audit_is_no_limit(arena: Arena) -> None:
    card = text_of(arena, MODEL_CARD, run_on(arena, "audit", model={"word": "confirmed", "why": "all | of it"}))
    assert "all \\| of it" in card  # escaped
    assert "audit does not confirm" not in card
    assert "audit does not confirm" in text_of(arena, MODEL_CARD)


def test_provenance_names_the_model_the_parameters_and_the_metrics(arena: Arena) -> None:
    found = json.loads(arena.file("models/classifier/provenance.json").read_text())
    model = arena.file("models/model.safetensors")
    assert (found["model_md5"], found["model_sha256"]) == (md5_of(model), sha256_of(model))
    assert found["parameters"] == json.loads(json.dumps(arena.parameters))
    expected = {path.name: sha256_of(path) for path in arena.file("metrics").glob("*.json")}
    assert found["metrics"] == expected
    assert re.fullmatch(r"[0-9a-f]{40}-dirty", found["revision"] or "") or found["revision_reason"]
    for name in (MODEL_CARD, DATA_CARD):  # so that these are the same at every commit
        assert (found["revision"] or "none").removesuffix("-dirty") not in text_of(arena, name)
