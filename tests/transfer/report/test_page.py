"""Pages: pictures come back from their data URI, text is shown as it is by an HTML parser and a Markdown renderer."""

import base64
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from jinja2 import UndefinedError
from markdown_it import MarkdownIt

from transfer.report.gate import Gate
from transfer.report.page import WIDEST_PX, as_markdown, fill_in, inlined, page_of
from transfer.runtime.errors import DataError

ODD = [
    "<b>cat</b>",
    "a|b",
    "*x* _y_ `z`",
    "[a](b) ![c](d)",
    "train_head",
    "p < 0.001 & q > 1",
    "~~no~~",
    "back\\slash",
    "&lt;b&gt; $x$ &amp;",
]


def write_picture(path: Path, width: int) -> np.ndarray:
    y, x = np.mgrid[0:120, 0:width]
    pixels = np.stack([x * 255 // width, y * 2, np.full_like(x, 90)], axis=-1).astype(np.uint8)
    cv2.imwrite(str(path), pixels)
    return pixels


def from_data_uri(text: str) -> np.ndarray:
    start, content = text.split(",", 1)
    assert start == "data:image/webp;base64"
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(content, validate=True), np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels


class Text(HTMLParser):
    """Gathers the text that a browser shows."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found = ""
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.found += data


def test_a_picture_comes_back_from_its_data_uri(tmp_path: Path) -> None:
    pixels = write_picture(tmp_path / "p.png", 300)
    again = from_data_uri(inlined(tmp_path / "p.png"))
    assert again.shape == pixels.shape
    assert cv2.PSNR(again, pixels) > 35
    assert inlined(tmp_path / "p.png") == inlined(tmp_path / "p.png")


def test_a_wide_picture_is_scaled_down_and_keeps_its_shape(tmp_path: Path) -> None:
    write_picture(tmp_path / "p.png", 2 * WIDEST_PX)
    assert from_data_uri(inlined(tmp_path / "p.png")).shape == (60, WIDEST_PX, 3)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n cut off"])
def test_a_damaged_picture_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.png").write_bytes(content)
    with pytest.raises(DataError, match=r"p\.png: not a readable picture"):
        inlined(tmp_path / "p.png")


@pytest.mark.parametrize("text", ODD)
def test_markdown_shows_text_as_it_is(text: str) -> None:
    renderer = MarkdownIt("gfm-like", {"linkify": False})
    assert Text(renderer.render(f"- {as_markdown(text)}")).found.strip() == text
    table = renderer.render(f"| a | b |\n| --- | --- |\n| {as_markdown(text)} | end |\n")
    assert table.count("<td>") == 2
    assert Text(table.split("<td>")[1]).found.strip() == text


def test_markdown_is_one_line() -> None:
    assert as_markdown("a\n\n# b") == "a # b"


@pytest.mark.parametrize("text", ODD)
def test_a_page_escapes_what_it_is_given(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.html.j2").write_text("<p>{{ text }}</p>")
    page = fill_in(tmp_path / "t.html.j2", {"text": text})
    assert Text(page).found.strip() == text
    assert page.count("<") == 2


def test_a_page_keeps_numbers_and_their_percent_sign_together() -> None:
    content = {"title": "t", "verdict": Gate(True, "met")}
    assert "91.1\N{NO-BREAK SPACE}%" in page_of("91.1 %", content)


def test_a_name_that_a_template_does_not_get_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "t.md.j2").write_text("{{ nothing }}")
    with pytest.raises(UndefinedError, match="nothing"):
        fill_in(tmp_path / "t.md.j2", {})
