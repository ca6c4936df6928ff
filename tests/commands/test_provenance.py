"""`make provenance` on a small real repository: what fits is ok, and each thing that is planted is found."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision
import yaml
from transfer.network.provenance import Provenance, record_digest

from commands.provenance import Line, check
from transfer.data.splits import Split, save_split
from transfer.network.backbones import Backbone, Preprocessing, save_backbone
from transfer.network.classifier import Head, HeadShape, ModelCard, build_classifier, build_head, save_head, save_model
from transfer.network.tensors import load_tensors, save_tensors
from transfer.runtime.files import md5_of

ROOT = Path(__file__).resolve().parent.parent.parent
CLASSES = ("cat", "dog", "frog")
IMAGENET = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
MODEL, HEAD = "models/model.safetensors", "models/head.safetensors"
BACKBONE, SPLIT = "models/b.safetensors", "train.npz"
SCRIPT = "stages/fine_tune.py"
PARAMETERS = {"seed": 0, "train": {"lr": 1e-5, "size": 2}}


def git(folder: Path, *arguments: str) -> str:
    person = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    return subprocess.run(["git", *person, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


def commit(folder: Path, message: str) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD").strip()


def write_lock(folder: Path) -> None:
    """What DVC writes into dvc.lock of a stage that read, and wrote, these files."""

    def entries(*paths: str) -> list[dict[str, Any]]:
        return [{"path": path, "hash": "md5", "md5": md5_of(folder / path)} for path in paths]

    entry = {
        "cmd": f"python -m stages.fine_tune --backbone {BACKBONE} --train-split {SPLIT} --model {MODEL}",
        "deps": entries(BACKBONE, SPLIT, SCRIPT),
        "params": {"params.yaml": {"seed": 0, "train.lr": 1e-05}},
        "outs": entries(MODEL, HEAD),
    }
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"fine_tune": entry}}))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Commit 1 has other code, commit 2 is the one trained on, commit 3 has dvc.lock; models are not in git."""
    folder = tmp_path_factory.mktemp("trained")
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / ".gitignore").write_text("models\n*.npz\n")
    (folder / "stages").mkdir()
    for line in ("print(1)", "print(2)"):
        (folder / SCRIPT).write_text(f"{line}\n")
        (folder / "params.yaml").write_text(yaml.safe_dump(PARAMETERS))
        revision = commit(folder, line)
    network = torchvision.models.mobilenet_v3_small()
    backbone = Backbone("mobilenet_v3_small", network.state_dict(), IMAGENET)
    save_backbone(folder / BACKBONE, backbone)
    pixels = np.zeros((3, 32, 32, 3), np.uint8)
    save_split(folder / SPLIT, Split(pixels, np.arange(3, dtype=np.uint8), np.arange(3), CLASSES))
    inputs = {"backbone": md5_of(folder / BACKBONE), "train_split": md5_of(folder / SPLIT)}
    locked = record_digest([*inputs.values(), md5_of(folder / SCRIPT)], {"seed": 0, "train": {"lr": 1e-5}})
    shape = HeadShape(1024, (), batch_norm=False, dropout=0.0, classes=3)
    head = Head(shape, build_head(shape).state_dict(), CLASSES, 1, Provenance("fine_tune", inputs, locked, revision))
    save_head(folder / HEAD, head)
    card = ModelCard("mobilenet_v3_small", shape, CLASSES, IMAGENET, 32, head.provenance)
    save_model(folder / MODEL, build_classifier(backbone, head), card)
    write_lock(folder)
    commit(folder, "Trained")
    return folder


@pytest.fixture
def repository(trained: Path, tmp_path: Path) -> Path:
    git(tmp_path, "clone", "--quiet", str(trained), "clone")
    (tmp_path / "clone/models").mkdir()
    for name in (MODEL, HEAD, BACKBONE, SPLIT):
        (tmp_path / "clone" / name).hardlink_to(trained / name)  # everything here writes whole files
    return tmp_path / "clone"


def outcomes(repository: Path, model: str = MODEL) -> dict[str, str]:
    return {line.what: line.outcome for line in check(repository, repository / model)[1]}


def line_of(repository: Path, what: str) -> Line:
    (line,) = (line for line in check(repository, repository / MODEL)[1] if line.what == what)
    return line


def plant(repository: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what the model's file says, with a digest of its own that fits."""
    tensors, about = load_tensors(repository / MODEL)
    change(about)
    save_tensors(repository / MODEL, tensors, about)


def differing(repository: Path) -> set[str]:
    return {what for what, outcome in outcomes(repository).items() if outcome == "differs"}


def test_a_model_that_is_what_it_says(repository: Path) -> None:
    found = outcomes(repository)
    assert found.keys() == {
        *("file", "input backbone", "input train_split", "lock digest", "revision"),
        *("code and parameters", "classes", "preprocessing"),
    }
    assert set(found.values()) == {"ok"}
    assert line_of(repository, "revision").why.endswith("is an ancestor of HEAD")
    assert "dvc.lock of workspace" in line_of(repository, "file").why
    assert outcomes(repository, HEAD) == {**found, "preprocessing": "cannot be checked"}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda about: about["provenance"]["inputs"].update(backbone="0" * 32), "input backbone"),
        (lambda about: about["provenance"]["inputs"].update(train_split="0" * 32), "input train_split"),
        (lambda about: about["provenance"].update(lock_sha256="0" * 64), "lock digest"),
        (lambda about: about.update(classes=["cat", "frog", "dog"]), "classes"),
        (lambda about: about["preprocessing"].update(mean=[0.5, 0.5, 0.5]), "preprocessing"),
        (lambda about: about.update(architecture="mobilenet_v3_large"), "preprocessing"),
    ],
)
def test_a_file_that_says_something_else_is_found(repository: Path, change, what: str) -> None:
    plant(repository, change)
    assert differing(repository) == {"file", what}  # no dvc.lock knows the changed file


def test_a_revision_of_other_code_is_found(repository: Path) -> None:
    first = git(repository, "rev-list", "--max-parents=0", "HEAD").strip()
    plant(repository, lambda about: about["provenance"].update(revision=first))
    assert differing(repository) == {"file", "code and parameters"}
    assert SCRIPT in line_of(repository, "code and parameters").why


def test_a_revision_of_other_parameters_is_found(repository: Path) -> None:
    (repository / "params.yaml").write_text(yaml.safe_dump({**PARAMETERS, "seed": 1}))
    other = commit(repository, "Another seed")
    plant(repository, lambda about: about["provenance"].update(revision=other))
    assert line_of(repository, "code and parameters").why.endswith("seed")


@pytest.mark.parametrize(
    ("revision", "unchecked", "why"),
    [
        (lambda _: "0" * 40, "revision", "is not in this repository: rebased, squashed or not pushed"),
        (lambda known: f"{known}-dirty", "code and parameters", "code or parameters differed from that commit"),
        (lambda _: None, "revision", "the file names none"),
    ],
)
def test_a_revision_that_cannot_be_checked_says_why(repository: Path, revision, unchecked: str, why: str) -> None:
    def change(about: dict[str, Any]) -> None:
        about["provenance"]["revision"] = revision(about["provenance"]["revision"])
        if about["provenance"]["revision"] is None:
            del about["provenance"]["revision"]

    plant(repository, change)
    assert differing(repository) == {"file"}
    assert line_of(repository, unchecked).outcome == "cannot be checked"
    assert why in line_of(repository, unchecked).why


def test_a_revision_beside_the_branch_is_told(repository: Path) -> None:
    git(repository, "checkout", "--quiet", "--orphan", "other")
    commit(repository, "Without history")
    assert line_of(repository, "revision").why.endswith("is a commit here, but no ancestor of HEAD")


def test_the_record_may_be_in_an_earlier_commit(repository: Path) -> None:
    """Another training has been recorded since, here and in HEAD."""
    recorded = git(repository, "rev-parse", "HEAD").strip()
    lock = (repository / "dvc.lock").read_text().replace(md5_of(repository / MODEL), "0" * 32)
    (repository / "dvc.lock").write_text(lock)
    commit(repository, "Trained again")
    assert set(outcomes(repository).values()) == {"ok"}
    assert f"dvc.lock of {recorded}" in line_of(repository, "file").why


def test_other_inputs_in_the_workspace_cannot_be_compared_with(repository: Path) -> None:
    split = Split(np.zeros((2, 32, 32, 3), np.uint8), np.arange(2, dtype=np.uint8), np.arange(2), ("x", "y"))
    save_split(repository / SPLIT, split)
    (repository / BACKBONE).unlink()
    assert line_of(repository, "classes").outcome == "cannot be checked"
    assert "not the one that the model was made of" in line_of(repository, "classes").why
    assert line_of(repository, "preprocessing").why == f"{BACKBONE} is not here; dvc pull brings it"


def test_without_git_or_dvc_nothing_can_be_compared(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    _, lines = check(tmp_path / "elsewhere", repository / MODEL)
    assert {line.outcome for line in lines} == {"cannot be checked"}


def provenance(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "commands.provenance", *arguments]
    variables = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=repository, env=variables, capture_output=True, text=True, check=False)


def test_the_command(repository: Path) -> None:
    done = provenance(repository, MODEL)
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert first == (f"{MODEL}: a mobilenet_v3_small for images of 32 pixels of 3 classes, written by stage fine_tune")
    assert len(lines) == 8
    assert all(line.startswith("ok ") for line in lines)
    plant(repository, lambda about: about["provenance"].update(lock_sha256="0" * 64))
    done = provenance(repository, MODEL)
    assert done.returncode == 1
    assert done.stdout.count("\ndiffers ") == 2
    assert done.stderr == ""
    refused = provenance(repository, BACKBONE)
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.startswith(f"error: {BACKBONE}: holds no ModelCard but something of architecture, pre")
    assert refused.stderr.count("\n") == 1
