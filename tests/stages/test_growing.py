"""After images were added to a data set, these alone are checked, decoded and embedded, to the same bytes as anew."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages import download, embed, resize
from tests.stages.conftest import Arena, files_in
from tests.transfer.sources.photos import encoded
from transfer.data.splits import Split, save_split
from transfer.runtime.errors import DataError
from transfer.runtime.parameters import check_parameters
from transfer.sources import images as canonical
from transfer.sources import seen
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
        made = {
            "train_features": out / "train.npz",
            "val_features": out / "val.npz",
            "metrics": out / "embed.json",
            "plots": out / "embed",
        }
        read = {"train": out / "train", "val": out / "val", "backbone": arena.file("models/backbone.safetensors")}
        embed.main(check_parameters(embed.Parameters, parameters), Namespace(**read, **made, state=tmp_path / state))
        return files_in(out)

    return run


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many images were decoded, and how many the network saw, mirrored ones too."""
    found = {"checked": 0, "decoded": 0, "embedded": 0}
    check_whole, decode, run_over = seen.check_whole, canonical.decode, embed.run_over

    def counting_check(content: bytes) -> tuple[int, int]:
        found["checked"] += 1
        return check_whole(content)

    def counting_decode(content: np.ndarray) -> np.ndarray:
        found["decoded"] += 1
        return decode(content)

    def counting_run_over(*given: Any) -> Any:
        found["embedded"] += len(given[-1])
        return run_over(*given)

    monkeypatch.setattr(seen, "check_whole", counting_check)
    monkeypatch.setattr(canonical, "decode", counting_decode)
    monkeypatch.setattr(embed, "run_over", counting_run_over)
    return found


def test_only_new_images_are_decoded_and_embedded(grow: Grow, counts: dict[str, int]) -> None:
    grow(BEFORE, "state")
    assert counts == {
        "checked": 0,
        "decoded": 12,
        "embedded": 2 * 12,
    }  # two of the three validation images are in training too
    counts.update(decoded=0, embedded=0)
    grown = grow(AFTER, "state")
    assert counts == {"checked": 0, "decoded": 3, "embedded": 2 * 3}
    assert grown == grow(AFTER, "empty")


def test_another_parameter_or_a_damaged_state_makes_all_anew(
    grow: Grow, counts: dict[str, int], tmp_path: Path
) -> None:
    grow(BEFORE, "state")
    counts.update(decoded=0, embedded=0)
    larger = grow(BEFORE, "state", size_px=48)
    assert counts == {"checked": 0, "decoded": 12, "embedded": 2 * 12}
    damaged = [*tmp_path.glob("state/resize/*/pixels.npy"), *tmp_path.glob("state/embed/*/*.npz")]
    assert len(damaged) == 2 + 4
    for path in damaged:
        content = path.read_bytes()[:-8]
        path.unlink()
        path.write_bytes(content)
    counts.update(decoded=0, embedded=0)
    assert grow(BEFORE, "state", size_px=48) == larger
    assert counts == {"checked": 0, "decoded": 12, "embedded": 2 * 12}


def write_photo(folder: Path, number: int) -> None:
    picture = np.random.default_rng(number).integers(0, 255, (30 + number, 20, 3), np.uint8)
    path = folder / f"{'ab'[number % 2]}/{number}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(picture))


@pytest.fixture
def fetch(arena: Arena, tmp_path: Path) -> Callable[[str], dict[str, bytes]]:
    """Downloads the folder `photos` with a state folder, and gives the bytes of what came out."""

    def run(state: str) -> dict[str, bytes]:
        out = tmp_path / "downloaded"
        changes = {"url": str(tmp_path / "photos"), "sha256": None}
        parameters = {**arena.parameters, "download": {**arena.parameters["download"], **changes}}
        made = {"images": out / "images.npz", "damaged": out / "damaged.tsv", "metrics": out / "download.json"}
        checked = check_parameters(download.Parameters, parameters)
        download.main(checked, Namespace(**made, state=tmp_path / state))
        return files_in(out)

    return run


def test_only_new_files_are_checked(
    fetch: Callable[[str], dict[str, bytes]], counts: dict[str, int], tmp_path: Path
) -> None:
    for number in range(12):
        write_photo(tmp_path / "photos", number)
    fetch("state")
    assert counts["checked"] == 12
    for number in (12, 13, 14):
        write_photo(tmp_path / "photos", number)
    (tmp_path / "photos/a/0.png").rename(tmp_path / "photos/b/renamed.png")
    broken = tmp_path / "photos/a/2.png"
    content = broken.read_bytes()
    broken.write_bytes(content[:-40])
    counts["checked"] = 0
    with pytest.raises(DataError, match="damaged images: 1 of 15"):
        fetch("state")
    assert counts["checked"] == 3 + 1
    broken.write_bytes(content)
    counts["checked"] = 0
    grown = fetch("state")
    assert counts["checked"] == 1, "what a refused run saw is known, what it did not see is not"
    assert grown == fetch("empty")


def test_a_damaged_memory_of_what_was_checked_is_none(
    fetch: Callable[[str], dict[str, bytes]], counts: dict[str, int], tmp_path: Path
) -> None:
    for number in range(4):
        write_photo(tmp_path / "photos", number)
    first = fetch("state")
    (memory,) = tmp_path.glob("state/download/*/*.npz")
    memory.write_bytes(memory.read_bytes()[:-200])
    counts["checked"] = 0
    assert fetch("state") == first
    assert counts["checked"] == 4
