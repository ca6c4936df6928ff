"""What programs can ask the server, as a page for people."""

from collections.abc import Mapping
from html import escape
from typing import Any

STYLE = """:root { color-scheme: light dark }
body { max-width: 44em; margin: 2em auto; padding: 0 1em; font: 16px/1.5 system-ui }"""


def interface_page(openapi: Mapping[str, Any]) -> str:
    """HTML of the routes in an OpenAPI description: method, path, what it does, and what it takes. It loads nothing."""
    parts = []
    for path, methods in openapi["paths"].items():
        for method, about in methods.items():
            taken = [
                *about.get("requestBody", {}).get("content", ()),
                *(f"?{p['name']}=" for p in about.get("parameters", ())),
            ]
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2>")
            parts.append(f"<p>{escape(about.get('description', ''))}</p>")
            if taken:
                parts.append(f"<p>Takes {', '.join(f'<code>{escape(each)}</code>' for each in taken)}.</p>")
    title = escape(openapi["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head><body><main><h1>{title}: the interface for programs</h1>"
        f'<p>As OpenAPI: <a href="openapi.json">openapi.json</a>.</p>{"".join(parts)}</main></body></html>'
    )
