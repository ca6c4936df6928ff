"""Bring a file from an address to this machine, in pieces if the line drops."""

import errno
import glob
import hashlib
import http.client
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any
from urllib.parse import quote, unquote, urlsplit

from transfer.runtime.errors import DownloadError
from transfer.runtime.files import CHUNK_BYTES, sync
from transfer.runtime.progress import Progress

TRIES = 3
FIRST_WAIT_S = 1.0  # doubled after each failed try
LEGAL = "%/:?#[]@!$&'()*+,;=~"  # in an http address; spaces and letters beyond ASCII are not
LOOPBACK = ("127.0.0.1", "::1", "localhost")
DISK_HERE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
BROKEN = (  # worth another try
    urllib.error.URLError,
    http.client.HTTPException,
    ssl.SSLError,
    ConnectionError,
    TimeoutError,
    EOFError,
)


def fetch(address: str, keep: Path, timeout_s: float) -> Path:
    """Return a local file with the bytes found at `address`.

    A plain path or `file://` address is used where it lies; anything else is read into the folder
    `keep`. Over http(s) a broken transfer is taken up where it stopped, within this call (three
    tries) and in the next one; other schemes go through fsspec. `timeout_s` bounds the wait for a
    connection and for each piece of data, not the whole transfer.

    Raises DownloadError. Whether the bytes are the right ones is for the caller to check; a file
    found to be wrong should be deleted, or the next call would find it complete.
    """
    if (masked := _masked(address)) != address:
        raise DownloadError(f"{masked}: holds a user or a password, which git would keep; give an address without")
    try:
        scheme, local = urlsplit(address).scheme, local_path(address)
        if local is not None:
            if not local.is_file():
                raise DownloadError(f"{address}: no such file; check the address")
            return local
        if scheme == "http" and not _is_safe(address):
            raise DownloadError(f"{address}: plain http is not used; give an https, file or local address")
        keep.mkdir(parents=True, exist_ok=True)
        return _in_several_tries(address, scheme, keep, timeout_s)
    except ValueError as error:  # of urllib, for this address or one that a server sends on to
        raise DownloadError(f"{address}: leads to something that is no address ({error}); check it") from None


def expand(address: str) -> list[str]:
    """The addresses that a pattern with *, ? or [ matches, sorted; what is there under this very name is itself.

    Raises DownloadError if there is none.
    """
    if urlsplit(address).scheme in ("http", "https") or not re.search(r"[*?\[]", address):
        return [address]
    local = local_path(address)
    if local is not None:
        folder = glob.escape(str(local.parent)) if local.parent.is_dir() else str(local.parent)
        found = [str(local)] if local.exists() else glob.glob(f"{folder}/{local.name}", recursive=True)  # noqa: PTH207
    else:
        import fsspec

        try:
            filesystem, pattern = fsspec.url_to_fs(address)
            paths = [pattern] if filesystem.exists(pattern) else filesystem.glob(pattern)
            found = [str(filesystem.unstrip_protocol(path)) for path in paths]
        except Exception as error:  # of any backend
            raise DownloadError(f"{address}: not listed ({_one_line(error)}); check address and credentials") from None
    if not found:
        raise DownloadError(f"{address}: no such file; check the pattern")
    return sorted(found)


def below(address: str, ending: str, timeout_s: float) -> list[str]:
    """The addresses of files with this ending, at any depth, if `address` is a folder elsewhere that fsspec lists."""
    if urlsplit(address).scheme in ("", "file", "http", "https"):
        return []
    import fsspec

    try:
        filesystem, folder = fsspec.url_to_fs(address, **_patience(address, timeout_s))
        paths = filesystem.find(folder) if filesystem.isdir(folder) else []
        return sorted(str(filesystem.unstrip_protocol(path)) for path in paths if path.lower().endswith(ending))
    except MemoryError:
        raise
    except Exception:  # of any backend: fetching the address says why
        return []


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _masked(address: str) -> str:
    """The address without what stands between its // and an @."""
    return re.sub(r"^([a-z][a-z0-9+.-]*:)?//[^/?#]*@", r"\1//***@", address, flags=re.IGNORECASE)


def local_path(address: str) -> Path | None:
    """The path on this machine that an address names, None for an address elsewhere.

    Raises DownloadError for what is no address.
    """
    try:
        scheme = urlsplit(address).scheme
    except ValueError as error:
        raise DownloadError(f"{address}: not an address ({error}); check it") from None
    if scheme not in ("", "file"):
        return None
    # Only file:// addresses are percent-encoded; in a plain path a % is a %.
    return Path(unquote(address.removeprefix("file://")) if scheme else address).expanduser()


def file_name(address: str) -> str:
    """The last part of an address; of http(s), without what is asked beside the path."""
    parts = urlsplit(address)
    return (parts.path if parts.scheme in ("http", "https") else address).rsplit("/", 1)[-1]


def _is_safe(address: str) -> bool:
    """Whether nobody on the way can change what comes: https, or http within this machine."""
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def _in_several_tries(address: str, scheme: str, keep: Path, timeout_s: float) -> Path:
    reason = ""
    for attempt in range(TRIES):
        try:
            if scheme in ("http", "https"):
                return _fetch_http(address, keep, timeout_s)
            return _fetch_other(address, keep, timeout_s)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise DownloadError(f"{address}: the server answered {error.code}; check the address") from None
            reason = str(error)
        except BROKEN as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        if attempt < TRIES - 1:
            time.sleep(FIRST_WAIT_S * 2**attempt)
    raise DownloadError(f"{address}: not reached in {TRIES} tries ({reason}); try again later or give a mirror")


def _fetch_other(address: str, keep: Path, timeout_s: float) -> Path:
    import fsspec  # only for addresses such as s3://..., which most runs do not have

    target = keep / hashlib.sha256(address.encode()).hexdigest()[:16]
    try:
        filesystem, path = fsspec.url_to_fs(address, **_patience(address, timeout_s))
        filesystem.get_file(path, str(target))
    except MemoryError:
        raise
    except Exception as error:  # each backend has errors of its own
        if isinstance(error, OSError) and error.errno in DISK_HERE:
            raise
        raise DownloadError(
            f"{address}: {_one_line(error)}; check its name, credentials and endpoint, or give a path or https address"
        ) from None
    if target.is_dir():  # made of a folder; asking for it before would cost a request a file
        target.rmdir()
        raise DownloadError(f"{address}: a folder without Parquet files; fetch it, and give the folder here")
    return target


def _patience(address: str, timeout_s: float) -> dict[str, Any]:
    """What a backend is told of timeouts; one that is not asked for here has its own."""
    if not address.startswith("s3://"):
        return {}
    waits = {"connect_timeout": timeout_s, "read_timeout": timeout_s, "retries": {"total_max_attempts": 1}}
    return {"config_kwargs": waits}


def _fetch_http(address: str, keep: Path, timeout_s: float) -> Path:
    response = _get(address, timeout_s)
    # What the server says of the file names the partial copy, so that a copy of an older version
    # is never continued with the bytes of a newer one.
    said = [response.headers.get(name, "") for name in ("ETag", "Last-Modified", "Content-Length")]
    partial = keep / hashlib.sha256("\n".join([address, *said]).encode()).hexdigest()[:16]
    total = int(said[2]) if said[2].isdecimal() else None
    # Without either tag nobody can tell whether the file changed since, without a length whether it came whole.
    have = partial.stat().st_size if partial.exists() and total is not None and any(said[:2]) else 0
    if have > 0:
        response.close()
        if have == total:
            return partial
        response = _get_rest(address, timeout_s, partial, _validator(*said[:2]))
    if response.status != 206:
        have = 0
    with (
        response,
        partial.open("ab" if have else "wb") as stream,
        Progress(total=total, initial=have, unit="B", unit_scale=True, desc="download") as progress,
    ):
        while piece := response.read1(CHUNK_BYTES):
            stream.write(piece)
            progress.update(len(piece))
        stream.flush()
        have = stream.tell()
    sync(partial)
    if total is not None and have != total:
        if have > total:
            partial.unlink()
        raise EOFError(f"{have} of {total} bytes came")
    return partial


def _validator(etag: str, last_modified: str) -> str:
    """What If-Range may hold: a weak tag does not promise equal bytes."""
    return etag if etag and not etag.startswith("W/") else last_modified


def _get_rest(address: str, timeout_s: float, partial: Path, validator: str) -> http.client.HTTPResponse:
    """Ask for what `partial` lacks; the answer may be the whole file (status 200) all the same.

    Raises EOFError, with `partial` deleted, if the server has no such rest.
    """
    have = partial.stat().st_size
    condition = {"If-Range": validator} if validator else {}
    try:
        response = _get(address, timeout_s, {"Range": f"bytes={have}-", **condition})
        if response.status != 206 or response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            return response
        response.close()
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
    partial.unlink()
    raise EOFError(f"the server does not go on from byte {have}")


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but never to plain http over a network, nor from https to any http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not _is_safe(newurl) or (req.type == "https" and urlsplit(newurl).scheme != "https"):
            raise DownloadError(
                f"{req.full_url}: redirected to {_masked(newurl)}, which is not https; give another address"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _get(address: str, timeout_s: float, more: Mapping[str, str] = MappingProxyType({})) -> http.client.HTTPResponse:
    headers = {"User-Agent": "transfer", "Accept-Encoding": "identity", **more}
    request = urllib.request.Request(quote(address, safe=LEGAL), headers=headers)
    return urllib.request.build_opener(_SecureRedirects).open(request, timeout=timeout_s)
