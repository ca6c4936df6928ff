"""Images on their way in: how much is held at once."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.transfer.sources.photos import encoded, read
from transfer.sources import items, rows
from transfer.sources.items import Item
from transfer.sources.seen import SeenImages


def noise(number: int, side: int = 200) -> bytes:
    return encoded(np.random.default_rng(number).integers(0, 255, (side, side, 3), np.uint8))


def test_encoded_files_are_held_up_to_a_number_of_bytes_and_not_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(noise(0))
    monkeypatch.setattr(items, "BYTES_AT_ONCE", 5 * size)
    started: list[int] = []

    def listed() -> Iterator[Item]:
        for number in range(40):
            yield Item(f"{number}.png", "cat", lambda number=number: started.append(number) or noise(number))

    for done, (item, data, shape, reason) in enumerate(items._checked(listed(), SeenImages())):
        assert (item.name, data, shape, reason) == (f"{done}.png", noise(done), (200, 200), "")
        assert len(started) - done <= 6
    assert len(started) == 40


def test_photographs_of_a_table_go_through_in_flat_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [noise(number) for number in range(120)]
    pq.write_table(pa.table({"image": images, "label": ["cat", "dog"] * 60}), tmp_path / "t.parquet", row_group_size=10)
    total = sum(map(len, images))
    del images
    monkeypatch.setattr(items, "BYTES_AT_ONCE", total // 12)
    monkeypatch.setattr(rows, "ROWS_AT_ONCE", 5)
    tracemalloc.start()
    read(tmp_path / "t.parquet", tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < total / 2
