"""A package with a network that needs no training, and the server in a process of its own."""

import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper

from transfer.data.preparation import Preparation
from transfer.deployment.package import DESCRIPTION, ONNX, REFERENCE, Package
from transfer.evaluation.neighbours import Rejection
from transfer.runtime.files import ROOT

SIZE_PX = 16
LONGEST_START_S, LONGEST_ANSWER_S = 120, 120


def brightness_package(classes: tuple[str, str], temperature: float) -> Package:
    """What is said of a network that tells bright images from dark ones."""
    return Package(
        architecture="brightness",
        classes=classes,
        preparation=Preparation(original_px=8, size_px=SIZE_PX, interpolation="cubic", aspect="crop"),
        mean=(0, 0, 0),
        std=(1, 1, 1),
        mirror=False,
        shift_fraction=0,
        temperature=temperature,
        rejection=Rejection(min_confidence=0.8, risk=0.1, max_distance=0.5, known=0.9, neighbours=1),
        model_sha256="0",
    )


def write_package(folder: Path, work: int = 1) -> Path:
    """A package whose network tells bright images from dark ones; `work` makes it slow."""
    folder.mkdir(parents=True)
    package = brightness_package(("dark", "bright"), 1.5)
    (folder / DESCRIPTION).write_text(package.model_dump_json())
    np.savez(folder / REFERENCE, features=np.array([[1, 0]], np.float16))
    (folder / "README.md").write_text("# Bright or dark")
    onnx.save(_brightness(work), folder / ONNX)
    return folder


def _brightness(work: int) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Cast", ["pixels"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["values", "axes"], ["mean"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["column"]),
        helper.make_node("Div", ["column", "most"], ["share"]),
        helper.make_node("Sub", ["one", "share"], ["rest"]),
        helper.make_node("Concat", ["rest", "share"], ["probabilities"], axis=1),
        helper.make_node("MatMul", ["share", "large"], ["wide0"]),
    ]
    nodes += [helper.make_node("MatMul", [f"wide{i}", "square"], [f"wide{i + 1}"]) for i in range(work)]
    nodes += [
        helper.make_node("ReduceMean", [f"wide{work}", "last"], ["small"], keepdims=1),
        helper.make_node("Concat", ["one_row", "zero_row"], ["direction"], axis=1),
        helper.make_node("Mul", ["small", "zero"], ["nothing"]),
        helper.make_node("Add", ["direction", "nothing"], ["features"]),
    ]
    width = 1024 if work > 1 else 4
    constants: dict[str, np.ndarray] = {
        "axes": np.array([1, 2, 3]),
        "last": np.array([1]),
        "most": np.array(255, np.float32),
        "one": np.array(1, np.float32),
        "zero": np.array(0, np.float32),
        "one_row": np.ones((1, 1), np.float32),
        "zero_row": np.zeros((1, 1), np.float32),
        "large": np.full((1, width), 1 / width, np.float32),
        "square": np.full((width, width), 1 / width, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", SIZE_PX, SIZE_PX, 3])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2])
            for name in ("probabilities", "features")
        ],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


class Server:
    """A running server: its process, its log of answers, and requests to it."""

    def __init__(self, process: subprocess.Popen[Any], port: int) -> None:
        self.process, self.port = process, port

    def ask(self, path: str, body: bytes | None = None, kind: str = "image/png") -> tuple[int, Any]:
        """Status and content of a response, JSON as what it says."""
        headers = {} if body is None else {"Content-Type": kind}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=LONGEST_ANSWER_S) as response:
                return response.status, _content(response)
        except urllib.error.HTTPError as error:
            return error.code, _content(error)


def _content(response: Any) -> Any:
    content = response.read()
    return json.loads(content) if response.headers["Content-Type"] == "application/json" else content


@contextmanager
def serving(folder: Path, *options: str, where: Path = ROOT) -> Iterator[Server]:
    """`python -m commands.serve` of a package on a free port, until the end of the block."""
    with started([sys.executable, "-m", "commands.serve", "--package", str(folder), *options], where) as server:
        yield server


@contextmanager
def started(words: list[str], where: Path, variables: dict[str, str] | None = None) -> Iterator[Server]:
    """A command that serves, on a free port, until the end of the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryFile("w+") as said:  # a pipe that nobody reads would fill, and stop the server
        process = subprocess.Popen([*words, "--port", str(port)], cwd=where, env=variables, stderr=said)
        server = Server(process, port)
        try:
            wait_for(server)
            yield server
        finally:
            process.terminate()
            process.wait(60)
            said.seek(0)
            sys.stderr.write(said.read())


def wait_for(server: Server) -> None:
    """Return when it answers; fail with what it said if it ends."""
    end = time.monotonic() + LONGEST_START_S
    while time.monotonic() < end:
        if server.process.poll() is not None:
            raise AssertionError(f"ended with {server.process.returncode}")
        try:
            server.ask("/healthz")
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"no answer within {LONGEST_START_S} s")


def picture(shade: int, size: tuple[int, int] = (20, 20), ending: str = ".png") -> bytes:
    return cv2.imencode(ending, np.full((*size, 3), shade, np.uint8))[1].tobytes()


def form(*files: bytes) -> tuple[bytes, str]:
    """The files as multipart/form-data, and the content type."""
    parts = [
        b'--edge\r\nContent-Disposition: form-data; name="files"; filename="%d.png"\r\n\r\n%b\r\n' % (number, content)
        for number, content in enumerate(files)
    ]
    return b"".join(parts) + b"--edge--\r\n", "multipart/form-data; boundary=edge"
