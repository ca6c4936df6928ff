"""What the pipeline's own model files say of their origin is what dvc.lock and git say."""

from pathlib import Path

import pytest

from commands.provenance import check
from tests.pipeline.workspace import git, read_yaml
from transfer.network.tensors import load_tensors

MODEL, HEAD = Path("models/model.safetensors"), Path("models/head.safetensors")


@pytest.mark.parametrize(("model", "unchecked"), [(MODEL, []), (HEAD, ["preprocessing"])])
def test_all_that_a_model_says_is_so(finished: Path, model: Path, unchecked: list[str]) -> None:
    _, lines = check(finished, finished / model)
    assert [line for line in lines if line.outcome == "differs"] == []
    assert [line.what for line in lines if line.outcome == "cannot be checked"] == unchecked
    said = load_tensors(finished / model)[1]["provenance"]
    assert said["revision"] == git(finished, "rev-parse", "HEAD~1").strip()  # on which the run was made
    lock = read_yaml(finished / "dvc.lock")["stages"]
    digests = {entry["path"]: entry["md5"] for entry in lock[said["stage"]]["deps"]}
    assert {
        "backbone": digests["models/backbone.safetensors"],
        "train_split": digests["data/splits/train.npz"],
    }.items() <= (said["inputs"].items())


def test_the_package_holds_the_model_and_its_cards(finished: Path) -> None:
    package = finished / "models/classifier"
    assert sorted(path.name for path in package.iterdir()) == ["README.md", "data_card.md", MODEL.name]
    assert (package / MODEL.name).read_bytes() == (finished / MODEL).read_bytes()
    assert git(finished, "rev-parse", "HEAD~1").strip() in (package / "README.md").read_text(encoding="utf-8")
