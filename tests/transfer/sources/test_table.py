"""Tables of images: columns, splits and groups, and what is wrong with a table in one line."""

import json
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
        ([{"photo": "a", "label": "b"}], {}, "no column has a usual name for the image; set download.columns.image"),
        ([{"path": "a", "kind": "b"}], {}, "no column has a usual name for the label; set download.columns.label"),
        ([{"path": "a", "label": "b"}], {"label": "lable"}, "download.columns.label = 'lable': the columns are"),
        ([{"path": "a", "label": "b", "split": "fold 1"}], {}, "row 2: split = 'fold 1': not train, val or test"),
        ([{"path": "in/digit 0/0.png", "label": "b"}], {}, "only class 'b'"),
        ([{"path;label": "a;b"}], {}, "its columns are separated by ';'; save it with commas, or tabs as .tsv"),
        ([{"path\tlabel": "a\tb"}], {}, r"its columns are separated by '\t'; save it with commas"),
        (
            [{"path": "a", "cat": "0", "dog": "1"}],
            {},
            "to one of path, cat, dog, or give one column of class names instead of a column for each class",
        ),
        ([{"path": "a"} | {f"c{n}": "0" for n in range(50)}], {}, "c9, c10 and 39 more, or give one column"),
        ([{"in/a.PNG": "in/b.png", "cat": "cat"}], {}, "'in/a.PNG' is no column's name; put a first line that names"),
        ([{"path": "a", "label": "['cat', 'dog']"}], {}, "row 2: label holds several labels; one label per image"),
        ([{"path": "a", "label": "b\tc"}], {}, r"'b\tc': a name that holds a tab, a line break or a control"),
        ([{"path": "a", "label": "b\nc"}], {}, r"'b\nc': a name that holds a tab, a line break or a control"),
        ([{"path": "a", "label": "b", "group": "c\nd"}], {}, r"'c\nd': a name that holds a tab, a line break"),
    ],
)
def test_a_wrong_table_is_one_line(tmp_path: Path, rows: list, columns: dict, complaint: str) -> None:
    write_folder(tmp_path / "in")
    wanted = Columns(**{**NO_COLUMNS.model_dump(), **columns})
    with pytest.raises(DataError) as caught:
        read(write_table(tmp_path / "t.csv", rows), tmp_path, wanted)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty; its first line must name the columns"),
        ("path,label,label\na,b,c\n", "column 'label' is there 2 times; keep one of them"),
    ],
)
def test_a_first_line_that_cannot_be_is_told(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=complaint):
        read(tmp_path / "t.csv", tmp_path)


def test_paths_as_windows_writes_them_are_found_and_one_with_a_backslash_in_its_name_is_itself(tmp_path: Path) -> None:
    write_folder(tmp_path / "in")
    (tmp_path / "in\\odd.png").write_bytes(encoded(pictures()[0][2]))
    rows = [{"path": f"in\\{label}\\{name}", "label": label} for label, name, _ in pictures()]
    table = write_table(tmp_path / "t.csv", [*rows, {"path": "in\\odd.png", "label": "digit 0"}])
    _, written, _ = read(table, tmp_path)
    assert (len(written.parts), written.damaged) == (13, [])


def test_several_labels_per_image_are_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "t.parquet", [b"x"], label=[["cat", "dog"]])
    with pytest.raises(DataError, match="row 2: label holds several labels; one label per image"):
        read(path, tmp_path)


@pytest.mark.parametrize("again", ["in/digit 0/0.png", "./in/digit 0/0.png", "in//digit 0/../digit 0/0.png"])
@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "categories.parquet"])
def test_a_path_with_two_labels_is_damage_wherever_it_is_listed(tmp_path: Path, again: str, ending: str) -> None:
    write_folder(tmp_path / "in")
    rows = [{"path": f"in/{label}/{name}", "label": label} for label, name, _ in pictures()]
    rows += [{"path": again, "label": "digit 1"}, {"path": "in/none.png", "label": "digit 1"}]
    if ending.endswith("parquet"):
        columns = {name: pa.array([row[name] for row in rows]) for name in ("path", "label")}
        if ending == "categories.parquet":
            columns = {name: column.dictionary_encode() for name, column in columns.items()}
        pq.write_table(pa.table(columns), tmp_path / f"t.{ending}")
    else:
        write_table(tmp_path / f"t.{ending}", rows)
    images, written, _ = read(tmp_path / f"t.{ending}", tmp_path)
    twice = "listed as 'digit 0' and as 'digit 1'"
    assert written.damaged[:2] == [("in/digit 0/0.png", twice), (again, twice)]
    assert [name for name, _ in written.damaged[2:]] == ["in/none.png"]
    assert "in/digit 0/0.png" not in images.names
    assert len(images.names) == 11


def test_an_image_twice_with_one_label_is_kept(tmp_path: Path) -> None:
    write_folder(tmp_path / "in")
    rows = [{"path": f"in/{label}/{name}", "label": label} for label, name, _ in pictures()]
    assert len(read(write_table(tmp_path / "t.csv", [*rows, rows[0]]), tmp_path)[0].names) == 13


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([1.0, 2.0, 10.0], ("1", "2", "10")),
        ([1.0, 2.5, 10.0], ("1", "2.5", "10")),
        (["1.0", "2.0", "10"], ("1", "2", "10")),
        ([True, False, False], ("False", "True")),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_whole_numbers_are_one_label_however_a_table_writes_them(
    tmp_path: Path, labels: list, names: tuple[str, ...], ending: str
) -> None:
    write_folder(tmp_path / "in")
    rows = [{"path": f"in/{label}/{name}", "label": labels[n % 3]} for n, (label, name, _) in enumerate(pictures())]
    if ending == "csv":
        write_table(tmp_path / "t.csv", rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    assert read(tmp_path / f"t.{ending}", tmp_path)[0].classes == names


@pytest.mark.parametrize(
    ("ending", "missing"), [("csv", ""), ("csv", "  "), ("csv", "nan"), ("parquet", float("nan")), ("parquet", None)]
)
def test_a_missing_label_is_damage_named_by_its_row(tmp_path: Path, ending: str, missing: object) -> None:
    write_folder(tmp_path / "in")
    rows: list[dict] = [{"path": f"in/{label}/{name}", "label": float(label[-1])} for label, name, _ in pictures()]
    rows[3]["label"] = missing
    if ending == "csv":
        write_table(tmp_path / "t.csv", rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    images, written, _ = read(tmp_path / f"t.{ending}", tmp_path)
    assert written.damaged == [("in/digit 0/27.png", f"t.{ending} row 5: label is empty")]
    assert images.classes == ("0", "1")


def test_numbers_as_groups_and_missing_groups_and_parts_are_taken_as_they_are_meant(tmp_path: Path) -> None:
    """As pandas writes a column of whole numbers in which one is missing."""
    images = [encoded(image) for _, _, image in pictures()[:4]]
    nan = float("nan")
    more = {"group": [1.0, 2.0, nan, None], "split": ["train", None, "test", "train"]}
    write_parquet(tmp_path / "t.parquet", images, label=["cat", "dog"] * 2, **more)
    found, _, _ = read(tmp_path / "t.parquet", tmp_path)
    assert found.groups.tolist() == ["1", "2", "", ""]
    assert found.parts.tolist() == ["train", "", "test", "train"]


def hugging_face(path: Path, columns: dict[str, list], features: dict[str, list[str]]) -> Path:
    named = {name: {"_type": "ClassLabel", "names": names} for name, names in features.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}, **named}}})}
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)
    return path


@pytest.mark.parametrize(
    ("wanted", "classes", "labels"),
    [
        (None, ("apple", "pear", "cow"), [0, 1, 2]),
        ("coarse_label", ("fruit", "animal"), [0, 0, 1]),
        ("fine_label", ("apple", "pear", "cow"), [0, 1, 2]),
        ("size", ("7", "9"), [1, 0, 0]),
    ],
)
@pytest.mark.parametrize("coarse_first", [True, False])
def test_class_names_are_those_of_the_label_column(
    tmp_path: Path, wanted: str | None, classes: tuple[str, ...], labels: list[int], coarse_first: bool
) -> None:
    columns = {
        "image": [encoded(image) for _, _, image in pictures()[:3]],
        "fine_label": [0, 1, 2],
        "coarse_label": [0, 0, 1],
        "size": [9, 7, 7],
    }
    features = {"fine_label": ["apple", "pear", "cow"], "coarse_label": ["fruit", "animal"]}
    if coarse_first:
        features = dict(reversed(features.items()))
    path = hugging_face(tmp_path / "t.parquet", columns, features)
    images, _, _ = read(path, tmp_path, Columns(image=None, label=wanted, part=None, group=None))
    assert (images.classes, images.labels.tolist()) == (classes, labels)


def test_tables_that_name_other_classes_are_refused(tmp_path: Path) -> None:
    columns = {"image": [encoded(pictures()[0][2])] * 2, "label": [0, 1]}
    hugging_face(tmp_path / "a.parquet", columns, {"label": ["cat", "dog"]})
    hugging_face(tmp_path / "b.parquet", columns, {"label": ["dog", "cat"]})
    with pytest.raises(DataError, match=r"b\.parquet: names other classes than .*a\.parquet"):
        read(tmp_path, tmp_path)


def test_damage_in_parquet_names_the_file_and_the_row(tmp_path: Path) -> None:
    for part in range(2):
        good = [encoded(image) for _, _, image in pictures()[:3]]
        images = [{"bytes": data, "path": None} for data in good] + [{"bytes": b"bad", "path": "x.png"}]
        images.append({"bytes": b"bad", "path": None})
        write_parquet(tmp_path / f"shard-{part}.parquet", images, label=["cat", "dog", "cat", "dog", "dog"])
    _, written, _ = read(tmp_path, tmp_path)
    assert [name for name, _ in written.damaged] == [
        f"shard-{part}.parquet row {row}" for part in range(2) for row in ("5 (x.png)", "6")
    ]


@pytest.mark.parametrize("deep", ["", "data", "default/partial"])
def test_a_folder_of_parquet_files_is_tables_at_any_depth(tmp_path: Path, deep: str) -> None:
    folder = tmp_path / "clone" / deep
    folder.mkdir(parents=True)
    (tmp_path / "clone/README.md").write_text("# A data set")
    (tmp_path / "clone/.git").mkdir()
    (tmp_path / "clone/.git/x.png").write_bytes(b"")
    for part in ("train", "test"):
        images = [encoded(image) for _, _, image in pictures()[:4]]
        write_parquet(folder / f"{part}-00000-of-00001.parquet", images, label=["cat", "dog"] * 2)
    images, _, listing = read(tmp_path / "clone", tmp_path)
    assert (listing.kind, images.parts.tolist()) == ("a table of images", ["test"] * 4 + ["train"] * 4)


def test_a_parquet_file_beside_photographs_hides_none(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    write_parquet(folder / "features.parquet", [b"x"], label=["cat"])
    images, _, listing = read(folder, tmp_path)
    assert (len(images.names), listing.ignored) == (12, {".parquet": 1})


@pytest.mark.parametrize("text", ["Käfer".encode("latin-1"), b'path,label\n"a,b\n', b"path,label\na,b,c\n"])
def test_a_table_that_is_no_table_is_named(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(text)
    with pytest.raises(DataError, match=r"t\.csv: "):
        read(tmp_path / "t.csv", tmp_path)


@pytest.mark.parametrize("before", [0, 7, 8191, 20_000, 300_000])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_the_byte_that_is_not_utf_8_is_counted_from_the_start_of_the_file(
    tmp_path: Path, before: int, mark: bytes
) -> None:
    start = mark + b"path,label\n" + b"a.png,cat\n" * (before // 10)
    (tmp_path / "t.csv").write_bytes(start + "Käfer,cat\n".encode("latin-1"))
    with pytest.raises(DataError, match=rf"not UTF-8 \(byte {len(start) + 2} is 0xe4\)"):
        read(tmp_path / "t.csv", tmp_path)


def test_a_label_that_is_none_of_the_named_classes_is_one_line(tmp_path: Path) -> None:
    images = [encoded(image) for _, _, image in pictures()[:2]]
    table = pa.table({"image": images, "label": ["cat", "cow"]})
    features = '{"info": {"features": {"label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}}}'
    pq.write_table(table.replace_schema_metadata({"huggingface": features}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="label 'cow' is none of the classes that the source names"):
        read(tmp_path / "t.parquet", tmp_path)
