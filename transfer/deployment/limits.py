"""What the server takes: how much at once, how large, how slow; everything else is refused in one sentence."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

READ_OF_TOO_LONG = 5  # times the most bytes
FULL = "as many requests are being answered as can be; ask again in a second"
AGAIN = {"Retry-After": "1"}


@dataclass(frozen=True)
class Limits:
    """Of a request: bytes of its body, images in it, pixels of each, seconds to send it. Of all: requests being
    answered, bytes of their bodies, and images waiting. Of a run of the network: images, and seconds to wait for them.
    """

    bytes: int = 20 << 20
    files: int = 64
    pixels: int = 50_000_000
    body_s: float = 30
    requests: int = 128
    bytes_in_all: int = 256 << 20
    queue: int = 512
    batch: int = 16
    wait_s: float = 0.002


class Upload(NamedTuple):
    name: str
    content: bytes


def body_bytes(request: Request, limits: Limits) -> int | None:
    """The most bytes that the body of a request takes in memory, as far as it says; None if it does not."""
    if request.method in ("GET", "HEAD"):
        return 0
    stated = request.headers.get("content-length", "")
    return min(int(stated), limits.bytes) if stated.isdecimal() else None


async def read_uploads(request: Request, limits: Limits) -> list[Upload]:
    """The images of a request, whose `state.has_room` counts its bytes.

    Raises HTTPException: 408, 413, 415, 422 or 503.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    try:
        async with asyncio.timeout(limits.body_s):
            if kind == "multipart/form-data":
                uploads = await _form(request, limits)
            elif kind.startswith("image/") or kind in ("", "application/octet-stream"):
                content = b"".join([chunk async for chunk in _limited(request, limits)])
                uploads = [Upload("image", content)] if content else []
            else:
                raise HTTPException(
                    415, f"{kind}: send an image as the body, or a form (multipart/form-data) of images"
                )
    except ClientDisconnect:
        raise HTTPException(400, "the connection ended before the body did") from None  # which nobody reads
    except TimeoutError:
        raise HTTPException(408, f"the body took longer than {limits.body_s:g} seconds; send less at once") from None
    if not uploads:
        raise HTTPException(422, "no image in the request; send one as the body, or in a form's field `files`")
    return uploads


async def _limited(request: Request, limits: Limits) -> AsyncIterator[bytes]:
    """The body. Raises HTTPException 413 if it is too long, 503 if all together are; the rest is read, up to a point,
    and thrown away: most clients read no answer before they have sent everything.
    """
    total, room = 0, True
    async for chunk in request.stream():
        total += len(chunk)
        if total > READ_OF_TOO_LONG * limits.bytes:
            break
        room = room and (total > limits.bytes or request.state.has_room(len(chunk)))
        if room and total <= limits.bytes:
            yield chunk
    if total > limits.bytes:
        raise HTTPException(413, f"more than {limits.bytes:,} bytes; send smaller images, or fewer at once")
    if not room:
        raise HTTPException(503, FULL, AGAIN)


async def _form(request: Request, limits: Limits) -> list[Upload]:
    parser = MultiPartParser(request.headers, _limited(request, limits), max_files=limits.files, max_fields=0)  # type: ignore[arg-type]
    try:
        form: Any = await parser.parse()
    except MultiPartException as error:
        if "Too many files" in error.message:
            raise HTTPException(413, f"more than {limits.files} images; send fewer at once") from None
        raise HTTPException(422, f"not a readable form: {error.message}") from None
    try:
        uploads = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        return [Upload(each.filename or "image", await each.read()) for each in uploads]
    finally:
        await form.close()
