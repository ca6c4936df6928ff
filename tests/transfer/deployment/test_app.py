"""The server: answers are the predictor's, faults are one sentence of JSON, and it ends when it has answered."""

import hashlib
import html
import json
import signal
import socket
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.transfer.deployment.server import SIZE_PX, Server, form, picture, serving, write_package
from transfer.deployment.limits import FULL, Limits
from transfer.deployment.predictor import load_predictor

CALLERS = 64


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_package(tmp_path_factory.mktemp("served") / "package")


@pytest.fixture(scope="module")
def log(package: Path) -> Path:
    return package.parent / "answers.jsonl"


@pytest.fixture(scope="module")
def server(package: Path, log: Path) -> Iterator[Server]:
    with serving(package, "--log", str(log)) as running:
        yield running


def test_answers_are_the_predictors_to_the_bit(server, package):
    files = [picture(shade) for shade in (0, 40, 90, 130, 255)]
    status, told = server.ask("/predict", *form(*files))
    assert status == 200
    expected = load_predictor(package).predict(files)
    for i, answer in enumerate(told["answers"]):
        assert answer["file"] == f"{i}.png"
        assert [answer["probabilities"][name] for name in ("dark", "bright")] == expected.probabilities[i].tolist()
        assert answer["probability"] == max(answer["probabilities"].values())
        assert answer["answer"] == ("dark", "bright")[expected.probabilities[i].argmax()]
        assert answer["verdict"] == expected.verdicts[i]
        assert server.ask("/predict", files[i])[1]["answers"][0]["probabilities"] == answer["probabilities"]


def test_one_bad_file_of_several_leaves_the_others_answered(server):
    status, told = server.ask("/predict", *form(picture(0), b"text", picture(255)))
    assert status == 200
    first, bad, last = told["answers"]
    assert (first["answer"], last["answer"]) == ("dark", "bright")
    assert bad == {"file": "1.png", "error": "1.png: not an image that OpenCV reads", "status": 415}


def bomb() -> bytes:
    """A header of 60,000 × 60,000 pixels before the content of a small PNG."""
    content = picture(0)
    header = content[12:16] + (60_000).to_bytes(4, "big") * 2 + content[24:29]
    return content[:12] + header + zlib.crc32(header).to_bytes(4, "big") + content[33:]


DAMAGED = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)


@pytest.mark.parametrize(
    ("body", "kind", "status", "words"),
    [
        (b"no image", "image/png", 415, "not an image that OpenCV reads"),
        (b'{"a": 1}', "application/json", 415, "send an image as the body"),
        (cv2.imencode(".jpg", DAMAGED)[1].tobytes()[:-900], "image/jpeg", 422, "image: damaged"),
        (b"", "image/png", 422, "no image in the request"),
        (b"--edge\r\nnonsense", "multipart/form-data; boundary=edge", 422, "no"),
        (b"", "multipart/form-data", 422, "not a readable form"),
        (bomb(), "image/png", 413, "a decompression bomb"),
        (picture(0, (9000, 9000)), "image/png", 413, "9,000 × 9,000 pixels, more than 50,000,000"),
        (bytes(Limits.bytes + 1), "image/png", 413, "more than 20,971,520 bytes"),
        (*form(*([b"x"] * (Limits.files + 1))), 413, "more than 64 images"),
    ],
    ids=["text", "json", "truncated", "empty", "no form", "no boundary", "bomb", "pixels", "bytes", "files"],
)  # fmt: skip
def test_a_fault_is_one_sentence(server, body, kind, status, words):
    found, told = server.ask("/predict", body, kind)
    assert (found, list(told)) == (status, ["error"])
    assert words in told["error"]
    assert "\n" not in told["error"]


def test_nothing_damaged_brings_it_down(server):
    """Each cut and each flipped byte of a picture gets an answer or a sentence, never a failure."""
    random = np.random.default_rng(0)
    wholes = [
        cv2.imencode(ending, DAMAGED)[1].tobytes() for ending in (".jpg", ".png", ".webp", ".bmp", ".gif", ".tif")
    ]
    bodies = []
    for whole in wholes * 40:
        body = bytearray(whole[: int(random.integers(1, len(whole)))])
        body[int(random.integers(len(body)))] = int(random.integers(256))
        bodies.append(bytes(body))
    statuses = Counter(server.ask("/predict", body)[0] for body in bodies)
    assert statuses.keys() <= {200, 413, 415, 422}
    assert server.ask("/healthz") == (200, {"status": "ok"})


def test_a_heat_map_is_a_picture_of_the_networks_size(server):
    status, content = server.ask("/explain?label=bright", picture(200))
    assert status == 200
    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert found is not None
    assert found.shape == (SIZE_PX, SIZE_PX, 3)
    assert server.ask("/explain?label=cat", picture(200))[0] == 422
    assert "one at a time" in server.ask("/explain", *form(picture(0), picture(1)))[1]["error"]


def test_the_model_says_what_it_is(server, package):
    _, about = server.ask("/model")
    assert about["classes"] == ["dark", "bright"]
    assert about["card"] == "# Bright or dark"
    assert about["sha256"]["model.onnx"] == hashlib.sha256((package / "model.onnx").read_bytes()).hexdigest()
    _, interface = server.ask("/openapi.json")
    assert {"/predict", "/explain", "/model", "/healthz", "/metrics", "/"} <= interface["paths"].keys()


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_needs_no_other_address(server, path):
    status, page = server.ask(path)
    assert status == 200
    assert b"http://" not in page
    assert b"https://" not in page


def test_the_interface_has_a_page_with_every_route(server):
    _, interface = server.ask("/openapi.json")
    page = server.ask("/docs")[1].decode()
    for path, methods in interface["paths"].items():
        for method, about in methods.items():
            assert f"<code>{method.upper()} {path}</code>" in page
            assert html.escape(about["description"]) in page
    assert "<code>multipart/form-data</code>, <code>image/*</code>, <code>?label=</code>" in page


def test_counters_count(server):
    def count(name: str) -> float:
        lines = server.ask("/metrics")[1].decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    before, runs = count('classifier_requests_total{path="/predict",status="200"}'), count("classifier_network_images")
    server.ask("/predict", *form(picture(0), picture(1)))
    assert count('classifier_requests_total{path="/predict",status="200"}') == before + 1
    assert count("classifier_network_images") == runs + 2
    assert count("classifier_active_requests") == 1  # the one that asks


def test_each_answer_is_logged_without_its_picture(server, log):
    body = picture(77)
    before = len(log.read_text().splitlines()) if log.exists() else 0
    answer = server.ask("/predict", body)[1]["answers"][0]
    (line,) = log.read_text().splitlines()[before:]
    noted = json.loads(line)
    assert noted.keys() == {"time", "sha256", "answer", "probability", "verdict", "distance", "probabilities"}
    assert noted["sha256"] == hashlib.sha256(body).hexdigest()
    assert {key: answer[key] for key in noted.keys() - {"time", "sha256"}} == {
        key: noted[key] for key in noted.keys() - {"time", "sha256"}
    }


def test_many_callers_at_once_each_get_their_own_answer(server):
    shades = [int(shade) for shade in np.random.default_rng(0).integers(0, 256, 256)]
    with ThreadPoolExecutor(64) as callers:
        answers = list(callers.map(lambda shade: server.ask("/predict", picture(shade)), shades))
    assert {status for status, _ in answers} == {200}
    for shade, (_, told) in zip(shades, answers, strict=True):
        dark, bright = 1 - shade / 255, shade / 255
        expected = bright ** (1 / 1.5) / (bright ** (1 / 1.5) + dark ** (1 / 1.5))
        assert told["answers"][0]["probabilities"]["bright"] == pytest.approx(expected, abs=1e-5)


def test_a_caller_that_leaves_or_dawdles_holds_nobody_up(server):
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 100000\r\n\r\nabc"
    with socket.create_connection(("127.0.0.1", server.port)) as dawdling:
        dawdling.sendall(head)
        with socket.create_connection(("127.0.0.1", server.port)) as leaving:
            leaving.sendall(head)
        assert server.ask("/predict", picture(255))[1]["answers"][0]["answer"] == "bright"
    assert server.ask("/healthz")[0] == 200


def test_bodies_of_all_requests_together_have_a_limit(server):
    """Thirteen requests that have stated 20 MB and sent next to nothing: twelve are let wait."""
    head = (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\nabc" % Limits.bytes
    )
    with ExitStack() as open_ones:
        callers = [
            open_ones.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            for _ in range(Limits.bytes_in_all // Limits.bytes + 1)
        ]
        for caller in callers:
            caller.sendall(head)
            time.sleep(0.05)  # so that the last one is the last
        assert callers[-1].recv(100).startswith(b"HTTP/1.1 503")
    time.sleep(0.5)
    assert server.ask("/predict", picture(0))[0] == 200


def test_more_requests_than_are_answered_at_once_are_503_and_leave_when_their_callers_do(server):
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 10\r\n\r\nabc"
    with ExitStack() as open_ones:
        for _ in range(Limits.requests):
            open_ones.enter_context(socket.create_connection(("127.0.0.1", server.port))).sendall(head)
        time.sleep(1)
        status, told = server.ask("/predict", picture(0))
        assert (status, told) == (503, {"error": FULL})
    time.sleep(1)
    assert server.ask("/predict", picture(0))[0] == 200


def test_bodies_that_come_in_pieces_count_by_what_has_come(server):
    """As many as may be answered at once, of which none states its length and all have begun before one has ended."""
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
    content = picture(255)
    pieces = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (content[:40], content[40:])]
    with ExitStack() as open_ones:
        callers = [
            open_ones.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in range(CALLERS)
        ]
        for caller in callers:
            caller.sendall(head + pieces[0])
        time.sleep(0.5)
        for caller in callers:
            caller.sendall(pieces[1] + b"0\r\n\r\n")
        assert {caller.recv(100)[:12] for caller in callers} == {b"HTTP/1.1 200"}


def test_another_path_is_one_sentence_too(server):
    assert server.ask("/nowhere") == (404, {"error": "Not Found"})


def test_a_full_queue_is_429_and_sigterm_answers_what_is_under_way(tmp_path):
    slow = write_package(tmp_path / "slow", work=200)
    with serving(slow, "--batch", "1") as server, ThreadPoolExecutor(20) as callers:
        first = [callers.submit(server.ask, "/predict", *form(*[picture(9)] * 64)) for _ in range(10)]
        found = {each.result()[0] for each in first}
        assert found == {200, 429}
        last = callers.submit(server.ask, "/predict", *form(*[picture(255)] * 32))
        time.sleep(0.2)
        assert not last.done()
        server.process.send_signal(signal.SIGTERM)
        status, told = last.result()
        assert status == 200
        assert [each["answer"] for each in told["answers"]] == ["bright"] * 32
        server.process.wait(60)
