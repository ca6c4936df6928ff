"""What pages show is found in what commands print, and what is not there is named."""

import re
from pathlib import Path

import pytest

from tests.documented import LEFT_OUT, TRIED, commands_of, commands_of_table, missing
from transfer.runtime.files import ROOT

# use-the-model.md has tests/commands/test_documented_use.py.
FIRST_PAGES = ("README.md", "docs/first-hour.md", "docs/own-images.md")
PAGE = """
```console
$ first --option
one 1.5
[…]
done: […] files
$ second    # a note
```
"""


def test_commands_are_read_with_what_they_print() -> None:
    assert commands_of(PAGE) == [("first --option", ["one 1.5", "[…]", "done: […] files"]), ("second", [])]


@pytest.mark.parametrize(
    ("printed", "lost"),
    [
        ("one   2.25\nmore\ndone: 17 files\n", []),
        ("done: 17 files\none 1\n", ["done: […] files"]),
        ("one\ndone: 1 files\n", ["one 1.5"]),
        ("", ["one 1.5", "done: […] files"]),
    ],
    ids=["all", "another order", "no figure", "nothing"],
)
def test_a_line_that_was_not_printed_is_named(printed: str, lost: list[str]) -> None:
    assert missing(["one 1.5", "[…]", "done: […] files"], printed) == lost


def test_readme_shows_what_the_first_hour_has_tried() -> None:
    # tests/pipeline/test_demo.py runs the first hour.
    tried = commands_of((ROOT / "docs/first-hour.md").read_text(encoding="utf-8"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    habits = commands_of(readme[readme.index("## Three habits") : readme.index("## Your own")])
    assert habits
    assert [command for command in habits if command not in tried] == []


def test_every_command_of_the_first_pages_is_tried_or_left_out_for_a_reason() -> None:
    pages = {name: (ROOT / name).read_text(encoding="utf-8") for name in FIRST_PAGES}
    shown = {
        line for page in pages.values() for line in (*(one.line for one in commands_of(page)), *commands_of_table(page))
    }
    first_hour = {one.line for one in commands_of(pages["docs/first-hour.md"])}
    assert shown - first_hour - {*TRIED, *LEFT_OUT} == set()
    assert {*TRIED, *LEFT_OUT} - shown == set()


@pytest.mark.parametrize(
    "page", sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")]), ids=lambda page: page.name
)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
