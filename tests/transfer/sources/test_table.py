"""Tables of images: columns, splits and groups, and what is wrong with a table in one line."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.transfer.sources.photos import NO_COLUMNS, encoded, pictures, read, write_folder, write_parquet, write_table
from transfer.runtime.errors import DataError
from transfer.sources.table import Columns


def test_a_table_keeps_parts_and_groups_and_fetches_what_paths_name(tmp_path: Path) -> None:
    write_folder(tmp_path / "in")
    rows = [
        {"path": f"in/{label}/{name}", "label": label, "split": part, "Patient": f"p{index % 3}"}
        for index, ((label, name, _), part) in enumerate(zip(pictures(), ["train", "Test", "dev"] * 4, strict=True))
    ]
    images, _, _ = read(write_table(tmp_path / "t.csv", rows), tmp_path)
    assert images.parts.tolist() == ["train", "test", "val"] * 4
    assert images.groups.tolist() == ["p0", "p1", "p2"] * 4


@pytest.mark.parametrize(
    ("rows", "columns", "complaint"),
    [
        ([{"photo": "a", "label": "b"}], {}, "no column is named as one of images is; set download.columns.image"),
        ([{"path": "a", "kind": "b"}], {}, "no column is named as one of labels is; set download.columns.label"),
        ([{"path": "a", "label": "b"}], {"label": "lable"}, "download.columns.label = 'lable': the columns are"),
        ([{"path": "a", "label": ""}], {}, "row 2: label is empty"),
        ([{"path": "a", "label": "b", "split": "fold 1"}], {}, "row 2: split = 'fold 1': not train, val or test"),
        ([{"path": "in/digit 0/0.png", "label": "b"}], {}, "only class 'b'"),
    ],
)
def test_a_wrong_table_is_one_line(tmp_path: Path, rows: list, columns: dict, complaint: str) -> None:
    write_folder(tmp_path / "in")
    wanted = Columns(**{**NO_COLUMNS.model_dump(), **columns})
    with pytest.raises(DataError) as caught:
        read(write_table(tmp_path / "t.csv", rows), tmp_path, wanted)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_labels_per_image_are_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "t.parquet", [b"x"], label=[["cat", "dog"]])
    with pytest.raises(DataError, match="row 2: label holds several labels; one label per image"):
        read(path, tmp_path)


def test_a_path_with_two_labels_and_a_missing_file_are_damage(tmp_path: Path) -> None:
    write_folder(tmp_path / "in")
    rows = [{"path": f"in/{label}/{name}", "label": label} for label, name, _ in pictures()]
    rows += [{"path": "in/digit 0/0.png", "label": "digit 1"}, {"path": "in/none.png", "label": "digit 1"}]
    _, written, _ = read(write_table(tmp_path / "t.csv", rows), tmp_path)
    reasons = dict(written.damaged)
    assert reasons["in/digit 0/0.png"] == "listed as 'digit 0' and as 'digit 1'"
    assert set(reasons) == {"in/digit 0/0.png", "in/none.png"}


@pytest.mark.parametrize("text", ["Käfer".encode("latin-1"), b'path,label\n"a,b\n', b"path,label\na,b,c\n"])
def test_a_table_that_is_no_table_is_named(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(text)
    with pytest.raises(DataError, match=r"t\.csv: "):
        read(tmp_path / "t.csv", tmp_path)


def test_a_label_that_is_none_of_the_named_classes_is_one_line(tmp_path: Path) -> None:
    images = [encoded(image) for _, _, image in pictures()[:2]]
    table = pa.table({"image": images, "label": ["cat", "cow"]})
    features = '{"info": {"features": {"label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}}}'
    pq.write_table(table.replace_schema_metadata({"huggingface": features}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="label 'cow' is none of the classes that the source names"):
        read(tmp_path / "t.parquet", tmp_path)
