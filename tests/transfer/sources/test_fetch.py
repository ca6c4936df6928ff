"""fetch: whole files, transfers that go on, servers in trouble, local paths and other schemes."""

from pathlib import Path

import pytest

from tests.transfer.sources.site import BODY, OTHER_BODY, PATIENCE_S, Site, get, refusal, serving
from transfer.sources.fetch import TRIES, fetch


def test_a_file_arrives_byte_for_byte(site: Site, tmp_path: Path) -> None:
    path = fetch(site.url, tmp_path / "deep" / "keep", PATIENCE_S)
    assert path.parent == tmp_path / "deep" / "keep"
    assert path.read_bytes() == BODY
    assert site.asked == [None]


@pytest.mark.parametrize("name", ["images.tar.gz", "with space and 100%.tar.gz", "ä#?%41.bin"])
def test_a_local_file_is_used_where_it_lies(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(BODY)
    keep = tmp_path / "keep"
    assert fetch(str(file), keep, PATIENCE_S) == file
    assert fetch(file.as_uri(), keep, PATIENCE_S) == file
    assert not keep.exists()


def test_a_path_is_taken_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "images.tar.gz").write_bytes(BODY)
    monkeypatch.chdir(tmp_path)
    assert get("images.tar.gz", tmp_path / "keep") == BODY


def test_a_missing_path_or_a_folder_is_refused(tmp_path: Path) -> None:
    for address in (f"{tmp_path}/none", f"file://{tmp_path}/none", str(tmp_path), tmp_path.as_uri()):
        assert "no such file; check the address" in refusal(address, tmp_path / "keep")


def test_a_dropped_transfer_goes_on_at_the_byte_where_it_stopped(site: Site, tmp_path: Path) -> None:
    def drop_the_first(site: Site) -> None:
        site.drop_after = 123_456 if len(site.asked) == 1 else None

    site.on_request = drop_the_first
    assert get(site.url, tmp_path) == BODY
    assert [asked for asked in site.asked if asked] == ["bytes=123456-"]


@pytest.mark.parametrize("ranges", ["ignored", "refused", "from the start"])
def test_a_server_that_does_not_go_on_from_a_byte_sends_it_all_again(site: Site, tmp_path: Path, ranges: str) -> None:
    def drop_the_first(site: Site) -> None:
        site.drop_after = 1000 if len(site.asked) == 1 else None

    site.ranges, site.on_request = ranges, drop_the_first
    assert get(site.url, tmp_path) == BODY
    assert "bytes=1000-" in site.asked


@pytest.mark.parametrize(
    "tags",
    [
        {"etag": '"first"'},
        {"etag": None, "last_modified": "Sun, 22 Nov 2026 10:00:00 GMT"},
        {"etag": 'W/"weak"', "last_modified": "Sun, 22 Nov 2026 10:00:00 GMT"},
        {"etag": 'W/"weak"'},
    ],
    ids=["etag", "date", "weak etag and date", "weak etag"],
)
def test_the_next_call_goes_on_where_a_failed_one_stopped(tmp_path: Path, tags: dict[str, str | None]) -> None:
    with serving(Site(drop_after=1000, **tags)) as site:  # pyright: ignore[reportArgumentType]
        assert f"not reached in {TRIES} tries" in refusal(site.url, tmp_path)
        site.drop_after, before = None, len(site.asked)
        assert get(site.url, tmp_path) == BODY
        assert site.asked[before:] == [None, "bytes=3000-"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"etag": '"first"'}, {"etag": '"second"'}),
        ({"etag": None, "last_modified": "yesterday"}, {"etag": None, "last_modified": "today"}),
        ({"etag": None}, {"etag": None}),
    ],
    ids=["etag", "date", "nothing to tell by"],
)
def test_part_of_an_older_file_is_not_continued(
    tmp_path: Path, old: dict[str, str | None], new: dict[str, str | None]
) -> None:
    with serving(Site(drop_after=1000, **old)) as site:  # pyright: ignore[reportArgumentType]
        refusal(site.url, tmp_path)
        site.body, site.drop_after, before = OTHER_BODY, None, len(site.asked)
        site.etag, site.last_modified = new["etag"], new.get("last_modified")
        assert get(site.url, tmp_path) == OTHER_BODY
        assert site.asked[before:] == [None]


def test_a_file_that_changes_between_two_requests_is_not_mixed(site: Site, tmp_path: Path) -> None:
    def change_before_the_rest(site: Site) -> None:
        site.drop_after = 1000 if len(site.asked) == 1 else None
        if site.asked[-1] is not None:
            site.body, site.etag = OTHER_BODY, '"second"'

    site.on_request = change_before_the_rest
    assert get(site.url, tmp_path) == OTHER_BODY


def test_a_complete_file_is_not_sent_again(site: Site, tmp_path: Path) -> None:
    first = fetch(site.url, tmp_path, PATIENCE_S)
    written_at = first.stat().st_mtime_ns
    assert fetch(site.url, tmp_path, PATIENCE_S) == first
    assert first.stat().st_mtime_ns == written_at
    assert site.asked == [None, None]


def test_a_complete_file_is_sent_again_if_nothing_tells_whether_it_changed(site: Site, tmp_path: Path) -> None:
    site.etag = None
    assert get(site.url, tmp_path) == BODY
    site.body = OTHER_BODY
    assert get(site.url, tmp_path) == OTHER_BODY


def test_two_addresses_are_kept_apart(site: Site, tmp_path: Path) -> None:
    assert get(site.url, tmp_path) == BODY
    site.body = OTHER_BODY
    assert get(site.url + "2", tmp_path) == OTHER_BODY
    assert get(site.url, tmp_path) == BODY


def test_a_file_of_unknown_length_can_be_fetched_twice(site: Site, tmp_path: Path) -> None:
    site.length = None
    assert get(site.url, tmp_path) == BODY
    assert get(site.url, tmp_path) == BODY


def test_an_empty_file_is_fetched(site: Site, tmp_path: Path) -> None:
    site.body = b""
    assert get(site.url, tmp_path) == b""


@pytest.mark.parametrize("stall", ["headers", "body"])
def test_a_server_that_stalls_is_given_up(site: Site, tmp_path: Path, stall: str) -> None:
    site.stall = stall
    assert "timed out" in refusal(site.url, tmp_path, timeout_s=0.1)
    assert not site.released.is_set()


@pytest.mark.parametrize("status", [404, 403, 410])
def test_an_address_that_the_server_does_not_have_is_not_tried_again(site: Site, tmp_path: Path, status: int) -> None:
    site.statuses = [status] * 9
    assert refusal(site.url, tmp_path) == f"{site.url}: the server answered {status}; check the address"
    assert len(site.asked) == 1


def test_a_server_in_trouble_is_asked_exactly_three_times(site: Site, tmp_path: Path) -> None:
    site.statuses = [500] * 9
    assert "not reached in 3 tries (HTTP Error 500" in refusal(site.url, tmp_path)
    assert len(site.asked) == 3


def test_a_server_that_recovers_gives_the_file(site: Site, tmp_path: Path) -> None:
    site.statuses = [500, 503]
    assert get(site.url, tmp_path) == BODY
    assert len(site.asked) == 3


def test_a_server_that_promises_more_than_it_sends_is_refused(site: Site, tmp_path: Path) -> None:
    site.length = len(BODY) + 10
    assert f"{len(BODY)} of {len(BODY) + 10} bytes came" in refusal(site.url, tmp_path)


def test_a_port_where_nobody_listens_is_refused(tmp_path: Path) -> None:
    with serving(Site()) as site:
        pass
    assert "not reached in 3 tries" in refusal(site.url, tmp_path)
