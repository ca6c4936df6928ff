"""What the pipeline's own package says of its origin is what dvc.lock and git say."""

import json
from pathlib import Path

from commands.provenance import check
from tests.pipeline.workspace import git

PACKAGE = Path("models/classifier")


def test_all_that_the_package_says_is_so(finished: Path) -> None:
    assert {line.what: line.outcome for line in check(finished, finished / PACKAGE) if line.outcome != "ok"} == {}
    about = json.loads((finished / PACKAGE / "provenance.json").read_text(encoding="utf-8"))
    assert about["revision"] == git(finished, "rev-parse", "HEAD~1").strip()  # on which the run was made
    assert "evaluate.json" in about["metrics"]


def test_the_package_holds_the_model_and_its_cards(finished: Path) -> None:
    package = finished / PACKAGE
    texts = {"README.md", "data_card.md", "provenance.json", "package.json", "predict.py"}
    forms = {"model.safetensors", "model.onnx", "model_int8.onnx", "model.pt2", "reference.npz"}
    assert {path.name for path in package.iterdir()} == texts | forms
    assert (package / "model.safetensors").read_bytes() == (finished / "models/model.safetensors").read_bytes()
