"""export: each form answers as the model, what differs ends the stage, what cannot be written says why."""

import json

import numpy as np
import onnx
import pytest
import torch

from stages import export
from tests.stages.conftest import FILES, Arena, files_in, outputs_in
from transfer.data.resize import open_resized
from transfer.deployment.export import FILES as FORMATS
from transfer.deployment.export import OPEN
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
        ({"formats": ["onnx"], "tolerance": 1e-12}, "onnx differs from the model by .* export.tolerance = 1e-12; take"),
        ({"formats": ["onnx", "int8"], "int8_max_loss": 0.0}, "int8 loses .* export.int8_max_loss = 0.0; raise"),
    ],
)
def test_a_form_that_answers_otherwise_ends_the_stage_and_leaves_what_was(arena, monkeypatch, changes, words):
    if "int8" in changes["formats"]:
        plain = OPEN["int8"]
        monkeypatch.setitem(OPEN, "int8", lambda path: lambda pixels: (1 - plain(path)(pixels)[0], None))
    before = arena.digests()
    with pytest.raises(ExportError, match=words):
        arena.run(export, with_export(arena, **changes), **FILES[export])
    assert arena.digests() == before


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
