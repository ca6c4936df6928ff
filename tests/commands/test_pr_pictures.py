"""The pictures of `make pr-report`: from DVC's cache or the workspace, or a line that says what brings them."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch
from dvc.utils.serialize import parse_yaml
from torchvision.models import resnet18

from commands.pr_report import main
from tests.commands.runs import CLASSES, MODEL, RESIZED, digits, start, write_run
from tests.commands.toy import commit, git
from transfer.data.resizing import save_resized
from transfer.network.backbones import Preprocessing
from transfer.network.classifier import Classifier, HeadShape, ModelCard, build_head, save_model
from transfer.runtime.files import md5_of

KEPT = (RESIZED, MODEL)


def write_model(folder: Path, seed: int) -> None:
    """A ResNet-18 with random weights, for images of 64 pixels."""
    torch.manual_seed(seed)
    backbone = resnet18()
    backbone.fc = torch.nn.Identity()  # type: ignore[assignment]
    shape = HeadShape(512, (), False, 0.0, 3)
    preprocessing = Preprocessing((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    card = ModelCard("resnet18", shape, CLASSES, preprocessing, 64, "cubic", "float32")
    save_model(folder / MODEL, Classifier(backbone, build_head(shape)), card)


def write_cache(folder: Path, path: Path, content: bytes) -> None:
    md5 = hashlib.md5(content).hexdigest() + (".dir" if path.is_dir() else "")
    cached = folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_bytes(content)


def add_to_cache(folder: Path, path: Path) -> None:
    """Give DVC's cache a file, or a folder with the list of its files."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in files:
        write_cache(folder, file, file.read_bytes())
    if path.is_dir():
        listing = [{"md5": md5_of(file), "relpath": file.name} for file in files]
        write_cache(folder, path, json.dumps(listing, sort_keys=True).encode())


def cached(folder: Path, output: str, revision: str = "HEAD") -> Path:
    outs = parse_yaml(git(folder, "show", f"{revision}:dvc.lock"), "dvc.lock")["stages"]["fine_tune"]["outs"]
    md5 = next(out["md5"] for out in outs if out["path"] == output)
    return folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two commits with two models, whose files DVC's cache has, while the workspace has lost them."""
    folder = start(tmp_path_factory.mktemp("trained"))
    save_resized(folder / RESIZED, digits(), 64, "cubic", "crop")
    for right, seed in ((40, 0), (50, 1)):
        write_model(folder, seed)
        write_run(folder, right, 0.1 + seed)
        if seed:  # so that some predictions are newly wrong too
            table = folder / "metrics/evaluate/confusion.tsv"
            lines = table.read_text(encoding="utf-8").splitlines()
            wrong = {name: CLASSES[i - 1] for i, name in enumerate(CLASSES)}
            actual = [line.split("\t")[0] for line in lines[1:4]]
            lines[1:4] = [f"{name}\t{wrong[name]}" for name in actual]
            table.write_text("\n".join(lines) + "\n", encoding="utf-8")
        for path in KEPT:
            add_to_cache(folder, folder / path)
        commit(folder, f"{right} right")
    shutil.rmtree(folder / "data")
    (folder / MODEL).unlink()
    return folder


@pytest.fixture
def drawn(trained: Path, tmp_path: Path) -> Callable[..., tuple[str, list[str]]]:
    """Writes a report with pictures; gives its text and the names of the pictures that it shows, which are there."""

    def draw(base: str = "HEAD~1", folder: Path = trained) -> tuple[str, list[str]]:
        output = tmp_path / "out/report.md"
        assert main(folder, base, "workspace", tmp_path / "out/pictures of it", output) == 0
        text = output.read_text(encoding="utf-8")
        links = [output.parent / link.replace("%20", " ") for link in re.findall(r"!\[.+\]\((.+)\)", text)]
        for link in links:
            assert link.stat().st_size < 400_000
            if link.suffix == ".png":
                picture = cv2.imread(str(link))
                assert picture is not None
                assert picture.std() > 5
        return text, [link.name for link in links]

    return draw


CURVES = ["curves_accuracy.svg", "curves_loss.svg"]
STRIPS = ["newly_right.png", "newly_wrong.png"]


def test_pictures_come_from_the_cache(drawn: Callable) -> None:
    text, shown = drawn()
    assert shown == [*CURVES, *STRIPS, "heat_maps.png"]
    assert "](pictures%20of%20it/curves_loss.svg)" in text
    assert "Of 60 test images, 10 are newly right and 3 newly wrong." in text
    assert "Not drawn" not in text


@pytest.mark.parametrize(
    ("output", "path", "revision", "command", "left"),
    [
        (MODEL, MODEL, "HEAD~1", "dvc fetch --all-commits", [*CURVES, *STRIPS]),
        (RESIZED, f"{RESIZED}/labels.npz", "HEAD", "dvc pull", CURVES),
    ],
)
def test_what_is_missing_is_told_with_the_command_that_brings_it(
    trained: Path, drawn: Callable, output: str, path: str, revision: str, command: str, left: list[str]
) -> None:
    lost = cached(trained, output, revision)
    elsewhere = lost.rename(trained / ".dvc/elsewhere")
    try:
        text, shown = drawn()
    finally:
        elsewhere.rename(lost)
    assert shown == left  # and none of a report before
    (line,) = set(re.findall("^Not drawn.*", text, flags=re.MULTILINE))
    place = "neither in DVC's cache nor in the workspace"
    assert line == f"Not drawn: {path}: {place}; bring it with: {command} {output}."


def test_a_file_of_the_workspace_counts_only_if_it_is_the_one_in_the_lock(trained: Path, drawn: Callable) -> None:
    model = cached(trained, MODEL)
    content = model.read_bytes()
    (trained / MODEL).parent.mkdir(parents=True, exist_ok=True)
    model.rename(trained / MODEL)
    try:
        assert "heat_maps.png" in drawn()[1]
        (trained / MODEL).write_bytes(content + b"x")
        text, shown = drawn()
    finally:
        model.write_bytes(content)
        (trained / MODEL).unlink()
    assert shown == [*CURVES, *STRIPS]
    assert f"{MODEL}: neither in DVC's cache nor in the workspace; bring it with: dvc pull {MODEL}." in text


def test_a_folder_of_the_workspace_counts_if_the_cache_has_lost_it(trained: Path, drawn: Callable) -> None:
    listing = cached(trained, RESIZED)
    elsewhere = listing.rename(trained / ".dvc/elsewhere")
    save_resized(trained / RESIZED, digits(), 64, "cubic", "crop")
    try:
        assert "heat_maps.png" in drawn()[1]
    finally:
        elsewhere.rename(listing)
        shutil.rmtree(trained / "data")


def test_the_same_model_needs_no_pictures(drawn: Callable) -> None:
    text, shown = drawn("HEAD")
    assert shown == []
    assert "The curves are the same." in text
    assert "Both runs have the same model file." in text
