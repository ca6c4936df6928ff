"""Commands in the pages of docs/, with what they print, as blocks that start with ```console."""

import re
from typing import NamedTuple

CUT = "[…]"
# What tests/pipeline/test_demo.py types in the demo's repository, in this order, for commands of README.md and
# own-images.md: the same, or a stand-in for what would take the network or hours.
TRIED = {
    'make predict IMAGES="photo.jpg folder/"': 'make predict IMAGES="photo.jpg folder/"',
    "dvc exp run -S backbone.name=timm/convnext_tiny.fb_in22k": (
        "dvc exp run -S backbone.name=timm/resnet10t -S backbone.weights=random backbone"
    ),
    'make recipe NAME=own-images ARGS="-S download.url=/path/to/photos"': (
        "make recipe NAME=own-images ARGS=\"-S 'download.url=$PWD/inputs/photos' subsample\""  # a path with spaces
    ),
    "dvc exp apply own-images": "dvc exp apply own-images",
}
LEFT_OUT = {
    "make demo": "test_demo.py calls what it calls",
    "make test": "it would run itself",
    "make serve": "test_demo.py runs it with a log, beside what else use-the-model.md shows",
    "cd demo && source .venv/bin/activate": "the test is there already",
    "xdg-open report/report.html": "it opens a window",
    "make laptop": "25 minutes",
    "make recipe NAME=laptop-18": "11 minutes",
    "make recipe NAME=record": "hours",
    'make recipe NAME=laptop ARGS="-S train.lr=0.001"': "25 minutes; own-images is tried",
}


class Command(NamedTuple):
    line: str
    output: list[str]


def commands_of(page: str) -> list[Command]:
    """What a page says that people type, and what they see."""
    found: list[Command] = []
    for block in re.findall(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Command(re.sub(r" {2,}#.*", "", line.removeprefix("$ ")), []))
            else:
                found[-1].output.append(line)
    return found


def commands_of_table(page: str) -> list[str]:
    """Commands in the first column of a page's tables."""
    return re.findall(r"^\| `((?:make|dvc) [^`]+)` \|", page, re.MULTILINE)


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
