"""Pages have a place for everything that the benchmarks write, and figures are those of the files that they name."""

import json

import pytest

from benchmarks.figures import between_markers
from benchmarks.limits import TEXTS
from benchmarks.run import PAGE
from benchmarks.serving_page import PAGE as SERVING
from benchmarks.serving_page import RESULT, with_figures


@pytest.mark.parametrize("name", ["bench", "bench-large", *TEXTS])
def test_there_is_a_place_for_each_table(name: str) -> None:
    assert "tried" in between_markers(PAGE.read_text(encoding="utf-8"), name, "tried")


def test_use_the_model_has_the_figures_of_its_results() -> None:
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    page = SERVING.read_text(encoding="utf-8")
    assert with_figures(page, result) == page
    result["load"]["8"]["this server"]["p50_ms"]["median"] = 1234.5
    result["forms"]["2"]["model.onnx"]["images_per_s"]["median"] = 0.25
    changed = set(with_figures(page, result).splitlines()) - set(page.splitlines())
    assert {line.split()[0:2][1] for line in changed} == {"8", "`model.onnx`,"}
