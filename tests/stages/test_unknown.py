"""unknown: thresholds keep what they promise on validation, figures are those of the parts, sets hold no object."""

import json

import numpy as np
import pytest
import torch

from stages import unknown
from tests.stages.conftest import FILES, Arena, files_in, outputs_in
from transfer.data.resize import open_resized
from transfer.evaluation.answering import read_answering
from transfer.evaluation.calibration import scale
from transfer.evaluation.neighbours import Rejection, neighbour_distances
from transfer.network.program import load_program
from transfer.runtime.errors import ParameterError
from transfer.runtime.parameters import check_parameters

OUTPUTS = outputs_in("other", unknown)


def metrics_of(arena: Arena) -> dict:
    return json.loads(arena.file("metrics/unknown.json").read_text())


def seen(arena: Arena, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities and distances of a split's images, by the parts that the stage is made of."""
    answering = read_answering(arena.file("data/predictions.npz"))
    program = load_program(arena.file("models/model.safetensors"), answering.mirror, answering.shift_fraction)
    with torch.no_grad():
        found = program(torch.from_numpy(np.array(open_resized(arena.file(f"data/resized/{split}")).pixels)))
    with np.load(arena.file("models/unknown.npz")) as saved:
        reference = saved["features"].astype(np.float32)
    return scale(found[0].double().numpy(), answering.temperature), neighbour_distances(found[1].numpy(), reference, 3)


def test_the_thresholds_are_those_of_the_validation_split(arena):
    probabilities, distances = seen(arena, "val")
    rejection = Rejection(**metrics_of(arena)["rejection"])
    labels = open_resized(arena.file("data/resized/val")).labels
    sure = probabilities.max(1) >= rejection.min_confidence - 1e-6
    assert metrics_of(arena)["val_coverage"] == pytest.approx(sure.mean())
    if sure.any():
        assert (probabilities.argmax(1) != labels)[sure].mean() <= rejection.risk
    assert (distances <= rejection.max_distance + 1e-5).mean() >= rejection.known
    assert np.abs(distances - rejection.max_distance).min() < 1e-5
    with np.load(arena.file("models/unknown.npz")) as saved:
        assert Rejection.model_validate_json(str(saved["rejection"])) == rejection
        assert saved["features"].dtype == np.float16
        np.testing.assert_allclose(np.linalg.norm(saved["features"].astype(float), axis=1), 1, atol=1e-2)


def test_every_set_has_its_figures_and_its_row(arena):
    metrics = metrics_of(arena)
    assert list(metrics["sets"]) == arena.parameters["unknown"]["sets"]
    lines = arena.file("metrics/unknown/sets.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["set", *metrics["sets"]]
    for figures in metrics["sets"].values():
        assert figures["images"] == metrics["images"] == 20
        for name in ("distance", "confidence"):
            assert 0 <= figures[f"auroc_{name}"] <= 1
            assert figures[f"fpr95_{name}_ci_low"] <= figures[f"fpr95_{name}"] <= figures[f"fpr95_{name}_ci_high"]


def test_no_sets_are_no_rows_and_the_same_inputs_the_same_bytes(arena):
    arena.run(unknown, **{**FILES[unknown], **OUTPUTS})
    for option, path in OUTPUTS.items():
        assert files_in(arena.file(path)) == files_in(arena.file(FILES[unknown][option]))
    without = {**arena.parameters, "unknown": {**arena.parameters["unknown"], "sets": []}}
    arena.run(unknown, without, **{**FILES[unknown], **outputs_in("none", unknown)})
    assert len(arena.file("none/metrics/unknown/sets.tsv").read_text().splitlines()) == 1


def test_an_unknown_set_is_refused(arena):
    changed = {**arena.parameters, "unknown": {**arena.parameters["unknown"], "sets": ["cats"]}}
    with pytest.raises(ParameterError, match=r"unknown\.sets\.0 = 'cats': .*'digits', 'textures', 'noise'"):
        check_parameters(unknown.Parameters, changed)
