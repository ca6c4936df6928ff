"""What preprocessing is worth, of made answers: each way is compared with the run's own, image by image."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import preprocessing


def test_each_way_is_compared_with_the_runs_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.yaml").write_text("seed: 0\n", encoding="utf-8")
    right = {"as the run": 80, "1/255": 60, "bilinear": 80}
    given = []

    def train(_run: Path, _folder: Path, parameters: dict, way: dict) -> dict[str, np.ndarray]:
        given.append(parameters["seed"])
        (name,) = (name for name, each in preprocessing.WAYS.items() if each is way)
        return {kind: np.arange(100) < right[name] for kind in ("probe", "fine-tuned")}

    monkeypatch.setattr(preprocessing, "train", train)
    found = preprocessing.measure(tmp_path, 3)
    assert given == [3, 3, 3]
    assert {name: figures["gain"] for name, figures in found.items()} == pytest.approx(
        {f"{kind}, {way}": (hits - 80) / 100 for way, hits in right.items() for kind in ("probe", "fine-tuned")}
    )
    assert found["probe, 1/255"]["gain_ci_high"] < 0 == found["probe, bilinear"]["gain"]
