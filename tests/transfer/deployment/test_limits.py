"""What a request may hold, and how long it may take: bodies that do not state their length count by what has come."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import HTTPException, Request

from transfer.deployment.counters import Counters
from transfer.deployment.limits import Limits, Upload, read_uploads


def test_a_piece_for_which_there_is_no_room_is_503():
    counters, limits = Counters(), Limits(bytes=100)

    async def ask(pieces: list[bytes], has_room: Callable[[int], bool]) -> list[Upload]:
        messages = [{"type": "http.request", "body": each, "more_body": True} for each in pieces]
        messages = iter([*messages, {"type": "http.request"}])

        async def receive() -> Any:
            return next(messages)

        scope: Any = {"type": "http", "method": "POST", "headers": [], "state": {"has_room": has_room}}
        return await read_uploads(Request(scope, receive), limits)

    with counters.one_more(None, 150) as first, counters.one_more(None, 150) as second:
        assert asyncio.run(ask([b"a" * 40] * 2, first))[0].content == b"a" * 80
        assert counters.bytes == 80
        with pytest.raises(HTTPException) as refused:
            asyncio.run(ask([b"b" * 40] * 2, second))
        assert (refused.value.status_code, counters.bytes) == (503, 120)
    assert (counters.active, counters.bytes) == (0, 0)


def test_a_body_that_takes_too_long_is_408():
    async def receive() -> Any:
        await asyncio.sleep(60)

    scope: Any = {"type": "http", "method": "POST", "headers": [], "state": {"has_room": lambda _: True}}
    with pytest.raises(HTTPException) as refused:
        asyncio.run(read_uploads(Request(scope, receive), Limits(body_s=0.05)))
    assert (refused.value.status_code, refused.value.detail) == (
        408,
        "the body took longer than 0.05 seconds; send less at once",
    )
