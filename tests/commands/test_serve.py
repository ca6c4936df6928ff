"""`make serve` starts without torch and with quiet threads, or says in one line why not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from commands.serve import page_of
from tests.transfer.deployment.server import Server, wait_for, write_package
from transfer.deployment.predictor import load_predictor
from transfer.runtime.files import ROOT


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return write_package(tmp_path / "package")


def test_serving_needs_no_torch():
    code = "import sys; import commands.serve; print(sorted({'torch', 'dvc', 'scipy', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_package_without_its_network_is_one_line(tmp_path):
    folder = write_package(tmp_path / "package")
    (folder / "model.onnx").unlink()
    words = [sys.executable, "-m", "commands.serve", "--package", str(folder), "--port", "1"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {folder / 'model.onnx'}: no such file")
    assert len(done.stderr.splitlines()) == 1


def test_a_log_that_cannot_be_written_is_refused_at_the_start(package, tmp_path):
    log = tmp_path / "nowhere" / "answers.jsonl"
    words = [sys.executable, "-m", "commands.serve", "--package", str(package), "--port", "1", "--log", str(log)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"error: --log {log}: No such file or directory; name a file that can be written, in a folder that is there\n"
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "99999"], "error: --host 127.0.0.1 --port 99999: bind(): port must be 0-65535.; name others"),
        (["--host", "192.0.2.1"], "error: --host 192.0.2.1 --port 8000: Cannot assign requested address"),
        (["--batch", "0"], "error: argument --batch: 0: must be at least 1"),
        (["--wait-ms", "-1"], "error: argument --wait-ms: -1: must be from 0 to 1000"),
    ],
    ids=["port", "host", "batch", "wait"],
)
def test_an_option_that_cannot_be_is_one_line(package, options, words):
    command = [sys.executable, "-m", "commands.serve", "--package", str(package), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode in (1, 2)
    assert words in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("host", "page"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
        ("box.example", "http://box.example:8000"),
    ],
)
def test_a_browser_can_open_the_address_that_it_says(host, page):
    assert page_of(host, 8000) == page


def test_it_says_where_it_is_and_ctrl_c_ends_it_without_a_word(package):
    command = [sys.executable, "-m", "commands.serve", "--package", str(package), "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        address, rest = process.stdout.readline().split(" ", 1)
        assert rest == "is the page; Ctrl-C ends it\n"
        server = Server(process, int(address.rpartition(":")[2]))
        wait_for(server)
        in_use = subprocess.run(
            [*command[:-1], str(server.port)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert in_use.stderr.startswith(f"error: --host 127.0.0.1 --port {server.port}: Address already in use")
        assert len(in_use.stderr.splitlines()) == 1
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0


def test_threads_that_wait_leave_the_cores_to_others(package, monkeypatch):
    made = []
    session = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *a, **k: made.append(a[1]) or session(*a, **k))
    load_predictor(package)
    assert made[0].get_session_config_entry("session.intra_op.allow_spinning") == "0"
    code = "import os, commands.serve; print(os.environ['OPENBLAS_NUM_THREADS'])"
    variables = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=ROOT, env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
