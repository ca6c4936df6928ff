"""Run the whole pipeline on handwritten digits, in a git repository of its own: `python -m commands.demo [FOLDER]`.

The images are scikit-learn's digits (UCI Optical Recognition of Handwritten Digits, 1,797 images
that come with the package), the backbone is a ResNet-18 with seeded random weights.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torchvision
from dvc.utils.serialize import dump_yaml
from sklearn.datasets import load_digits

from commands.entry_point import exit_with
from commands.overrides import merge, read_recipe
from commands.revisions import experiments, run_git
from commands.summary import SHOWN_STAGES, metrics_table
from transfer.runtime.files import sha256_of, whole
from transfer.runtime.parameters import read_mapping
from transfer.sources.cifar import SIDE_PX, LabelledImages, write_archive

ROOT = Path(__file__).resolve().parent.parent
GIT_RULES = (".gitignore", ".gitattributes", ".dvc/.gitignore", ".dvcignore")
PIPELINE = ("dvc.yaml", "params.yaml", "stages", "transfer", ".dvc/config", ".dvc/plots", *GIT_RULES)
TOOLS = ("commands", "experiments", "Makefile", "pyproject.toml", "uv.lock")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEST_IMAGES = 297
BATCHES = 5
SHOWN_FILES = {
    "Report": "report/report.html",
    "Predictions": "metrics/evaluate/pictures/predictions.png",
    "Heat maps": "metrics/grad_cam/pictures/examples.png",
}
FIRST_COMMIT = "The pipeline and the demo's parameters"
# An idea that needs no training: predictions averaged with those of mirror images, which of digits are others or none.
EXPERIMENT, CHANGE = "mirrored", "evaluate.mirror=true"
NEXT = (
    f"make compare A=main B={EXPERIMENT}",
    "dvc exp run -S train.lr=0.002 fine_tune",
    "dvc params diff && dvc metrics diff",
)


def write_digits(path: Path) -> None:
    """Write the digits, enlarged to 32 pixels, as an archive in CIFAR-10's binary layout."""
    pixels, target = load_digits(return_X_y=True)
    small = np.rint(pixels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)  # 0 to 16 originally
    large = [cv2.resize(image, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC) for image in small]
    images = np.repeat(np.stack(large)[..., None], 3, axis=3)
    labels = target.astype(np.uint8)
    parts = [
        LabelledImages(images[i], labels[i]) for i in np.array_split(np.arange(len(labels) - TEST_IMAGES), BATCHES)
    ]
    write_archive(path, parts, LabelledImages(images[-TEST_IMAGES:], labels[-TEST_IMAGES:]), DIGITS)


def write_random_weights(path: Path, architecture: str) -> None:
    """Write seeded random weights of a torchvision model as a .pth file."""
    torch.manual_seed(0)
    state = torchvision.models.get_model(architecture, weights=None).state_dict()
    with whole(path) as partial:
        torch.save(state, partial)


def copy_pipeline(workspace: Path, more: Sequence[str] = ()) -> None:
    """Copy what `dvc repro` needs, and `more` of the repository, into a folder."""
    for name in (*PIPELINE, *more):
        source, target = ROOT / name, workspace / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)


def write_workspace(workspace: Path) -> None:
    """Write a repository with the demo's inputs and parameters, in which the commands of this one work too."""
    copy_pipeline(workspace, TOOLS)
    if (ROOT / ".venv").exists() and not (workspace / ".venv").is_symlink():
        (workspace / ".venv").symlink_to(ROOT / ".venv")
    parameters = merge(read_mapping(ROOT / "params.yaml"), read_recipe("demo"))
    inputs = workspace / "inputs"
    write_digits(inputs / "digits.tar.gz")
    write_random_weights(inputs / "resnet18.pth", parameters["backbone"]["name"])
    (inputs / ".gitignore").write_text("*\n", encoding="utf-8")
    parameters["download"].update(url=str(inputs / "digits.tar.gz"), sha256=sha256_of(inputs / "digits.tar.gz"))
    parameters["backbone"]["url"] = f"{inputs}/"
    dump_yaml(workspace / "params.yaml", parameters)
    if not (workspace / ".git").exists():
        run(workspace, "git", "init", "--quiet", "--initial-branch=main")
        run(workspace, "git", "config", "user.name", "demo")
        run(workspace, "git", "config", "user.email", "demo@localhost")


def run(workspace: Path, *command: str) -> None:
    """Run a program in the workspace. Raises CalledProcessError if it fails, after it has said why."""
    subprocess.run(command, cwd=workspace, check=True)


def commit(workspace: Path, message: str) -> None:
    """Commit what has changed, if anything has."""
    run(workspace, "git", "add", "--all")
    if subprocess.run(["git", "diff", "--cached", "--quiet"], cwd=workspace, check=False).returncode:
        run(workspace, "git", "commit", "--quiet", "--message", message)


def main(workspace: Path) -> int:
    run_git(ROOT, "--version")  # which says what to do where there is none
    try:
        write_workspace(workspace)
        commit(workspace, FIRST_COMMIT)
        run(workspace, "dvc", "repro")
        commit(workspace, "The first run")
        if EXPERIMENT not in experiments(workspace):
            run(workspace, "dvc", "exp", "run", "--temp", "--name", EXPERIMENT, "-S", CHANGE, "evaluate")
    except subprocess.CalledProcessError as error:
        return error.returncode
    metrics = {
        name: json.loads((workspace / f"metrics/{name}.json").read_text(encoding="utf-8")) for name in SHOWN_STAGES
    }
    print("\nThis was a demonstration: handwritten digits and a backbone with random weights, not CIFAR-10.")
    print(metrics_table(metrics))
    for what, path in SHOWN_FILES.items():
        print(f"{what}: {os.path.relpath(workspace / path)}")
    print(f"\nIt is a git repository with two commits and an experiment, {EXPERIMENT} ({CHANGE}). What to try there:")
    print(f"  cd {os.path.relpath(workspace)} && source .venv/bin/activate", *NEXT, sep="\n  ")
    return 0


if __name__ == "__main__":
    exit_with(lambda: main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "demo").absolute()))
