"""A version of the model: promoted by a git tag, fetched with its cards into a clean folder, by real git and DVC."""

import re
from pathlib import Path

import pytest

from tests.pipeline.workspace import command, commit, dvc, git, read_yaml, set_parameter, stages_run

NAME, PACKAGE = "classifier", "models/classifier"
FILES = [
    "README.md",
    "data_card.md",
    "model.onnx",
    "model.pt2",
    "model.safetensors",
    "model_int8.onnx",
    "package.json",
    "predict.py",
    "provenance.json",
    "reference.npz",
]


def fetched(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def origin(finished: Path, tmp_path: Path) -> str:
    """A bare git repository with two versions, as a project has it on a server; their files are in a DVC remote."""
    dvc(finished, "remote", "add", "--default", "store", str(tmp_path / "store"))
    commit(finished, "A remote")
    git(finished, "tag", "--annotate", f"{NAME}@v1.0.0", "--message", "The first")
    git(finished, "tag", "--annotate", f"{NAME}#prod#1", "--message", "For production")
    dvc(finished, "push")
    set_parameter(finished, "evaluate.minimum_macro_f1", 0.01)
    assert stages_run(dvc(finished, "repro").stdout)[-1] == "report"
    commit(finished, "Another minimum, which the cards tell")
    command(finished, "gto", "register", NAME, "--version", "v1.1.0")
    dvc(finished, "push")
    git(tmp_path, "clone", "--quiet", "--bare", str(finished), "origin.git")
    return str(tmp_path / "origin.git")


def test_versions_are_fetched_with_their_cards(finished: Path, origin: str, tmp_path: Path) -> None:
    artifact = read_yaml(finished / "dvc.yaml")["artifacts"][NAME]
    assert artifact.keys() == {"path", "type", "desc", "labels", "meta"}
    clean = tmp_path / "clean"
    clean.mkdir()
    for folder, how in (("v1", ["--rev", "v1.0.0"]), ("prod", ["--stage", "prod"]), ("latest", [])):
        dvc(clean, "artifacts", "get", origin, NAME, *how, "--out", folder)
    dvc(clean, "get", origin, PACKAGE, "--rev", f"{NAME}@v1.0.0", "--out", "by-tag")
    first, latest = fetched(clean / "v1"), fetched(clean / "latest")
    assert sorted(first) == sorted(set(artifact["meta"].values())) == FILES
    assert latest == fetched(finished / PACKAGE)
    assert first == fetched(clean / "prod") == fetched(clean / "by-tag")
    assert first["model.safetensors"] == latest["model.safetensors"]  # the same model, of which another card tells
    assert [b"at least 0.01 required" in version["README.md"] for version in (first, latest)] == [False, True]
    shown = command(finished, "gto", "show", "--plain").stdout
    assert re.search(rf"{NAME}\W+v1\.1\.0\W+v1\.0\.0", shown), shown


def test_a_version_that_there_is_not_is_told(origin: str, tmp_path: Path) -> None:
    refused = dvc(tmp_path, "artifacts", "get", origin, NAME, "--rev", "v9.0.0", "--out", "none", check=False)
    assert refused.returncode != 0
    assert f"Unable to find artifact '{NAME} @ v9.0.0'" in refused.stderr
    assert not (tmp_path / "none").exists()
