"""Commands in the pages of docs/, with what they print, as blocks that start with ```console."""

import re
from typing import NamedTuple

CUT = "[…]"


class Command(NamedTuple):
    line: str
    output: list[str]


def commands_of(page: str) -> list[Command]:
    """What a page says that people type, and what they see."""
    found: list[Command] = []
    for block in re.findall(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Command(line.removeprefix("$ "), []))
            else:
                found[-1].output.append(line)
    return found


def missing(documented: list[str], printed: str) -> list[str]:
    """Documented lines that a command did not print in this order. Figures may differ, `[…]` is anything."""
    rest = [_plain(line) for line in printed.splitlines()]
    lost = []
    for line in documented:
        if line.strip() == CUT:
            continue
        pattern = re.compile(".*".join(re.escape(_plain(part)) for part in line.split(CUT)).replace("\\#", "#"))
        place = next((i for i, other in enumerate(rest) if pattern.fullmatch(other)), None)
        if place is None:
            lost.append(line)
        else:
            rest = rest[place + 1 :]
    return lost


def _plain(line: str) -> str:
    return " ".join(re.sub(r"-?\d+(\.\d+)?", "#", line).split())
