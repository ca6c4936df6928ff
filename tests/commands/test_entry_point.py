"""How a command ends when nobody reads on, and when it fails."""

import subprocess
import sys

import pytest

from transfer.runtime.files import ROOT


@pytest.mark.parametrize("lines", [1, 100_000], ids=["at the end", "on the way"])
def test_a_reader_that_has_enough_is_no_error(lines: int) -> None:
    work = f"(print(*range({lines}), sep='\\n'), 0)[1]"
    script = (
        f"import time, sys\nfrom commands.entry_point import exit_with\nsys.stdin.read()\nexit_with(lambda: {work})"
    )
    command = [sys.executable, "-c", script]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        assert process.communicate("")[1] == ""
    assert process.returncode == 141  # as of a program that SIGPIPE ended
