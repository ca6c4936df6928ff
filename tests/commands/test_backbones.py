"""make backbones: a line of figures for each backbone, and of one that fails what its stage said."""

from pathlib import Path

import pytest

from commands import backbones
from tests.stages.conftest import Arena, arena  # noqa: F401
from transfer.network.backbones import load_backbone
from transfer.runtime.errors import PipelineError

pytestmark = pytest.mark.slow


def prepared(arena: Arena, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """A folder with the arena's resized images; its state is apart from the repository's."""
    monkeypatch.setenv("TRANSFER_STATE", str(folder / "state"))
    for split in ("train", "val"):
        (folder / split).symlink_to(arena.file(f"data/resized/{split}"))
    return folder


def test_a_backbone_gets_its_figures(arena: Arena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    cells = backbones.row(prepared(arena, tmp_path, monkeypatch), arena.parameters)
    assert len(cells) == len(backbones.COLUMNS) - 2
    assert cells[0] == "11.2"
    assert float(cells[2]) > 0
    assert all(50 < float(cell.removesuffix("%")) <= 100 for cell in cells[3:5])


def test_what_fails_says_why(arena: Arena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    parameters = {**arena.parameters, "backbone": {**arena.parameters["backbone"], "name": "resnet19"}}
    with pytest.raises(PipelineError, match=r"^backbone\.name = 'resnet19': no such .*; did you mean resnet1"):
        backbones.row(prepared(arena, tmp_path, monkeypatch), parameters)


def test_operations_are_counted(arena: Arena) -> None:  # noqa: F811
    """Two for each of the 1.82 10^9 multiplications and additions that He et al. 2016 count, less the classifier."""
    backbone = load_backbone(arena.file("models/backbone.safetensors"))
    assert backbones.gflops(backbone, 224) == pytest.approx(3.63, abs=0.02)
