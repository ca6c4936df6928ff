"""Files that are there whole or not at all: success, a body that fails and a full disk, for files and folders;
strict JSON; tables; .npz files whose bytes depend on the arrays alone; what is refused when one is read.
"""

import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transfer.runtime.full_disk import files_limited_to
from transfer.runtime.errors import DataError
from transfer.runtime.files import open_arrays, sha256_of, whole, write_arrays, write_json, write_tsv


def fill(partial: Path, content: dict[str, str] | str) -> None:
    """Make a file of a text, or a folder of texts by name."""
    if isinstance(content, str):
        partial.write_text(content)
        return
    for name, text in content.items():
        (partial / name).parent.mkdir(parents=True, exist_ok=True)
        (partial / name).write_text(text)


def found(path: Path) -> dict[str, str] | str:
    if path.is_file():
        return path.read_text()
    return {str(file.relative_to(path)): file.read_text() for file in path.rglob("*") if file.is_file()}


OLD_AND_NEW = pytest.mark.parametrize(
    ("old", "new"),
    [("old", "new"), ({"a": "old", "b/c": "old"}, {"b/c": "new", "d": "new"})],
    ids=["file", "folder"],
)


@OLD_AND_NEW
def test_a_finished_output_replaces_the_old_one(
    tmp_path: Path, old: dict[str, str] | str, new: dict[str, str] | str
) -> None:
    path = tmp_path / "deep" / "output"
    for content in (old, new):
        with whole(path) as partial:
            fill(partial, content)
        assert found(path) == content
    assert list(path.parent.iterdir()) == [path]


@OLD_AND_NEW
@pytest.mark.parametrize("failure", [RuntimeError("fails"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_an_exception_leaves_the_old_output_and_nothing_else(
    tmp_path: Path, old: dict[str, str] | str, new: dict[str, str] | str, failure: BaseException
) -> None:
    path = tmp_path / "output"
    fill(path, old)

    def interrupted() -> None:
        with whole(path) as partial:
            fill(partial, new)
            raise failure

    with pytest.raises(type(failure)):
        interrupted()
    assert found(path) == old
    assert list(tmp_path.iterdir()) == [path]


def test_the_output_is_not_to_be_seen_before_it_is_whole(tmp_path: Path) -> None:
    with whole(tmp_path / "output") as partial:
        partial.write_text("half")
        assert not (tmp_path / "output").exists()
    assert (tmp_path / "output").read_text() == "half"


def test_what_a_killed_run_left_behind_is_swept_away(tmp_path: Path) -> None:
    with whole(tmp_path / "output") as partial:
        left_over = partial
        partial.write_text("new")
    fill(left_over, {"half": "written"})
    with whole(tmp_path / "output") as partial:
        partial.write_text("newer")
    assert found(tmp_path) == {"output": "newer"}


def test_a_body_that_writes_nothing_leaves_the_old_output(tmp_path: Path) -> None:
    (tmp_path / "output").write_text("old")
    with pytest.raises(FileNotFoundError), whole(tmp_path / "output"):
        pass
    assert found(tmp_path) == {"output": "old"}


@OLD_AND_NEW
def test_a_link_is_replaced_and_what_it_points_to_stays(
    tmp_path: Path, old: dict[str, str] | str, new: dict[str, str] | str
) -> None:
    fill(tmp_path / "cache", old)
    path = tmp_path / "output"
    path.symlink_to(tmp_path / "cache")
    with whole(path) as partial:
        fill(partial, new)
    assert not path.is_symlink()
    assert found(path) == new
    assert found(tmp_path / "cache") == old


def write_folder(path: Path) -> None:
    with whole(path) as partial:
        fill(partial, {"small": "fits", "large": "x" * 200_000})


@pytest.mark.parametrize(
    ("old", "write"),
    [
        ("{}", lambda path: write_json(path, {"text": "x" * 200_000})),
        ("a\n", lambda path: write_tsv(path, [{"text": "x" * 200_000}])),
        ("npz", lambda path: write_arrays(path, zeros=np.zeros(200_000))),
        ("npz", lambda path: write_arrays(path, fits=np.zeros(99_700, np.uint8), more=np.zeros(9))),
        ({"small": "old"}, write_folder),
    ],
    ids=["json", "tsv", "npz", "npz's end", "folder"],
)
def test_a_full_disk_leaves_the_old_output_and_nothing_else(
    tmp_path: Path, old: dict[str, str] | str, write: Callable[[Path], None]
) -> None:
    path = tmp_path / "output"
    fill(path, old)
    with pytest.raises(OSError, match="File too large"), files_limited_to(100_000):
        write(path)
    assert found(path) == old
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_json_refuses_what_is_no_number_and_keeps_the_old_file(tmp_path: Path, number: float) -> None:
    write_json(tmp_path / "metrics.json", {"accuracy": 0.5})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "metrics.json", {"accuracy": 0.6, "per_class": {"cat": [number]}})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"accuracy": 0.5}
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_json_comes_back_the_same(tmp_path: Path) -> None:
    content = {"b": 0.1, "a": {"ä": [1, None, True, "x\ny"]}, "tiny": 5e-324}
    write_json(tmp_path / "metrics.json", content)
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8")) == content
    assert (tmp_path / "metrics.json").read_bytes().endswith(b"}\n")


def test_a_table_has_a_header_and_a_line_a_row(tmp_path: Path) -> None:
    write_tsv(tmp_path / "table.tsv", [{"class": "cat", "f1": 0.5}, {"class": "Hündin", "f1": 1}])
    assert (tmp_path / "table.tsv").read_text(encoding="utf-8") == "class\tf1\ncat\t0.5\nHündin\t1\n"


def test_a_table_puts_values_under_their_own_header_whatever_the_order_of_keys(tmp_path: Path) -> None:
    write_tsv(tmp_path / "table.tsv", [{"actual": "cat", "predicted": "dog"}, {"predicted": "frog", "actual": "ship"}])
    assert (tmp_path / "table.tsv").read_text() == "actual\tpredicted\ncat\tdog\nship\tfrog\n"


ARRAYS = {
    "images": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    "labels": np.array([3, -1]),
    "classes": np.array(["cat", "fire truck"]),
    "none": np.zeros((0, 3), np.float32),
    "one": np.array(1.5),
}


def test_arrays_come_back_the_same(tmp_path: Path) -> None:
    write_arrays(tmp_path / "arrays.npz", **ARRAYS)
    with open_arrays(tmp_path / "arrays.npz", *ARRAYS) as read:
        for name, array in ARRAYS.items():
            assert read[name].dtype == array.dtype, name
            assert read[name].shape == array.shape, name
            assert np.array_equal(read[name], array), name


def test_equal_arrays_give_equal_bytes_whatever_the_clock_and_the_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_arrays(tmp_path / "first.npz", **ARRAYS)
    later = time.time() + 400 * 24 * 3600
    monkeypatch.setattr(time, "time", lambda: later)
    spread = np.zeros((2, 3, 8), np.uint8)
    spread[:, :, ::2] = ARRAYS["images"]
    for images in (ARRAYS["images"].copy(), np.asfortranarray(ARRAYS["images"]), spread[:, :, ::2]):
        write_arrays(tmp_path / "second.npz", **{**ARRAYS, "images": images})
        assert (tmp_path / "second.npz").read_bytes() == (tmp_path / "first.npz").read_bytes()


def test_other_arrays_give_other_bytes(tmp_path: Path) -> None:
    write_arrays(tmp_path / "first.npz", **ARRAYS)
    write_arrays(tmp_path / "second.npz", **{**ARRAYS, "one": np.array(1.25)})
    assert sha256_of(tmp_path / "first.npz") != sha256_of(tmp_path / "second.npz")


def assert_one_line(error: DataError) -> None:
    assert "\n" not in str(error)


def assert_refused(path: Path, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught, open_arrays(path, "labels") as arrays:
        arrays["labels"]
    assert str(path) in str(caught.value)
    assert_one_line(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path / "arrays.npz", "no such file; run the stage that writes it")


def test_a_file_that_lacks_an_array_is_refused(tmp_path: Path) -> None:
    write_arrays(tmp_path / "arrays.npz", images=ARRAYS["images"])
    assert_refused(tmp_path / "arrays.npz", "no array 'labels' in it")


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "arrays.npz"
    write_arrays(path, labels=np.arange(100))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert_refused(path, "not a readable .npz")


def test_a_file_that_is_no_npz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("<html>not found</html>\n" * 50)
    assert_refused(tmp_path / "text.npz", "not a readable .npz")
    with (tmp_path / "single.npz").open("wb") as stream:
        np.save(stream, np.arange(3))
    assert_refused(tmp_path / "single.npz", "one array, not several")


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, planted: Path) -> None:
        self.planted = planted

    def __reduce__(self) -> tuple:
        return Path.write_text, (self.planted, "executed")


def test_an_array_of_pickled_objects_is_refused_and_not_executed(tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    array = np.array([Malicious(planted)], dtype=object)
    np.savez(tmp_path / "arrays.npz", labels=array)
    assert_refused(tmp_path / "arrays.npz", "not a readable .npz")
    (tmp_path / "raw.npz").write_bytes(zipfile.Path(tmp_path / "arrays.npz", "labels.npy").read_bytes())
    assert_refused(tmp_path / "raw.npz", "not a readable .npz")
    assert not planted.exists()
    with pytest.raises(ValueError, match="allow_pickle"):
        write_arrays(tmp_path / "new.npz", labels=array)
    assert not (tmp_path / "new.npz").exists()


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of ARRAYS."""
    path = tmp_path_factory.mktemp("valid") / "arrays.npz"
    write_arrays(path, **ARRAYS)
    return path


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_changed_byte_is_refused_or_changes_nothing(valid: Path, data: st.DataObject) -> None:
    path = valid.with_name("changed.npz")
    content = bytearray(valid.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        with open_arrays(path, *ARRAYS) as read:
            for name, array in ARRAYS.items():
                assert np.array_equal(read[name], array), name
    except DataError as error:
        assert_one_line(error)
