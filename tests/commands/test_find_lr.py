"""make find-lr: a curve and two rates from what the stages left, which stays as it is."""

import shutil
from pathlib import Path

import cv2
import pytest
import yaml

from commands import find_lr
from tests.stages.conftest import Arena, arena  # noqa: F401
from transfer.runtime.errors import DataError
from transfer.runtime.files import ROOT

pytestmark = pytest.mark.slow


def test_it_draws_the_loss_over_the_rate(arena: Arena, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    for name in ("data", "models"):
        (tmp_path / name).symlink_to(arena.file(name))
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(arena.parameters), encoding="utf-8")
    before = arena.digests()
    assert find_lr.main(tmp_path, 20) == 0
    assert arena.digests() == before
    told = capsys.readouterr().out
    assert told.startswith("steepest fall of the loss at ")
    assert "train.lr is 1.0e-03" in told
    assert cv2.haveImageReader(str(tmp_path / "state/find-lr.png"))


def test_before_phase_1_it_says_what_to_run(tmp_path: Path) -> None:
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    with pytest.raises(
        DataError, match=r"backbone\.safetensors: no such file; run `dvc repro train_head label_errors`"
    ):
        find_lr.inputs_of(tmp_path)
