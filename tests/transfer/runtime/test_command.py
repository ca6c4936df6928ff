"""How a stage ends: by itself, by a signal, by a lack of memory or by a bug."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from transfer.runtime.options import FILES

ROOT = Path(__file__).resolve().parents[3]
STAGE_THAT_WAITS = """
import time

from transfer.runtime.command import run
from transfer.runtime.parameters import Group


class Parameters(Group):
    pass


def main(parameters, files):
    print("at work", flush=True)
    time.sleep(60)


run(main, Parameters)
"""
# What the interpreter takes apart at its end is torch in a real stage, which takes a second of a processor's time.
STAGE_SLOW_TO_TAKE_APART = """
import atexit, sys, time
class Slow:
    def __del__(self):
        time.sleep(600)
slow = Slow()
atexit.register(print, "registered", file=sys.stderr)
""" + STAGE_THAT_WAITS.replace("time.sleep(60)", "{end}").replace("Parameters)", 'Parameters, outputs=["note"])')
STAGE_TOO_LARGE = STAGE_THAT_WAITS.replace("time.sleep(60)", "bytearray(1 << 62)")


def start(folder: Path, script: str, *options: str) -> subprocess.Popen[str]:
    (folder / "waits.py").write_text(script, encoding="utf-8")
    (folder / "params.yaml").write_text("{}", encoding="utf-8")
    command = [sys.executable, "waits.py", *options]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    return process


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_stage_with_its_status_in_one_line(tmp_path: Path, number: signal.Signals, status: int):
    with start(tmp_path, STAGE_THAT_WAITS) as process:
        process.send_signal(number)
        _, told = process.communicate(timeout=30)
    assert process.returncode == status
    assert told.startswith("error: ")
    assert told.count("\n") == 1


def test_memory_that_does_not_suffice_is_one_line(tmp_path: Path):
    with start(tmp_path, STAGE_TOO_LARGE) as process:
        _, told = process.communicate(timeout=30)
    assert process.returncode == 1
    assert told.startswith("error: waits: out of memory")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("end", "status", "told"),
    [
        ("raise DataError('wrong')", 1, r"error: wrong\n"),
        ("raise KeyboardInterrupt", 130, r"error: waits: stopped\n"),
        ("sys.exit(7)", 7, ""),
        ("raise ZeroDivisionError('a bug')", 1, r"Traceback .*\nZeroDivisionError: a bug\n"),
        ("print('done')", 0, ""),
    ],
)
def test_a_stage_ends_at_once_whatever_it_imported(tmp_path: Path, end: str, status: int, told: str) -> None:
    script = "from transfer.runtime.errors import DataError\n" + STAGE_SLOW_TO_TAKE_APART.format(end=end)
    with start(tmp_path, script, "--note", "note") as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert re.fullmatch(told + r"registered\n", errors, re.DOTALL)


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("streams", [1, 2], ids=["stdout", "stderr too"])
def test_a_stage_that_nobody_reads_any_more_does_its_work(tmp_path: Path, unbuffered: str, streams: int) -> None:
    work = "print('a line ' * 20_000); print('a line', file=sys.stderr); files.note.write_text('whole')"
    script = f"import sys\n{STAGE_THAT_WAITS}".replace("time.sleep(60)", f"sys.stdin.readline(); {work}")
    (tmp_path / "waits.py").write_text(script.replace("Parameters)", 'Parameters, outputs=["note"])'), encoding="utf-8")
    (tmp_path / "params.yaml").write_text("{}", encoding="utf-8")
    read, write = os.pipe()
    with subprocess.Popen(
        [sys.executable, "waits.py", "--note", "note"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered},
        stdin=subprocess.PIPE,
        stdout=write,
        stderr=write if streams == 2 else subprocess.PIPE,
    ) as process:
        os.close(write)
        with os.fdopen(read, "rb") as reader:
            assert reader.readline() == b"at work\n"
        _, told = process.communicate(b"\n", timeout=60)
    assert (process.returncode, told) == (0, None if streams == 2 else b"a line\n")
    assert (tmp_path / "note").read_text(encoding="utf-8") == "whole"


def test_help_says_what_is_read_and_written_and_where_the_parameters_are() -> None:
    command = [sys.executable, "-m", "stages.subsample", "--help"]
    told = " ".join(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())
    assert "--images IMAGES reads: all images with labels" in told
    assert "--train TRAIN writes: training images" in told
    assert "explained in params.yaml: seed groups: rigid subsample: train_size, val_size" in told


def test_help_knows_the_file_of_every_option_in_the_pipeline_and_no_other() -> None:
    used = re.findall(r" --([\w-]+) ", (ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    assert {option.replace("-", "_") for option in used} == set(FILES)
