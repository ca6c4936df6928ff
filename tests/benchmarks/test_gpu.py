"""The GPU's benchmark from end to end, at tiny sizes, with the torchvision loop as its peer."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu import GOALS
from transfer.runtime.files import ROOT


@pytest.mark.series  # it compiles a network twice, and trains in nine processes
def test_a_rehearsal_measures_every_figure(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--rehearse", "--output", str(tmp_path / "gpu.json")]
    subprocess.run(command, cwd=ROOT, check=True)
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["rehearsal"]
    assert {name.replace("224", "40").replace("128", "32") for name in GOALS} <= found["figures"].keys()
    assert all(value > 0 for value in found["figures"].values())
