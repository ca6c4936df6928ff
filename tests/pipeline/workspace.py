"""A tiny workspace of the real pipeline: its inputs, its parameters, its environment, and DVC run in it.

The images are the digits 0, 1 and 2 of scikit-learn's `load_digits`, under CIFAR-10's class names; the
backbone is a ResNet-18 with seeded random weights. Everything else is the pipeline of this repository.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import networkx
import numpy as np
import yaml
from dvc.repo import Repo
from dvc.stage import PipelineStage
from sklearn.datasets import load_digits

from commands.demo import copy_pipeline, write_random_weights
from commands.overrides import merge
from transfer.runtime.files import sha256_of
from transfer.sources.cifar import SIDE_PX, LabelledImages, write_archive

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ("airplane", "bird", "cat")
TRAIN_EACH, TEST_EACH = 12, 4
LINKED_FROM_BYTES = 1 << 20
SMALLEST_RUN = {
    "groups": {"rigid": ["airplane"]},
    "backbone": {"name": "resnet18"},
    "subsample": {"train_size": 36, "val_size": 9},
    "explore": {"examples": 3, "interpolation_images": 6, "interpolation_examples": 1},
    "resize": {"size_px": 32},
    "embed": {"batch_size": 16},
    "train": {
        "precision": "float32",
        "batch_size": 9,
        "head": {"hidden": [8], "epochs": 2, "batch_size": 9},
        "fine_tune": {"epochs": 2, "batch_norm": "training"},
    },
    "evaluate": {
        "batch_size": 12,
        "pictures": 6,
        "expected_pairs": [["bird", "airplane"]],
    },
    "unknown": {"reference_images": 12, "images": 6, "neighbours": 2, "sets": ["noise"], "batch_size": 12},
    "export": {"calibration_images": 6, "images": 6, "batch_size": 6, "int8_max_loss": 0.5},
    "robustness": {"images": 6, "batch_size": 12},
    "explain": {"min_map_px": 4},
    "audit": {"images": 6, "faithfulness_images": 2, "sanity_images": 2},
}


def environment(folder: Path, bytecode: Path) -> dict[str, str]:
    """Variables under which no configuration of the user plays a part, and imports are compiled only once.

    `folder` holds what DVC, git and matplotlib keep for a user; `bytecode` what Python compiles.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own = ("DVC_", "DVCLIVE_", "GIT_", "TRANSFER_", "PYTHON", "XDG_", "MAKE", "MFLAGS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    person = {"NAME": "Tester", "EMAIL": "tester@example.org"}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "MPLCONFIGDIR": str(folder / "matplotlib"),
        "PYTHONPYCACHEPREFIX": str(bytecode),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in person.items()},
        "DVC_NO_ANALYTICS": "1",
        "DVC_GLOBAL_CONFIG_DIR": str(folder / "dvc-global"),
        "DVC_SYSTEM_CONFIG_DIR": str(folder / "dvc-system"),
        "DVC_SITE_CACHE_DIR": str(folder / "dvc-site-cache"),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",  # on the CPU the same inputs give the same bytes
    }


def write_images(path: Path) -> None:
    """Write the tiny archive, in two training batches."""
    pixels, target = load_digits(n_class=len(CLASSES), return_X_y=True)
    small = np.rint(pixels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)  # 0 to 16 originally

    def part(first: int, count: int) -> LabelledImages:
        places = np.concatenate([np.flatnonzero(target == label)[first : first + count] for label in range(3)])
        large = [cv2.resize(small[i], (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC) for i in places]
        return LabelledImages(np.repeat(np.stack(large)[..., None], 3, axis=3), target[places].astype(np.uint8))

    half = TRAIN_EACH // 2
    write_archive(path, [part(0, half), part(half, half)], part(TRAIN_EACH, TEST_EACH), CLASSES)


def write_inputs(folder: Path) -> None:
    """Write what the pipeline fetches: images.tar.gz and resnet18.pth."""
    write_images(folder / "images.tar.gz")
    write_random_weights(folder / "resnet18.pth", "resnet18")


def write_workspace(workspace: Path, inputs: Path) -> None:
    """Copy the pipeline into a git repository of its own, with the smallest run's parameters, and commit it."""
    copy_pipeline(workspace)
    parameters = merge(read_yaml(workspace / "params.yaml"), SMALLEST_RUN)
    archive = inputs / "images.tar.gz"
    parameters["download"].update(url=str(archive), sha256=sha256_of(archive))
    parameters["backbone"]["url"] = f"{inputs}/"
    write_yaml(workspace / "params.yaml", parameters)
    git(workspace, "init", "--quiet", "--initial-branch=main")
    commit(workspace, "The pipeline, not yet run")


def copy_workspace(source: Path, target: Path) -> Path:
    """Copy a workspace; large files are linked, since nothing writes into them: all replace them whole."""

    def link_or_copy(old: str, new: str) -> None:
        large = Path(old).stat().st_size >= LINKED_FROM_BYTES
        (os.link if large else shutil.copy2)(old, new)

    shutil.copytree(source, target, copy_function=link_or_copy, ignore=shutil.ignore_patterns("tmp"))
    return target


def copy_repository(workspace: Path) -> None:
    """Add to a workspace what else a clone of this repository has for the people who work with it."""
    for name in ("commands", "experiments", "jobs", ".github"):
        shutil.copytree(ROOT / name, workspace / name, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    for name in ("Makefile", "pyproject.toml", "uv.lock"):
        shutil.copy2(ROOT / name, workspace / name)


def mark_installed(workspace: Path) -> None:
    """Let `make` find everything installed in a clone: the tests' own environment does."""
    (workspace / ".venv").mkdir(exist_ok=True)
    (workspace / ".venv/installed").touch()


def read_yaml(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def write_yaml(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def set_parameter(workspace: Path, name: str, value: Any) -> None:
    """Write one parameter, by its dotted name, to params.yaml."""
    content = read_yaml(workspace / "params.yaml")
    *groups, last = name.split(".")
    group = content
    for part in groups:
        group = group[part]
    group[last] = value
    write_yaml(workspace / "params.yaml", content)


def command(workspace: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program in the workspace; a failure that was not asked for is shown whole."""
    done = subprocess.run(arguments, cwd=workspace, capture_output=True, text=True, check=False)
    assert not (check and done.returncode), f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done


def git(workspace: Path, *arguments: str) -> str:
    return command(workspace, "git", *arguments).stdout


def commit(workspace: Path, message: str) -> None:
    git(workspace, "add", "--all")
    git(workspace, "commit", "--quiet", "--message", message)


def return_to_commit_of_the_run(workspace: Path) -> None:
    """Check out the commit that a finished workspace was run on, which its models name; the files stay as they are."""
    git(workspace, "reset", "--quiet", "--soft", "HEAD~1")


def dvc(workspace: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return command(workspace, "dvc", *arguments, check=check)


def stages_run(output: str) -> list[str]:
    """Names of the stages that `dvc repro` or `dvc exp run` said it ran."""
    return re.findall(r"^Running stage '(.+?)'", output, flags=re.MULTILINE)


def stages_of(repo: Repo) -> dict[str, PipelineStage]:
    """The stages of dvc.yaml by name, as DVC resolves them."""
    return {str(stage.name): stage for stage in repo.index.stages if isinstance(stage, PipelineStage)}


def graph_of(repo: Repo) -> networkx.DiGraph:
    """DVC's graph of stages, by name, with an edge from each stage to what it needs."""
    return networkx.relabel_nodes(repo.index.graph, {stage: name for name, stage in stages_of(repo).items()})


def files_of(workspace: Path) -> list[str]:
    """All files that the stages have written, those in folders too."""
    with Repo(str(workspace)) as repo:
        outputs = [workspace / out.def_path for stage in stages_of(repo).values() for out in stage.outs]
    paths = [path for output in outputs for path in [output, *output.rglob("*")]]
    return sorted(str(path.relative_to(workspace)) for path in paths if path.is_file())
