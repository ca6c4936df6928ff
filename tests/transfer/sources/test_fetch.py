"""Fetching a file against real servers on 127.0.0.1: local addresses, whole and broken transfers, resuming within
a call and across calls, files that change meanwhile, servers that stall, refuse or lie, and what is never followed.
"""

import contextlib
import datetime
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import transfer.sources.fetch
from transfer.runtime.errors import DownloadError
from transfer.sources.fetch import TRIES, fetch

BODY = os.urandom(300_000)
OTHER_BODY = os.urandom(300_000)
PATIENCE_S = 20  # far above what any test needs: none waits for it unless it fails


@dataclass
class Site:
    """What a test server does, and what it was asked."""

    body: bytes = BODY
    etag: str | None = '"first"'
    last_modified: str | None = None
    length: int | None = -1  # Content-Length; -1: the body's own, None: no such header
    ranges: str = "honoured"  # or "ignored", "refused" (416), "from the start"
    statuses: list[int] = field(default_factory=list)  # answers to the first requests
    location: str = ""  # for redirects
    drop_after: int | None = None  # bytes of the body after which each connection is dropped
    garble_after: int | None = None  # bytes of the body after which what is sent is no longer TLS, once
    stall: str = ""  # "headers" or "body": what never comes
    on_request: Callable[["Site"], None] = lambda _: None
    asked: list[str | None] = field(default_factory=list)  # the Range header of each request
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    """Answers GET as its server's site says."""

    site: Site

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name it has in the base class)
        pass

    def do_GET(self) -> None:
        site = self.site
        site.asked.append(self.headers.get("Range"))
        site.on_request(site)
        if site.stall == "headers":
            site.released.wait(PATIENCE_S)
            return
        if len(site.asked) <= len(site.statuses) and (status := site.statuses[len(site.asked) - 1]) != 200:
            self.send_response(status)
            if site.location:
                self.send_header("Location", site.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        with contextlib.suppress(OSError):  # the client may have gone
            self.answer(site, self.first_byte(site))

    def first_byte(self, site: Site) -> int:
        """The first byte asked for, if the site honours that."""
        asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
        if asked is None or site.ranges == "ignored" or condition not in (None, site.etag, site.last_modified):
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def answer(self, site: Site, start: int) -> None:
        if start >= len(site.body) > 0 or (start and site.ranges == "refused"):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            start = 0 if site.ranges == "from the start" else start
            self.send_header("Content-Range", f"bytes {start}-{len(site.body) - 1}/{len(site.body)}")
        for name, value in (("ETag", site.etag), ("Last-Modified", site.last_modified)):
            if value:
                self.send_header(name, value)
        if site.length is not None:
            self.send_header("Content-Length", str((len(site.body) if site.length < 0 else site.length) - start))
        self.end_headers()
        self.send_body(site, site.body[start:])

    def send_body(self, site: Site, rest: bytes) -> None:
        if site.stall == "body":
            self.wfile.write(rest[:1000])
            site.released.wait(PATIENCE_S)
        elif site.garble_after is not None:
            self.wfile.write(rest[: site.garble_after])
            os.write(self.connection.fileno(), b"this is no TLS record" * 100)
            site.garble_after = None
        else:
            self.wfile.write(rest if site.drop_after is None else rest[: site.drop_after])


@contextlib.contextmanager
def serving(site: Site, tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    """Serve `site` on a free port of 127.0.0.1; `site.url` is a file's address there."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("SiteHandler", (Handler,), {"site": site}))
    server.daemon_threads = True
    # Broken connections are what is tested; their tracebacks say nothing.
    server.handle_error = lambda request, client_address: None
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    site.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}/images.tar.gz"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        site.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as running:
        yield running


@pytest.fixture(autouse=True)
def _quick_and_direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer.sources.fetch, "FIRST_WAIT_S", 0.01)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts that connections are opened to; none but this machine is reached."""
    opened: list[str] = []
    connect = socket.create_connection

    def create_connection(address: tuple[str, int], *args: object, **kwargs: object) -> socket.socket:
        opened.append(address[0])
        if address[0] != "127.0.0.1":
            raise ConnectionRefusedError(f"{address[0]} is not to be reached")
        return connect(address, *args, **kwargs)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(socket, "create_connection", create_connection)
    return opened


def get(address: str, keep: Path) -> bytes:
    return fetch(address, keep, timeout_s=PATIENCE_S).read_bytes()


def refusal(address: str, keep: Path, timeout_s: float = PATIENCE_S) -> str:
    """The one line in which an address is refused."""
    with pytest.raises(DownloadError) as caught:
        fetch(address, keep, timeout_s)
    message = str(caught.value)
    assert address in message
    assert "\n" not in message
    return message


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


@pytest.mark.parametrize("address", ["http://192.0.2.1/a", "HTTP://192.0.2.1/a", "http://localhost.example/a"])
def test_plain_http_over_a_network_is_refused_without_a_request(tmp_path: Path, hosts: list[str], address: str) -> None:
    assert "plain http is not used" in refusal(address, tmp_path)
    assert hosts == []


@pytest.mark.parametrize(
    "address", ["http://[", "http://[x]/", "https://a..example/", "https://", "http://127.0.0.1:port/", "gopher://a/b"]
)
def test_what_is_no_address_is_refused(tmp_path: Path, address: str) -> None:
    refusal(address, tmp_path)


def test_an_address_with_letters_that_http_does_not_allow_is_refused(site: Site, tmp_path: Path) -> None:
    refusal(f"{site.url}/ä", tmp_path)
    refusal(f"{site.url}/a b", tmp_path)
    assert site.asked == []


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


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key."""
    pytest.importorskip("cryptography", reason="no certificate for a TLS server can be made without cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    today = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=2))
        .not_valid_after(today + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


@pytest.mark.usefixtures("trusted")
def test_https_is_used(tmp_path: Path, tls: ssl.SSLContext) -> None:
    with serving(Site(), tls) as site:
        assert get(site.url, tmp_path) == BODY


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path, tls: ssl.SSLContext) -> None:
    with serving(Site(), tls) as site:
        assert "CERTIFICATE_VERIFY_FAILED" in refusal(site.url, tmp_path)
        assert site.asked == []


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


def test_an_address_of_another_scheme_goes_through_fsspec(tmp_path: Path) -> None:
    import fsspec

    with fsspec.open("memory://images/archive.tar.gz", "wb") as stream:
        stream.write(BODY)  # pyright: ignore[reportAttributeAccessIssue]
    assert get("memory://images/archive.tar.gz", tmp_path / "keep") == BODY
    assert "give an https, file or local address" in refusal("memory://images/none", tmp_path / "keep")
