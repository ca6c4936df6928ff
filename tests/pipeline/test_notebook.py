"""docs/explore.ipynb runs from top to bottom on a finished run."""

import json
import sys
from pathlib import Path

import pytest

from tests.pipeline.workspace import ROOT, command


def test_every_cell_runs(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = json.loads((ROOT / "docs/explore.ipynb").read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert all(cell.get("outputs", []) == [] for cell in cells)  # a run's pictures are not the repository's
    (finished / "docs").mkdir()
    (finished / "docs/explore.py").write_text("\n".join(code), encoding="utf-8")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    told = command(finished / "docs", sys.executable, "explore.py").stdout
    assert "12 test images; resnet18 at 32 pixels" in told
    assert "as metrics/evaluate.json says" in told
