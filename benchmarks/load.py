"""The server under many clients, beside a plain handler of FastAPI and torch: latencies and images a second."""

import http.client
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.figures import spread
from benchmarks.processes import ROOT
from benchmarks.run import in_turn
from transfer.runtime.errors import DataError

LONGEST_START_S, LONGEST_ANSWER_S = 120, 120
WARM_S = 2
KIND = "multipart/form-data; boundary=edge"
# Module and path of each; the server first, which the others are divided by.
SYSTEMS = {
    "this server": ("commands.serve", "/predict"),
    "FastAPI and torch, def": ("benchmarks.peers.fastapi_torch", "/predict"),
    "FastAPI and torch, async def": ("benchmarks.peers.fastapi_torch", "/predict-async"),
}
SERVER = next(iter(SYSTEMS))


class Load(NamedTuple):
    p50_ms: float
    p99_ms: float
    images_per_s: float


def photograph() -> bytes:
    """A form with a photograph of 640 × 427 pixels, which comes with scikit-learn."""
    content = resources.files("sklearn.datasets.images").joinpath("china.jpg").read_bytes()
    head = b'--edge\r\nContent-Disposition: form-data; name="files"; filename="china.jpg"\r\n\r\n'
    return head + content + b"\r\n--edge--\r\n"


@contextmanager
def serving(module: str, package: Path) -> Iterator[int]:
    """A server of the package in a process of its own; its port. Raises DataError with what it said if it ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = (
        ["--package", str(package), "--port", str(port)] if module == "commands.serve" else [str(package), str(port)]
    )
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen([sys.executable, "-m", module, *options], cwd=ROOT, stderr=said)
        try:
            _wait_for(process, port)
            yield port
        except OSError:
            said.seek(0)
            raise DataError(f"{module}: does not answer: {said.read().strip()}") from None
        finally:
            process.terminate()
            process.wait()


def _wait_for(process: "subprocess.Popen[bytes]", port: int) -> None:
    end = time.monotonic() + LONGEST_START_S
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=LONGEST_ANSWER_S).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.1)


def ask_on(port: int, path: str, body: bytes, until: float) -> list[float]:
    """Seconds of each answer to one client that asks again as soon as it has one."""
    connection, taken = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST_ANSWER_S), []
    while (started := time.perf_counter()) < until:
        connection.request("POST", path, body, {"Content-Type": KIND})
        response = connection.getresponse()
        told = response.read()
        if response.status != 200:
            raise DataError(f"{path}: answered {response.status}: {told.decode(errors='replace')}")
        taken.append(time.perf_counter() - started)
    connection.close()
    return taken


def measure_load(port: int, path: str, clients: int, seconds: float) -> Load:
    """What so many clients see who ask for so long."""
    body = photograph()
    with ThreadPoolExecutor(clients) as pool:
        started = time.perf_counter()
        asked = [pool.submit(ask_on, port, path, body, started + seconds) for _ in range(clients)]
        taken = np.concatenate([each.result() for each in asked])
        whole = time.perf_counter() - started
    p50, p99 = np.quantile(taken, (0.5, 0.99))
    return Load(1000 * float(p50), 1000 * float(p99), len(taken) / whole)


def compare(package: Path, clients: Sequence[int], repetitions: int, seconds: float) -> dict[str, Any]:
    """Of each number of clients and each system the figures, and over this server's in the same repetition."""
    with ExitStack() as running:
        ports = {module: running.enter_context(serving(module, package)) for module, _ in SYSTEMS.values()}
        for module, path in SYSTEMS.values():
            measure_load(ports[module], path, 2, WARM_S)
        return {str(count): _compared(ports, count, repetitions, seconds) for count in clients}


def _compared(ports: dict[str, int], clients: int, repetitions: int, seconds: float) -> dict[str, Any]:
    found: dict[str, list[Load]] = {name: [] for name in SYSTEMS}
    for _, name in in_turn(list(SYSTEMS), repetitions):
        module, path = SYSTEMS[name]
        found[name].append(measure_load(ports[module], path, clients, seconds))
        print(f"{clients} clients, {name}: {found[name][-1]}", flush=True)
    return {
        name: {
            figure: {
                **spread([getattr(each, figure) for each in own]),
                "over_server": spread(
                    [getattr(a, figure) / getattr(b, figure) for a, b in zip(own, found[SERVER], strict=True)]
                ),
            }
            for figure in Load._fields
        }
        for name, own in found.items()
    }
