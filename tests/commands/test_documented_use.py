"""docs/use-the-model.md shows what the commands, the server and the predictor print."""

import json
import os
import re
import subprocess
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest

from commands import predict
from tests.documented import commands_of, missing
from tests.transfer.deployment.server import picture, serving, write_package
from transfer.deployment.predictor import Predictor, load_predictor
from transfer.runtime.files import ROOT

PAGE = (ROOT / "docs/use-the-model.md").read_text(encoding="utf-8")
COMMANDS = {command.line: command.output for command in commands_of(PAGE)}
PREDICT, SERVE, ONE, SEVERAL = COMMANDS


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder `images` of the page: those that are images are grey, each of its own shade."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "images"
    folder.mkdir()
    for number, name in enumerate(re.findall(r"^images/(\S+)", PAGE, re.MULTILINE)):
        (folder / name).write_bytes(b"text" if name.startswith("broken") else picture(40 * number))
    return folder


def test_predict_prints_its_table(images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """By a network that knows the documented answers by the shade."""
    rows = [re.split(r"  +", line) for line in COMMANDS[PREDICT][1:-1] if "–" not in line]
    classes = sorted({row[at] for row in rows for at in (1, 3)})

    def network(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = np.zeros((len(pixels), len(classes)))
        for each, shade in zip(found, pixels[:, 0, 0, 0], strict=True):
            name = sorted(path.name for path in images.iterdir())[round(shade / 40)]
            _, first, one, second, two, _ = next(row for row in rows if row[0].endswith(name))
            each[[classes.index(first), classes.index(second)]] = [float(share[:-2]) for share in (one, two)]
        return found / found.sum(1, keepdims=True), np.tile(np.array([1, 0], np.float32), (len(found), 1))

    package = load_predictor(write_package(images.parent / "package")).package
    package = package.model_copy(update={"classes": tuple(classes), "temperature": 1.0})
    monkeypatch.setattr(predict, "load_predictor", lambda *_: Predictor(package, network, np.eye(2, dtype=np.float32)))
    options = Namespace(csv=None, json=None, sheet=None, heat=False, rev=None, package=Path(), network=None)
    assert predict.main(Namespace(images=[PREDICT.partition("IMAGES=")[2]], **vars(options))) == 1
    shown = capsys.readouterr()
    assert missing(COMMANDS[PREDICT], shown.out + shown.err.splitlines()[-1]) == []
    assert len(shown.out.splitlines()) == len(COMMANDS[PREDICT]) - 1


def test_curl_gets_its_json(images: Path, tmp_path: Path) -> None:
    assert SERVE == "make serve"
    package = write_package(tmp_path / "package")
    about = json.loads((package / "package.json").read_text())
    (package / "package.json").write_text(json.dumps(about | {"classes": ["dog", "cat"]}))
    cv2.imwrite(str(images / "cat.png"), np.full((9, 9, 3), 255, np.uint8))
    with serving(package) as server:
        for line in (ONE, SEVERAL):
            asked = line.replace("curl", "curl --silent", 1).replace(":8000/", f":{server.port}/")
            done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True, env=os.environ)
            assert missing([re.sub('[0-9a-f]+(?=\\[…\\]",)', "", each) for each in COMMANDS[line]], done.stdout) == []


def test_the_lines_of_python_give_what_stands_beside_them(images: Path) -> None:
    write_package(images.parent / "models/classifier")
    cv2.imwrite(str(images / "cat.png"), np.full((9, 9, 3), 250, np.uint8))
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    *lines, (last, printed) = [line.split("  # ") for line in block.splitlines() if line]
    names: dict[str, object] = {}
    exec("\n".join(line for (line,) in lines), names)
    assert missing([printed], repr(eval(last, names))) == []
