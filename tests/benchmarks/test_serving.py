"""Every form and every system is measured, against the right one, and a server that refuses is told."""

from pathlib import Path

import pytest

from benchmarks import load
from benchmarks.forms import REFERENCE, measure_forms
from benchmarks.held_out import divided
from benchmarks.serving import TEXTS
from tests.stages.conftest import Arena
from tests.stages.conftest import arena as arena  # a fixture
from tests.transfer.deployment.server import write_package
from transfer.deployment.export import FILES
from transfer.runtime.errors import DataError, ParameterError
from transfer.sources.images import load_images

pytestmark = pytest.mark.slow


def test_each_form_is_measured_against_torch(arena: Arena) -> None:
    found = measure_forms(arena.file("models/classifier"), 1, 1, 0.01)
    assert list(found) == [REFERENCE, "torch bfloat16", *FILES.values()]
    for own in found.values():
        rate = own["images_per_s"]["median"]
        assert own["times_torch"]["median"] == pytest.approx(rate / found[REFERENCE]["images_per_s"]["median"])
    assert len(TEXTS["forms"]({"1": found}).splitlines()) == 2 + len(found)


def test_the_server_and_a_plain_handler_are_measured_in_turn(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "WARM_S", 0.1)
    found = load.compare(arena.file("models/classifier"), (1, 2), 1, 0.3)
    assert list(found) == ["1", "2"]
    for systems in found.values():
        assert list(systems) == list(load.SYSTEMS)
        for own in systems.values():
            assert 0 < own["p50_ms"]["median"] <= own["p99_ms"]["median"]
            assert own["images_per_s"]["median"] > 0
        assert systems[load.SERVER]["p99_ms"]["over_server"]["median"] == 1
    assert len(TEXTS["load"](found).splitlines()) == 2 + 2 * len(load.SYSTEMS)


def test_what_does_not_answer_is_told(tmp_path: Path) -> None:
    package = write_package(tmp_path / "package")
    (package / "model.onnx").unlink()
    with (
        pytest.raises(DataError, match=r"commands\.serve: does not answer: error: .*model\.onnx"),
        load.serving("commands.serve", package),
    ):
        pass


def test_classes_that_are_held_out_are_in_no_split_and_their_test_images_are_kept(arena: Arena) -> None:
    images, _ = load_images(arena.file("data/raw/images.npz"))
    known, held_out = divided(images, ["bird"])
    assert known.classes == ("airplane", "cat")
    names = [images.classes[label] for label in images.labels if images.classes[label] != "bird"]
    assert [known.classes[label] for label in known.labels] == names
    bird = images.labels == images.classes.index("bird")
    assert len(held_out.labels) == (bird & (images.parts == "test")).sum() > 0
    assert {images.classes[label] for label in held_out.labels} == {"bird"}
    with pytest.raises(ParameterError, match="--classes dolphin: no such class; there are airplane, bird, cat"):
        divided(images, ["dolphin"])
