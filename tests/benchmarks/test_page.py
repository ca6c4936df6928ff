"""docs/performance/tables.md has a place for everything that the benchmarks write."""

import pytest

from benchmarks.figures import between_markers
from benchmarks.limits import TEXTS
from benchmarks.run import PAGE


@pytest.mark.parametrize("name", ["bench", "bench-large", *TEXTS])
def test_there_is_a_place_for_each_table(name: str) -> None:
    assert "tried" in between_markers(PAGE.read_text(encoding="utf-8"), name, "tried")
