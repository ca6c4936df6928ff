"""Tables at addresses: a path in one leads to the file beside it, whatever its letters and wherever the table lies."""

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import fsspec
import numpy as np
import pytest

from tests.transfer.sources.photos import encoded, pictures, read, write_folder, write_table
from transfer.sources.fetch import expand, file_name
from transfer.sources.table import is_table

ODD = [
    "0.png",
    "a b.png",
    "Käfer.png",
    "猫.png",
    "c#1.png",
    "d?x=1.png",
    "100%.png",
    "100%25.png",
    "e+f&g.png",
    "h[1].png",
]
FOLDER = "my tables/ä#1"


def write_odd_table(folder: Path) -> Path:
    """Odd names in a folder beside a table that lists them, in a folder of an odd name."""
    (folder / FOLDER / "im").mkdir(parents=True)
    (folder / FOLDER / "up").mkdir()
    for number, name in enumerate(ODD):
        (folder / FOLDER / "im" / name).write_bytes(encoded(pictures()[number][2]))
    ways = ["im/{}", "./im/{}", "up/../im/{}"]
    rows = [{"path": ways[number % 3].format(name), "label": f"class {number % 2}"} for number, name in enumerate(ODD)]
    return write_table(folder / FOLDER / "t.csv", rows)


def assert_all_come(address: str | Path, tmp_path: Path) -> None:
    images, written, _ = read(address, tmp_path)
    assert written.damaged == []
    assert len(images.names) == len(ODD)
    for index, (_, _, expected) in enumerate(pictures()[: len(ODD)]):
        np.testing.assert_array_equal(images.images[index], expected)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address at which the folder `served` is."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name it has in the base class)
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("asked", ["", "?signature=a/b.txt"])
def test_over_http(tmp_path: Path, served: str, asked: str) -> None:
    write_odd_table(tmp_path / "served")
    assert_all_come(f"{served}/{quote(FOLDER)}/t.csv{asked}", tmp_path)


def test_over_http_from_the_root_of_the_site_and_by_whole_addresses(tmp_path: Path, served: str) -> None:
    write_folder(tmp_path / "served/in")
    rows = [{"url": f"/in/{label}/{name}", "label": label} for label, name, _ in pictures()[:8]]
    rows += [{"url": f"{served}/in/{label}/{name}", "label": label} for label, name, _ in pictures()[8:10]]
    rows += [{"url": f"{served}/in/{quote(label)}/{name}", "label": label} for label, name, _ in pictures()[10:]]
    (tmp_path / "served/deep").mkdir()
    write_table(tmp_path / "served/deep/t.csv", rows)
    _, written, _ = read(f"{served}/deep/t.csv", tmp_path)
    assert (len(written.parts), written.damaged) == (12, [])


@pytest.mark.parametrize("is_address", [True, False])
def test_on_this_machine(tmp_path: Path, is_address: bool) -> None:
    path = write_odd_table(tmp_path / "here")
    assert_all_come(path.as_uri() if is_address else path, tmp_path)


def test_in_fsspecs_memory(tmp_path: Path) -> None:
    write_odd_table(tmp_path / "here")
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "here/my tables"), f"{tmp_path}/bucket/", recursive=True)
    assert_all_come(f"memory://{tmp_path}/bucket/my tables/ä#1/t.csv", tmp_path)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3 bucket on this machine, which s3:// addresses lead to."""
    server_of = pytest.importorskip("moto.server", reason="no S3 server without moto")
    pytest.importorskip("s3fs", reason="no s3:// without s3fs")
    boto3 = pytest.importorskip("boto3", reason="no bucket can be made without boto3")
    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    known = {"ACCESS_KEY_ID": "id", "SECRET_ACCESS_KEY": "secret", "ENDPOINT_URL": f"http://{host}:{port}"}
    for name, value in {**known, "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    boto3.client("s3").create_bucket(Bucket="photos")
    yield "s3://photos"
    server.stop()


def test_on_s3(tmp_path: Path, bucket: str) -> None:
    path = write_odd_table(tmp_path / "here")
    store = fsspec.filesystem("s3", skip_instance_cache=True)
    for file in [path, *(path.parent / "im").iterdir()]:
        store.put_file(str(file), f"{bucket}/{file.relative_to(tmp_path / 'here')}")
    assert_all_come(f"{bucket}/{FOLDER}/t.csv", tmp_path)
    assert_all_come(f"{bucket}/my tables/*/t.csv", tmp_path)


@pytest.mark.parametrize("name", ["a[1].csv", "b*.csv", "c?.csv"])
def test_what_is_there_is_no_pattern(tmp_path: Path, name: str) -> None:
    for one in (name, "a1.csv", "bx.csv", "cx.csv"):
        (tmp_path / one).touch()
    assert expand(str(tmp_path / name)) == [str(tmp_path / name)]
    memory = fsspec.filesystem("memory")
    for one in (name, "a1.csv", "bx.csv", "cx.csv"):
        memory.pipe(f"{tmp_path}/{one}", b"")
    assert expand(f"memory://{tmp_path}/{name}") == [f"memory://{tmp_path}/{name}"]


@pytest.mark.parametrize("folder", ["photos [1]", "100%", "ä b"])
def test_a_pattern_below_a_folder_of_any_name(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    for one in ("1.csv", "2.csv"):
        (tmp_path / folder / one).touch()
    expected = [str(tmp_path / folder / one) for one in ("1.csv", "2.csv")]
    assert expand(str(tmp_path / folder / "*.csv")) == expected
    assert expand(f"{(tmp_path / folder).as_uri()}/*.csv") == expected


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/a#b/c?d/t.csv", "t.csv"),
        ("https://host/a/t.csv?token=a/b.zip#part", "t.csv"),
        ("s3://bucket/a#b/t.CSV", "t.CSV"),
        ("t.csv", "t.csv"),
    ],
)
def test_a_table_is_known_by_the_end_of_its_path(address: str, name: str) -> None:
    assert file_name(address) == name
    assert is_table(address)
