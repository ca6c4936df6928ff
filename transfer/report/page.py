"""Fill in a report's templates: text made safe for HTML or Markdown, pictures inside the page."""

import base64
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from transfer.runtime.errors import DataError

WIDEST_PX = 1600
WEBP_QUALITY = 82


def fill_in(template: Path, content: dict[str, Any]) -> str:
    """A Jinja template's text. If its name has `.html` in it, what it is given is escaped; for Markdown see `md`."""
    is_page = ".html" in template.suffixes
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=is_page,
        finalize=_unbroken if is_page else None,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["md"] = as_markdown
    return environment.get_template(template.name).render(content).strip() + "\n"


def _unbroken(value: Any) -> Any:
    """Keeps a number and its % on one line; on marked-up text `replace` leaves the mark."""
    return value.replace(" %", "\N{NO-BREAK SPACE}%") if isinstance(value, str) else value


def as_markdown(text: str) -> str:
    """Text that GitHub shows as it is, in a table too: in one line, with its special characters escaped."""
    return re.sub(r"([\\`*<>|\[\]~&$]|(?<!\w)_|_(?!\w))", r"\\\1", " ".join(text.split()))


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
