"""`make predict`: what an argument stands for, a row per image, files written, and what cannot be read."""

import csv
import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest

from commands import predict
from tests.transfer.deployment.server import brightness_package
from transfer.deployment.predictor import Predictor
from transfer.runtime.files import ROOT

CLASSES = ("dark, or black", "bright")


def brightness(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A network that says how bright an image is; its features point elsewhere for red ones."""
    share = pixels.mean((1, 2, 3)) / 255
    red = pixels[..., 0].mean((1, 2)) - pixels[..., 2].mean((1, 2)) > 100
    return np.stack([1 - share, share], 1), np.stack([~red, red], 1).astype(np.float32)


@pytest.fixture
def predictor() -> Predictor:
    return Predictor(brightness_package(CLASSES, 1), brightness, np.array([[1, 0]], np.float32))


def write_image(path: Path, colour: tuple[int, int, int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((20, 30, 3), colour, np.uint8))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """dark.png, sub/bright.JPG, sub/grey.png, a text file that is no image and one that says it is."""
    write_image(tmp_path / "in/dark.png", (5, 5, 5))
    write_image(tmp_path / "in/sub/grey.png", (120, 120, 120))
    write_image(tmp_path / "in/sub/bright.jpg", (250, 250, 250)).rename(tmp_path / "in/sub/bright.JPG")
    (tmp_path / "in/notes.txt").write_text("no image")
    (tmp_path / "in/text.png").write_text("no image")
    return tmp_path / "in"


def run(monkeypatch: pytest.MonkeyPatch, predictor: Predictor, *images: Path | str, **options: object) -> int:
    monkeypatch.setattr(predict, "load_predictor", lambda *_: predictor)
    chosen = {"csv": None, "json": None, "sheet": None, "heat": False, "rev": None, "package": Path(), "network": None}
    return predict.main(Namespace(images=[str(each) for each in images], **(chosen | options)))


def names_of(argument: Path | str) -> list[str]:
    return [row.file for row in predict.rows_of(str(argument))]


def test_a_folder_stands_for_its_images_at_any_depth(folder):
    assert [Path(name).name for name in names_of(folder)] == ["dark.png", "bright.JPG", "grey.png", "text.png"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.csv", "label,File\na,dark.png\nb,https://example.org/x.png\n"),
        ("list.csv", "label,file name\na,dark.png\nb,https://example.org/x.png\n"),
        ("list.csv", "label,URL\na,dark.png\nb,https://example.org/x.png\n"),
        ("list.tsv", "image\tlabel\ndark.png\ta\nhttps://example.org/x.png\tb\n"),
        ("list.csv", "dark.png\n\nhttps://example.org/x.png\n"),
    ],
)
def test_a_list_names_images_beside_it(folder, name, text):
    (folder / name).write_text(text, encoding="utf-8-sig")
    assert names_of(folder / name) == [str(folder / "dark.png"), "https://example.org/x.png"]


def test_what_gives_no_image_stops_no_other(folder, predictor, monkeypatch, capsys):
    """An empty folder, lists that are missing, empty or not UTF-8, a link to nothing, a name that is too long."""
    empty = folder.parent / "none"
    empty.mkdir()
    missing, blank, latin = (folder.parent / name for name in ("missing.csv", "blank.csv", "latin.csv"))
    blank.write_text("\n")
    latin.write_bytes("größe.png\n".encode("latin-1"))
    (folder / "gone.png").symlink_to("nowhere.png")
    long = "x" * 300
    assert run(monkeypatch, predictor, empty, missing, blank, latin, long, folder) == 1
    shown = capsys.readouterr()
    rows = [" ".join(line.split()) for line in shown.out.splitlines()[1:]]
    assert rows[:3] == [
        f"{empty} – no image in this folder",
        f"{missing} – No such file or directory",
        f"{blank} – no image in this list",
    ]
    assert rows[3].startswith(f"{latin} – not a list in UTF-8")
    assert rows[4] == f"{long} – File name too long"
    assert len(rows) == 5 + 5
    assert next(row for row in rows if "gone.png" in row).endswith("no such file; check the address")
    assert sum("known" in row for row in rows[5:]) == 3
    assert "not answered: 7 of 10 images" in shown.err


def test_a_name_that_is_not_utf_8_is_written_too(folder, predictor, monkeypatch, tmp_path, capfd):
    name = os.fsdecode(b"\xe9t\xe9.png")
    write_image(folder.parent / "summer.png", (250, 250, 250)).rename(folder.parent / name)
    files = {kind: tmp_path / f"out.{kind}" for kind in ("csv", "json")}
    assert run(monkeypatch, predictor, folder.parent / name, folder.parent / f"no{name}", **files) == 1
    with files["csv"].open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [Path(row["file"]).name for row in rows] == ["\\udce9t\\udce9.png", "no\\udce9t\\udce9.png"]
    assert json.loads(files["json"].read_text())["images"][0]["file"] == rows[0]["file"]
    assert rows[0]["answer"] == "bright"
    assert rows[1]["reason"] in capfd.readouterr().out


def test_names_neither_steer_the_terminal_nor_shift_its_columns(folder, predictor, monkeypatch, capsys):
    for name in ("new\nline.png", "red\x1b[31m.png", "猫.png", "cafe\u0301.png", "a\u202egnp.exe.png"):
        write_image(folder.parent / "odd.png", (250, 250, 250)).rename(folder.parent / name)
    assert run(monkeypatch, predictor, *sorted(folder.parent.glob("*.png"))) == 0
    shown = capsys.readouterr().out
    assert {"\x1b", "\u202e"}.isdisjoint(shown)
    _, turned, accent, line, red, cat = shown.splitlines()
    assert "a\\u202egnp.exe.png" in turned
    assert "new\\nline.png" in line
    assert "red\\x1b[31m.png" in red
    place = line.index("  bright")
    assert (accent.index("  bright"), red.index("  bright"), cat.index("  bright")) == (place + 1, place, place - 1)


def test_a_heat_map_without_a_sheet_is_refused():
    words = [sys.executable, "-m", "commands.predict", "x.png", "--heat"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[-1].split("error: ")[1]) == (
        2,
        "--heat draws into a sheet; name its file with --sheet",
    )


def test_every_image_is_a_row_and_a_bad_one_a_row_with_its_reason(folder, predictor, monkeypatch, capsys):
    missing = folder / "missing.png"
    red = write_image(folder.parent / "red.png", (0, 0, 255))
    assert run(monkeypatch, predictor, folder, missing, red) == 1
    shown = capsys.readouterr()
    _, dark, bright, grey, text, gone, unlike = shown.out.splitlines()
    assert "dark, or black" in dark
    assert "98.0 %" in dark
    assert dark.endswith("known")
    assert "bright" in bright
    assert "98.0 %" in bright
    assert grey.endswith("unknown: not sure enough")
    assert unlike.endswith("unknown: unlike the training images")
    assert text.endswith("not an image that OpenCV reads")
    assert "missing.png" in gone
    assert "no such file" in gone.lower()
    assert "not answered: 2 of 6 images" in shown.err


def test_all_whole_images_end_with_0_and_their_files_say_the_same(folder, predictor, monkeypatch, tmp_path):
    (folder / "text.png").unlink()
    files = {kind: tmp_path / f"out.{kind}" for kind in ("csv", "json")} | {"sheet": tmp_path / "out.png"}
    assert run(monkeypatch, predictor, folder, heat=True, **files) == 0
    with files["csv"].open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    images = json.loads(files["json"].read_text())["images"]
    assert (
        [row["answer"] for row in rows]
        == [image["answer"] for image in images]
        == [CLASSES[0], *CLASSES[1:], CLASSES[0]]
    )
    assert [float(row["probability"]) for row in rows] == [image["probability"] for image in images]
    assert cv2.imread(str(files["sheet"])) is not None


def test_more_images_than_a_batch_keep_their_order(predictor, tmp_path):
    shades = np.random.default_rng(0).permutation(np.arange(0, 250, 5))
    names = [str(write_image(tmp_path / f"{i}.png", (int(s), int(s), int(s)))) for i, s in enumerate(shades)]
    assert len(names) > predict.BATCH
    rows = list(predict.predict(predictor, [predict.Row(name) for name in names]))
    assert [row.file for row in rows] == names
    expected = [max(s, 255 - s) / 255 for s in shades.tolist()]
    np.testing.assert_allclose([row.probability or 0 for row in rows], expected, atol=1e-6)


def test_the_heat_map_shows_what_the_answer_rests_on(predictor):
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:4, 8:12] = 255
    rows = predictor.answer(pixels[None])
    assert rows.probabilities[0].argmax() == 0
    heat = predict.occlusion_map(predictor.network, pixels, 1)
    assert heat.max() == 1
    assert np.unravel_index(heat.argmax(), heat.shape)[0] < 4
    assert not predict.occlusion_map(predictor.network, np.zeros((16, 16, 3), np.uint8), 1).any()
