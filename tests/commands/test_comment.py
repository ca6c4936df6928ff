"""The comment on a pull request, asked of a real server: new, over an old one, refused, too long."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands.comment import LONGEST, MARK, PER_PAGE, body_of
from tests.github import MAY_WRITE, READS_ONLY, GitHub, serve

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def github() -> Iterator[GitHub]:
    with serve() as server:
        yield server


def comment(github: GitHub, report: Path, text: str, token: str = MAY_WRITE) -> str:
    report.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "commands.comment", "7", str(report)],
        cwd=ROOT,
        env={**os.environ, **github.environment(token)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_one_comment_is_kept_and_written_over(github: GitHub, tmp_path: Path) -> None:
    for number in range(PER_PAGE):
        github.add_comment(7, f"Talk {number}")
    github.add_comment(7, f"{MARK}\nA person quotes the report", person="User")
    assert "#issuecomment-102" in comment(github, tmp_path / "report.md", "better ✅\n")
    comment(github, tmp_path / "report.md", "worse\n")  # on the second page
    assert [one["body"] for one in github.comments[7]][PER_PAGE:] == [
        f"{MARK}\nA person quotes the report",
        f"{MARK}\nworse\n",
    ]


def test_a_token_that_reads_is_no_failure(github: GitHub, tmp_path: Path) -> None:
    said = comment(github, tmp_path / "report.md", "better", READS_ONLY)
    assert said.startswith("::notice::no comment: HTTP Error 403: Forbidden; the summary of this run")
    assert said.count("\n") == 1
    assert github.comments == {}


def test_a_server_that_is_gone_is_no_failure(github: GitHub, tmp_path: Path) -> None:
    github.url = "http://127.0.0.1:9"
    assert "::notice::no comment: " in comment(github, tmp_path / "report.md", "better")


def test_a_report_that_is_too_long_is_cut_at_a_line() -> None:
    lines = [f"line {number} " + "x" * 100 for number in range(1000)]
    body = body_of("\n".join(lines))
    assert len(body) < 65_536
    *kept, empty, last = body.splitlines()[1:]
    assert kept == lines[: len(kept)]
    assert len("\n".join(lines[: len(kept) + 1])) > LONGEST  # no more lines would have fitted
    assert (empty, last.split(";")[0]) == ("", "Cut here")
    assert body_of("short") == f"{MARK}\nshort"
