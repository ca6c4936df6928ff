"""A bar on terminals of every kind, with a clock that jumps; no letter that the locale lacks ends a stage."""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time

import pytest
import tqdm.std

from transfer.runtime.files import ROOT
from transfer.runtime.progress import Progress

WORK = """
from transfer.runtime.progress import Progress
for _ in Progress(range(3), desc="work", mininterval=0):
    pass
"""


def on_terminal(columns: int, rows: int, **variables: str) -> str:
    """What is drawn on a terminal of this size."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    subprocess.run([sys.executable, "-c", WORK], cwd=ROOT, env={**os.environ, **variables}, stderr=theirs, check=True)
    os.close(theirs)
    drawn = b""
    try:
        while piece := os.read(ours, 1 << 16):
            drawn += piece
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    return drawn.decode()


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (0, 0), (0, 24), (80, 0), (20, 5), (300, 100)])
def test_a_terminal_of_any_size_shows_the_whole_bar_in_its_width(columns: int, rows: int) -> None:
    drawn = on_terminal(columns, rows, TERM="xterm")
    assert "work" in drawn
    assert "3/3" in drawn or 0 < columns < 40
    assert max(len(line) for line in re.split(r"[\r\n]", drawn)) < (columns or 80)


def test_a_terminal_that_cannot_go_back_in_a_line_shows_none() -> None:
    assert on_terminal(80, 24, TERM="dumb") == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_clock_that_jumps_stops_no_bar_and_gives_no_negative_time(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    with Progress(total=4, file=shown, mininterval=0) as progress:
        for jump_s in (-3600, 3600, -86_400, 0):
            monkeypatch.setattr(tqdm.std, "time", lambda jump_s=jump_s: time.monotonic() + jump_s)
            monkeypatch.setattr(time, "time", lambda jump_s=jump_s: time.monotonic() + jump_s)
            progress.update()
    assert [f"{done}/4" in shown.getvalue() for done in range(1, 5)] == [True] * 4
    times = re.findall(r"\[(\S+)<(\S+),", shown.getvalue())
    assert len(times) >= 4
    assert all(re.fullmatch(r"00:0\d", elapsed) and not left.startswith("-") for elapsed, left in times)


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_a_letter_that_the_locale_lacks_is_printed_in_another_way(encoding: str) -> None:
    script = "from commands.entry_point import exit_with\nexit_with(lambda: (print('Käse 猫'), 0)[1])"
    variables = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=variables, capture_output=True, check=True)
    assert done.stdout.decode(encoding).startswith("K")
