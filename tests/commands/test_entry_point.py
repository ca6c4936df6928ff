"""How a command ends when nobody reads on, and when it fails."""

import subprocess
import sys
from pathlib import Path

import pytest

from commands import entry_point, verify
from tests.commands.toy import command
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


def test_ctrl_c_is_one_line() -> None:
    script = (
        "import os, signal, time\nfrom commands.entry_point import exit_with\n"
        "exit_with(lambda: (os.kill(os.getpid(), signal.SIGINT), time.sleep(60)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "error: stopped\n")


def test_listing_states_to_nobody_is_no_error() -> None:
    line = f"{sys.executable} -m commands.states --state tests | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode in (0, 141), done.stderr) == (True, "")


def test_what_dvc_cannot_do_without_git_is_told_with_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    command(tmp_path, "dvc", "init", "--quiet", "--no-scm")
    (tmp_path / ".dvc/config").write_text("", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"^error: .* is not a git repository; `git init .* core\.no_scm true`"):
        entry_point.exit_with(lambda: verify.main(tmp_path))
