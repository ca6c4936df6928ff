"""A web site on this machine that serves, stalls, drops and redirects as a test asks."""

import contextlib
import os
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from transfer.runtime.errors import DownloadError
from transfer.sources.fetch import fetch

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
