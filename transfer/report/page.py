"""Fill in a report's templates: text made safe for Markdown, and a page of HTML from the same Markdown."""

import base64
import re
from collections.abc import Mapping
from os.path import relpath
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import cv2
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import escape

from transfer.runtime.errors import DataError

TEMPLATES = Path(__file__).with_name("templates")
WIDEST_PX = 1600
WEBP_QUALITY = 82


class Medium(Protocol):
    """How a template shows what Markdown and HTML show in their own ways; nothing for what is not there."""

    def picture(self, name: str, caption: str) -> str: ...
    def charts(self, *drawn: tuple[str, str | None]) -> str: ...
    def thumbnail(self, caption: str, drawn: str | None) -> str: ...
    def badge(self, verdict: str) -> str: ...
    def mark(self, met: bool) -> str: ...


class AsMarkdown:
    """Links to pictures, and no charts, which no Markdown can hold."""

    def __init__(self, pictures: Mapping[str, Path], folder: Path) -> None:
        self.links = {name: quote(Path(relpath(path, folder)).as_posix()) for name, path in pictures.items()}

    def picture(self, name: str, caption: str) -> str:
        return f"![{as_markdown(caption)}]({self.links[name]})" if name in self.links else ""

    def charts(self, *_drawn: tuple[str, str | None]) -> str:
        return ""

    def thumbnail(self, caption: str, drawn: str | None) -> str:
        return ""

    def badge(self, verdict: str) -> str:
        return f"**{verdict}:**"

    def mark(self, met: bool) -> str:
        return "✅ " if met else "❌ "


class AsPage:
    """Pictures and charts inside the page, which then needs nothing else."""

    def __init__(self, pictures: Mapping[str, Path]) -> None:
        self.pictures = pictures

    def picture(self, name: str, caption: str) -> str:
        if name not in self.pictures:
            return ""
        image = f'<img src="{inlined(self.pictures[name])}" alt="{escape(caption)}">'
        return f'<figure class="wide"><figcaption>{escape(caption)}</figcaption>{image}</figure>'

    def charts(self, *drawn: tuple[str, str | None]) -> str:
        figures = [
            f"<figure><figcaption>{escape(caption)}</figcaption>"
            f'<div role="img" aria-label="{escape(caption)}">{_in_line(svg)}</div></figure>'
            for caption, svg in drawn
            if svg
        ]
        return f'<div class="charts">{"".join(figures)}</div>' if figures else ""

    def thumbnail(self, caption: str, drawn: str | None) -> str:
        """A small chart that leads to the first section; wide screens alone show it."""
        if not drawn:
            return ""
        chart = f'<div role="img" aria-label="{escape(caption)}">{_in_line(drawn)}</div>'
        return f'<div class="thumb"><a href="#s1">{chart}</a></div>'

    def badge(self, verdict: str) -> str:
        return f'<span class="badge {verdict.replace(" ", "-")}">{verdict}</span>'

    def mark(self, met: bool) -> str:
        return ""  # the page's colour says it


def _in_line(svg: str) -> str:
    """An SVG without the line breaks that would end an HTML block of Markdown."""
    return " ".join(svg.split())


def fill_in(template: Path, content: Mapping[str, Any], medium: Medium | None = None) -> str:
    """A Jinja template's text. If its name has `.html` in it, what it is given is escaped; for Markdown see `md`."""
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=".html" in template.suffixes,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"md": as_markdown, "capitalize_first": lambda text: text[:1].upper() + text[1:]}
    shows = (
        {}
        if medium is None
        else {name: getattr(medium, name) for name in ("picture", "charts", "thumbnail", "badge", "mark")}
    )
    text = environment.get_template(template.name).render({**content, **shows}).strip()
    return re.sub(r"\n{3,}", "\n\n", text.replace("\n## ", "\n\n## ")) + "\n"


def as_markdown(text: str) -> str:
    """Text that GitHub shows as it is, in a table too: in one line, with its special characters escaped."""
    return re.sub(r"([\\`*<>|\[\]~&$]|(?<!\w)_|_(?!\w))", r"\\\1", " ".join(str(text).split()))


def page_of(markdown: str, content: Mapping[str, Any]) -> str:
    """One HTML file from a report's Markdown, its sections listed behind the opening."""
    body = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown)
    body = body.replace("<table>", '<div class="scroll" tabindex="0" role="region" aria-label="table"><table>').replace(
        "</table>", "</table></div>"
    )
    body = re.sub(r"(\d) %", "\\1\N{NO-BREAK SPACE}%", body)
    opening, *sections = body.split("<h2>")
    headings = [(number, section[: section.index("</h2>")]) for number, section in enumerate(sections, 1)]
    rest = "".join(f'<h2 id="s{number}">{section}' for number, section in enumerate(sections, 1))
    return fill_in(TEMPLATES / "report.html.j2", {**content, "opening": opening, "headings": headings, "rest": rest})


def inlined(picture: Path) -> str:
    """A picture as a data URI: WebP, about a third of PNG's size, and no wider than a page can show.

    Raises DataError if it cannot be read as a picture.
    """
    encoded = np.frombuffer(picture.read_bytes(), np.uint8)
    pixels = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    if pixels is None:
        raise DataError(f"{picture}: not a readable picture; run the stage that writes it again")
    if (factor := WIDEST_PX / pixels.shape[1]) < 1:
        pixels = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    _, smaller = cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])
    return "data:image/webp;base64," + base64.b64encode(smaller.tobytes()).decode()
