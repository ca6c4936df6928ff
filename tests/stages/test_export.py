"""export: each form answers as the model, what differs ends the stage, what cannot be written says why."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from stages import export
from tests.stages.conftest import FILES, Arena, files_in, outputs_in
from transfer.data.resize import open_resized
from transfer.deployment.export import FILES as FORMATS
from transfer.deployment.export import OPEN
from transfer.deployment.package import read_package
from transfer.network.program import Program
from transfer.runtime.errors import ExportError

OTHER = outputs_in("other", export)


def metrics_of(arena: Arena, name: str = "metrics/export.json") -> dict:
    return json.loads(arena.file(name).read_text())


def with_export(arena: Arena, **changes: object) -> dict:
    return {**arena.parameters, "export": {**arena.parameters["export"], **changes}}


def test_figures_are_those_of_the_files_on_the_evaluations_answers(arena):
    metrics = metrics_of(arena)
    pixels = np.array(open_resized(arena.file("data/resized/test")).pixels)
    with np.load(arena.file("data/predictions.npz")) as saved:
        expected, labels = saved["probabilities"], saved["labels"]
    assert metrics["images"] == 20
    assert metrics["evaluate"]["largest_difference"] < 1e-5
    for name in ("onnx", "program", "int8"):
        path = arena.file(f"models/exported/{FORMATS[name]}")
        found = OPEN[name](path)(pixels)[0]
        assert metrics[name]["bytes"] == path.stat().st_size
        assert metrics[name]["accuracy_ci_low"] < metrics[name]["accuracy"] < metrics[name]["accuracy_ci_high"]
        if name != "int8":
            np.testing.assert_allclose(found, expected, atol=1e-5)
            assert metrics[name]["largest_difference"] < 1e-5
            assert metrics[name]["changed_answers"] == 0
        else:
            assert 1e-5 < np.abs(found - expected).max() < 0.2
            assert (found.argmax(1) == labels).mean() > 0.4
    assert metrics["int8"]["bytes"] < metrics["onnx"]["bytes"] / 3


def test_the_onnx_file_takes_any_number_of_pixels_of_one_size(arena):
    model = onnx.load(arena.file("models/exported/model.onnx"))
    assert [entry.version for entry in model.opset_import if not entry.domain] == [metrics_of(arena)["opset"]]
    (pixels,) = model.graph.input
    batch, *size = pixels.type.tensor_type.shape.dim
    assert batch.dim_param
    assert [each.dim_value for each in size] == [40, 40, 3]
    assert pixels.type.tensor_type.elem_type == onnx.TensorProto.UINT8


def test_the_same_inputs_give_the_same_bytes_and_no_path_is_in_them(arena):
    arena.run(export, **{**FILES[export], **OTHER})
    for option, path in OTHER.items():
        made = files_in(arena.file(path))
        assert made == files_in(arena.file(FILES[export][option]))
        for content in made.values():
            assert str(arena.folder).encode() not in content
            assert b"site-packages" not in content


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"formats": ["onnx"]}, "onnx differs from the model by .* export.tolerance = 0.0001; take"),
        ({"formats": ["onnx", "int8"], "int8_max_loss": 0.0}, "int8 loses .* export.int8_max_loss = 0.0; raise"),
    ],
)
def test_a_form_that_answers_otherwise_ends_the_stage_and_leaves_what_was(arena, monkeypatch, changes, words):
    last = changes["formats"][-1]
    plain = OPEN[last]
    monkeypatch.setitem(OPEN, last, lambda path: lambda pixels: (1 - plain(path)(pixels)[0], None))
    before = arena.digests()
    with pytest.raises(ExportError, match=words):
        arena.run(export, with_export(arena, **changes), **FILES[export])
    assert arena.digests() == before


def evaluated_otherwise(arena: Arena, change: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> dict[str, str]:
    """The stage's files, with other outputs, and predictions whose probabilities `change` makes of them and labels."""
    with np.load(arena.file("data/predictions.npz")) as saved:
        arrays = dict(saved)
    arrays["probabilities"] = change(arrays["probabilities"], arrays["labels"])
    np.savez(arena.file("otherwise.npz"), **arrays)
    return {**FILES[export], **outputs_in("otherwise", export), "predictions": "otherwise.npz"}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_evaluates_probabilities_are_the_models_in_float32_and_near_them_in_less(arena, monkeypatch, precision):
    card = export.load_card(arena.file("models/model.safetensors"))
    monkeypatch.setattr(export, "load_card", lambda _: replace(card, precision=precision))
    files = evaluated_otherwise(arena, lambda probabilities, _: probabilities + 0.001)
    parameters = with_export(arena, formats=[])
    if precision == "float32":
        with pytest.raises(
            ExportError, match=r"differs from evaluate's .* by 0\.001, .*export\.tolerance = 0\.0001; run"
        ):
            arena.run(export, parameters, **files)
    else:
        arena.run(export, parameters, **files)
        found = metrics_of(arena, files["metrics"])["evaluate"]
        assert found == {"largest_difference": pytest.approx(0.001, abs=1e-5), "changed_answers": 0}


def test_an_accuracy_that_is_not_evaluates_ends_the_stage(arena, monkeypatch):
    card = export.load_card(arena.file("models/model.safetensors"))
    monkeypatch.setattr(export, "load_card", lambda _: replace(card, precision="bfloat16"))
    files = evaluated_otherwise(arena, lambda _, labels: np.eye(3)[labels])
    before = arena.digests()
    with pytest.raises(ExportError, match=r"bfloat16 1\.0000 \(0\.\d+ to 1\.0000\); set train\.precision to float32"):
        arena.run(export, with_export(arena, formats=[]), **files)
    assert arena.digests() == before


def test_the_package_treats_images_of_the_test_splits_size_as_they_were(arena):
    """One of its images is larger than any training image."""
    shutil.copytree(arena.file("data/resized/test"), arena.file("larger"))
    with np.load(arena.file("larger/labels.npz")) as saved:
        arrays = dict(saved)
    arrays["sizes"][3] = 100, 90
    np.savez(arena.file("larger/labels.npz"), **arrays)
    files = {**FILES[export], **outputs_in("larger_out", export), "test": "larger"}
    arena.run(export, with_export(arena, formats=[]), **files)
    assert read_package(arena.file(files["exported"])).preparation.original_px == 90


def test_what_cannot_be_written_says_why(arena, monkeypatch):
    target = {**FILES[export], **outputs_in("reasons", export)}
    arena.run(export, with_export(arena, formats=["int8"]), **target)
    assert "made of the ONNX file, which there is not" in metrics_of(arena, target["metrics"])["int8"]["reason"]

    def depends_on_values(self: Program, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scale = 1.0 if pixels.float().mean() > 0 else 2.0
        return plain(self, pixels)[0] * scale, plain(self, pixels)[1]

    plain = Program.forward
    monkeypatch.setattr(Program, "forward", depends_on_values)
    arena.run(export, with_export(arena, formats=["onnx", "program"]), **target)
    metrics = metrics_of(arena, target["metrics"])
    assert metrics["onnx"] == metrics["program"]
    assert metrics["onnx"]["reason"].startswith("torch.export: ")
    assert not arena.file(f"{target['exported']}/model.onnx").exists()
