"""After images were added to a data set, these alone are decoded and embedded, to the same bytes as all anew."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages import embed, resize
from tests.stages.conftest import Arena, files_in
from tests.transfer.sources.photos import encoded
from transfer.data.splits import Split, save_split
from transfer.runtime.parameters import check_parameters
from transfer.sources import images as canonical
from transfer.sources.images import EncodedImages

Grow = Callable[..., dict[str, bytes]]

BEFORE, AFTER = list(range(12)), [15, *range(0, 12, 2), 13, *range(1, 12, 2), 14]  # three more, in another order


def split_of_files(rows: list[int], labels: list[int]) -> Split:
    """PNG files of 30 × 20 pixels, each its own."""
    pictures = [np.random.default_rng(row).integers(0, 255, (30, 20, 3), np.uint8) for row in rows]
    content = [np.frombuffer(encoded(picture), np.uint8) for picture in pictures]
    ends = np.cumsum([len(one) for one in content])
    files = EncodedImages(np.concatenate(content), np.array([0, *ends[:-1]]), ends)
    texts = {name: np.full(len(rows), "") for name in ("names", "groups", "parts")}
    sizes = np.tile(np.array([30, 20], np.int32), (len(rows), 1))
    known: dict[str, Any] = {"sizes": sizes, "thumbnail_px": 96, "positions": np.array(rows), **texts}
    return Split(images=files, labels=np.array(labels), classes=("a", "b"), **known)


@pytest.fixture
def grow(arena: Arena, tmp_path: Path) -> Grow:
    """Resizes and embeds a data set with a state folder, and gives the bytes of what came out."""

    def run(rows: list[int], state: str, size_px: int = 40) -> dict[str, bytes]:
        parameters = {**arena.parameters, "resize": {**arena.parameters["resize"], "size_px": size_px}}
        out = tmp_path / "out"
        for name, own in (("train", rows[1:]), ("val", rows[:1] + rows[-3:-1])):
            save_split(tmp_path / f"{name}.npz", split_of_files(own, [row % 2 for row in own]))
            files = Namespace(split=tmp_path / f"{name}.npz", resized=out / name, state=tmp_path / state)
            resize.main(check_parameters(resize.Parameters, parameters), files)
        made = {"train_features": out / "train.npz", "val_features": out / "val.npz", "metrics": out / "embed.json"}
        read = {"train": out / "train", "val": out / "val", "backbone": arena.file("models/backbone.safetensors")}
        embed.main(check_parameters(embed.Parameters, parameters), Namespace(**read, **made, state=tmp_path / state))
        return files_in(out)

    return run


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many images were decoded, and how many the network saw, mirrored ones too."""
    found = {"decoded": 0, "embedded": 0}
    decode, run_over = canonical.decode, embed.run_over

    def counting_decode(content: np.ndarray) -> np.ndarray:
        found["decoded"] += 1
        return decode(content)

    def counting_run_over(*given: Any) -> Any:
        found["embedded"] += len(given[-1])
        return run_over(*given)

    monkeypatch.setattr(canonical, "decode", counting_decode)
    monkeypatch.setattr(embed, "run_over", counting_run_over)
    return found


def test_only_new_images_are_decoded_and_embedded(grow: Grow, counts: dict[str, int]) -> None:
    grow(BEFORE, "state")
    assert counts == {"decoded": 12, "embedded": 2 * 12}  # two of the three validation images are in training too
    counts.update(decoded=0, embedded=0)
    grown = grow(AFTER, "state")
    assert counts == {"decoded": 3, "embedded": 2 * 3}
    assert grown == grow(AFTER, "empty")


def test_another_parameter_or_a_damaged_state_makes_all_anew(
    grow: Grow, counts: dict[str, int], tmp_path: Path
) -> None:
    grow(BEFORE, "state")
    counts.update(decoded=0, embedded=0)
    larger = grow(BEFORE, "state", size_px=48)
    assert counts == {"decoded": 12, "embedded": 2 * 12}
    damaged = [*tmp_path.glob("state/resize/*/pixels.npy"), *tmp_path.glob("state/embed/*/*.npz")]
    assert len(damaged) == 2 + 4
    for path in damaged:
        content = path.read_bytes()[:-8]
        path.unlink()
        path.write_bytes(content)
    counts.update(decoded=0, embedded=0)
    assert grow(BEFORE, "state", size_px=48) == larger
    assert counts == {"decoded": 12, "embedded": 2 * 12}
