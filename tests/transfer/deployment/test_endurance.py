"""10,000 damaged bodies by 64 clients, whole pictures among them: each gets its answer, memory stays as it was."""

import re
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from tests.transfer.deployment.server import Server, form, picture, serving, write_package

pytestmark = pytest.mark.series
BODIES, CALLERS = 10_000, 64
WARM = 2_000  # bodies after which memory has reached what it needs
MOST_GROWTH_BYTES = 32 << 20
ENDINGS = (".jpg", ".png", ".webp", ".bmp", ".gif", ".tif", ".jp2", ".avif", ".ppm")


def bodies(random: np.random.Generator) -> Iterator[tuple[bytes, bool]]:
    """Pictures cut, with wrong bytes, with parts that changed places, and noise; every tenth is whole and white."""
    image = random.integers(0, 256, (60, 60, 3), np.uint8)
    wholes = [cv2.imencode(ending, image)[1].tobytes() for ending in ENDINGS]
    while True:
        for number, whole in enumerate(wholes):
            body = bytearray(whole)
            kind = int(random.integers(5))
            if kind == 0:
                body = body[: int(random.integers(1, len(body)))]
            elif kind == 1:
                for place in random.integers(0, len(body), int(random.integers(1, 20))):
                    body[place] = int(random.integers(256))
            elif kind == 2:
                body[: min(64, len(body))] = random.permutation(np.frombuffer(body[:64], np.uint8)).tobytes()
            elif kind == 3:
                start, end = sorted(random.integers(0, len(body), 2).tolist())
                body = body[:start] + body[end:] + body[start:end]
            else:
                body = bytearray(random.bytes(int(random.integers(1, 5_000))))
            yield bytes(body), False
            if number == 0:
                yield picture(255), True


def ask(server: Server, body: bytes, whole: bool, number: int) -> int:
    """The status; a whole picture's answer is looked at too. Each fiftieth caller leaves within its body: 0."""
    if not whole and number % 50 == 0:
        head = (
            f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: {len(body) + 9}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", server.port)) as leaving:
            leaving.sendall(head.encode() + body)
        return 0
    asked = form(body, body) if number % 7 == 0 and not whole else (body, "image/png")
    status, told = server.ask("/predict", *asked)
    if whole:
        assert told["answers"][0]["answer"] == "bright"
    elif status != 200:
        assert list(told) == ["error"]
        assert len(told["error"].splitlines()) == 1
    return status


def test_ten_thousand_damaged_bodies_lose_nothing_and_leave_memory_as_it_was(tmp_path: Path) -> None:
    made = bodies(np.random.default_rng(0))
    with serving(write_package(tmp_path / "package")) as server, ThreadPoolExecutor(CALLERS) as callers:
        process = psutil.Process(server.process.pid)

        def send(count: int) -> tuple[Counter[int], int]:
            asked = [(server, body, whole, i) for i, (body, whole) in enumerate(islice(made, count))]
            statuses = Counter(callers.map(lambda each: ask(*each), asked))
            return statuses, process.memory_info().rss

        first, before = send(WARM)
        statuses, after = send(BODIES - WARM)
        print(f"{first + statuses}, {before >> 20} MiB after {WARM}, {after >> 20} MiB after {BODIES}")
        assert (first + statuses).total() == BODIES
        assert (first + statuses).keys() <= {0, 200, 413, 415, 422}
        assert after - before < MOST_GROWTH_BYTES
        told = server.ask("/metrics")[1].decode()
        assert re.search(r"^classifier_active_requests 1$", told, re.MULTILINE)  # the one that asks
        assert re.search(r"^classifier_queue_images 0$", told, re.MULTILINE)
        assert not re.search(r'status="5\d\d"', told)
