"""What is probably a mistake in the names of classes, in a line each; names are taken as they are all the same."""

import re
import unicodedata
from collections.abc import Iterator, Sequence


def suspicious(classes: Sequence[str]) -> Iterator[str]:
    """Classes that differ only in how they are written, and one that seems to join several labels."""
    first: dict[str, str] = {}
    for name in classes:
        plain = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        if (other := first.setdefault(plain, name)) != name:
            yield f"classes {other!r} and {name!r} differ only in how they are written; are they one?"
            break
    for name in classes:
        parts = {part.strip() for part in re.split(r"[|;,]", name)}
        if len(parts) > 1 and parts & set(classes):
            yield f"class {name!r} is taken as one label; several labels per image are not learnt"
            break
