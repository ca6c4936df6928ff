"""fetch: no plain http over a network, no password shown, redirects followed where they are safe, TLS."""

import errno
import socket
import ssl
from pathlib import Path

import pytest

from tests.transfer.sources.site import BODY, OTHER_BODY, PATIENCE_S, Site, get, refusal, serving
from transfer.runtime.errors import DownloadError
from transfer.sources.fetch import fetch
from transfer.sources.reader import Source, open_source
from transfer.sources.table import Columns


@pytest.mark.parametrize("address", ["http://192.0.2.1/a", "HTTP://192.0.2.1/a", "http://localhost.example/a"])
def test_plain_http_over_a_network_is_refused_without_a_request(tmp_path: Path, hosts: list[str], address: str) -> None:
    assert "plain http is not used" in refusal(address, tmp_path)
    assert hosts == []


@pytest.mark.parametrize(
    "address", ["http://[", "http://[x]/", "https://a..example/", "https://", "http://127.0.0.1:port/", "gopher://a/b"]
)
def test_what_is_no_address_is_refused(tmp_path: Path, address: str) -> None:
    refusal(address, tmp_path)


@pytest.mark.parametrize("address", ["https://[bad/x.zip", "https://[bad/x.csv", "s3://[bad/x.csv"])
def test_what_is_no_address_is_refused_as_a_source_too(tmp_path: Path, address: str) -> None:
    source = Source(address, None, Columns(image=None, label=None, part=None, group=None), "fine", tmp_path, 1)
    with pytest.raises(DownloadError, match="not an address"), open_source(source):
        pass


def test_an_endpoint_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs", reason="no S3 without s3fs")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        at = f"http://127.0.0.1:{silent.getsockname()[1]}"
        known = {"AWS_ENDPOINT_URL": at, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        for name, value in known.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(DownloadError, match=r"s3://bucket/x\.zip: Read timeout"):
            fetch("s3://bucket/x.zip", tmp_path, 0.2)


@pytest.mark.parametrize("letters", ["ä", "a b", "a%20b", "猫", "a\r\nX-Header: 1"])
def test_letters_that_http_does_not_allow_are_encoded(site: Site, tmp_path: Path, letters: str) -> None:
    assert get(f"{site.url}/{letters}", tmp_path) == BODY
    assert site.asked == [None]


@pytest.mark.parametrize(
    "address",
    [
        "https://user:hunter2@127.0.0.1/a",
        "HTTPS://hunter2@127.0.0.1/a",
        "http://user:hunter2@192.0.2.1/a",
        "https://user:hunter2@[x]/a",
        "https://user:a@hunter2@127.0.0.1:port/",
        "ftp://user:hunter2@127.0.0.1/a",
        "//user:hunter2@127.0.0.1/a",
    ],
)
def test_an_address_with_a_password_is_refused_without_a_request_or_the_password(
    tmp_path: Path, hosts: list[str], address: str
) -> None:
    with pytest.raises(DownloadError, match=r"//\*\*\*@.*: holds a user or a password") as caught:
        fetch(address, tmp_path, PATIENCE_S)
    assert "hunter2" not in str(caught.value)
    assert hosts == []


def test_a_password_that_a_server_sends_on_to_is_not_shown(site: Site, tmp_path: Path) -> None:
    site.statuses, site.location = [302] * 9, "http://user:hunter2@192.0.2.1/a"
    message = refusal(site.url, tmp_path)
    assert "redirected to http://***@192.0.2.1/a" in message
    assert "hunter2" not in message


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_within_this_machine_is_followed(site: Site, tmp_path: Path, status: int) -> None:
    with serving(Site(body=OTHER_BODY)) as target:
        site.statuses, site.location = [status], target.url
        assert get(site.url, tmp_path) == OTHER_BODY


@pytest.mark.parametrize("location", ["http://192.0.2.1/a", "ftp://127.0.0.1/a", "//192.0.2.1/a"])
def test_a_redirect_to_plain_http_or_ftp_over_a_network_is_not_followed(
    site: Site, tmp_path: Path, hosts: list[str], location: str
) -> None:
    site.statuses, site.location = [302] * 9, location
    assert "which is not https" in refusal(site.url, tmp_path)
    assert hosts == ["127.0.0.1"]


@pytest.mark.parametrize("location", ["http://[", "file:///etc/passwd", "http://127.0.0.1:port/", ""])
def test_a_redirect_to_nowhere_is_refused(site: Site, tmp_path: Path, location: str) -> None:
    site.statuses, site.location = [302] * 9, location
    refusal(site.url, tmp_path)


def test_a_redirect_in_a_circle_is_refused(site: Site, tmp_path: Path) -> None:
    site.statuses, site.location = [302] * 99, site.url
    assert "the server answered 302" in refusal(site.url, tmp_path)


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path, tls: ssl.SSLContext) -> None:
    with serving(Site(), tls) as site:
        assert "CERTIFICATE_VERIFY_FAILED" in refusal(site.url, tmp_path)
        assert site.asked == []


def test_an_address_of_another_scheme_goes_through_fsspec(tmp_path: Path) -> None:
    import fsspec

    with fsspec.open("memory://images/archive.tar.gz", "wb") as stream:
        stream.write(BODY)  # pyright: ignore[reportAttributeAccessIssue]
    assert get("memory://images/archive.tar.gz", tmp_path / "keep") == BODY
    assert "check its name, credentials and endpoint" in refusal("memory://images/none", tmp_path / "keep")
    assert "a folder without Parquet files" in refusal("memory://images", tmp_path / "keep")


@pytest.mark.usefixtures("trusted")
def test_https_is_used(tmp_path: Path, tls: ssl.SSLContext) -> None:
    with serving(Site(), tls) as site:
        assert get(site.url, tmp_path) == BODY


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
def test_a_redirect_from_https_to_http_is_not_followed(
    site: Site, tmp_path: Path, tls: ssl.SSLContext, scheme: str
) -> None:
    with serving(Site(statuses=[302] * 9, location=site.url), tls) as secure:
        assert "which is not https" in refusal(secure.url.replace("https", scheme), tmp_path)
        assert len(secure.asked) == 1
    assert site.asked == []


@pytest.mark.usefixtures("trusted")
def test_a_redirect_from_http_here_to_https_is_followed(site: Site, tmp_path: Path, tls: ssl.SSLContext) -> None:
    with serving(Site(body=OTHER_BODY), tls) as secure:
        site.statuses, site.location = [302], secure.url
        assert get(site.url, tmp_path) == OTHER_BODY


@pytest.mark.usefixtures("trusted")
def test_an_encrypted_connection_that_breaks_is_tried_again(tmp_path: Path, tls: ssl.SSLContext) -> None:
    with serving(Site(garble_after=100_000), tls) as site:
        assert get(site.url, tmp_path) == BODY
        assert len(site.asked) > 1


class NoCredentialsError(Exception):
    """As botocore's, which is no OSError."""


@pytest.mark.parametrize(
    "error",
    [
        NoCredentialsError("Unable to locate\n credentials"),
        PermissionError("Access Denied"),
        ConnectionError("dead endpoint"),
        TimeoutError(),
        ImportError("Install s3fs to access S3"),
        RuntimeError("Bucket?"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_backends_own_errors_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    told = refusal_of_backend(error, tmp_path, monkeypatch)
    assert told.startswith("memory://bucket/a: ")
    assert "\n" not in told
    assert " ".join(str(error).split()) in told
    assert "credentials and endpoint" in told


def test_a_disk_that_is_full_here_is_not_the_addresss_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="No space"):
        refusal_of_backend(OSError(errno.ENOSPC, "No space left on device"), tmp_path, monkeypatch)


def refusal_of_backend(error: Exception, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The line with which an address is refused whose backend raises an error."""
    from fsspec.implementations.memory import MemoryFileSystem

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(MemoryFileSystem, "get_file", fail)
    return refusal("memory://bucket/a", folder / "keep")
