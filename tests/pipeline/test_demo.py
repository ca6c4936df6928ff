"""What `make demo` leaves: a repository in which the next commands work, as a newcomer types them."""

import os
import subprocess
from pathlib import Path

import cv2
import numpy as np

from commands import demo
from commands.revisions import experiments
from tests.documented import TRIED, commands_of, missing
from tests.pipeline.workspace import git
from tests.transfer.deployment.server import started
from transfer.sources.images import load_images

RETURN = "git checkout --quiet . && dvc checkout --quiet"


def all_installed(workspace: Path) -> dict[str, str]:
    """The environment in which `make` finds everything installed."""
    installed = workspace.parent / "installed"
    installed.mkdir(exist_ok=True)
    (installed / "installed").touch()
    return os.environ | {"UV_PROJECT_ENVIRONMENT": str(installed)}


def typed(workspace: Path, line: str) -> str:
    """What a line prints that is typed there."""
    done = subprocess.run(
        ["bash", "-c", line], cwd=workspace, env=all_installed(workspace), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def write_photos(workspace: Path) -> None:
    """Photographs where the pages have some: digits of the demo's test split, and a folder of each class."""
    split, _ = load_images(workspace / "data/splits/test.npz")
    for name, number in {"photo.jpg": 0, "a.jpg": 1, "b.png": 2, "folder/c.png": 3}.items():
        write_picture(workspace / name, split.images[number])
    for number, label in enumerate(split.labels[:200]):
        write_picture(workspace / "inputs/photos" / split.classes[label] / f"{number}.png", split.images[number])


def write_picture(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def try_the_other_pages(workspace: Path) -> None:
    """Type what README.md, own-images.md and use-the-model.md show beside the first hour."""
    write_photos(workspace)
    serve = ["bash", "-c", 'exec make serve ARGS="--log answers.jsonl $*"', "serve"]
    with started(serve, workspace, all_installed(workspace)) as server:
        address = f"http://127.0.0.1:{server.port}"
        assert '"answer"' in typed(workspace, f"curl --silent -F files=@a.jpg -F files=@b.png {address}/predict")
    for line in ("make drift LOG=answers.jsonl", "cd models/classifier && python predict.py ../../photo.jpg"):
        typed(workspace, line)
    printed = {line: typed(workspace, line) for line in TRIED.values()}
    assert "folder/c.png" in printed['make predict IMAGES="photo.jpg folder/"']


def test_a_newcomer_runs_the_demo_and_the_commands_that_it_names(tmp_path: Path) -> None:
    workspace = tmp_path / "a demo"
    assert demo.main(workspace) == 0
    assert git(workspace, "log", "--format=%s").splitlines() == ["The first run", demo.FIRST_COMMIT]
    assert [*experiments(workspace)] == [demo.EXPERIMENT]
    assert git(workspace, "status", "--porcelain") == ""
    assert (workspace / "report/report.html").is_file()

    tutorial = commands_of((demo.ROOT / "docs/first-hour.md").read_text(encoding="utf-8"))[1:]  # it is there already
    lost = {line: missing(output, typed(workspace, line)) for line, output in tutorial}
    assert {line: lines for line, lines in lost.items() if lines} == {}

    for line in demo.NEXT:
        typed(workspace, line)
    typed(workspace, RETURN)
    assert demo.main(workspace) == 0  # again, in the same place
    assert len(git(workspace, "log", "--format=%s").splitlines()) == 2
    try_the_other_pages(workspace)
