"""Lines go through the values of their runs, on linear, logarithmic and named axes."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from commands.run_chart import positions, run_chart

RUNS = {
    "train.lr": [1e-5, 1e-4, 1e-3],
    "network": ["resnet18", "resnet50", "resnet18"],
    "<b>": [True, False, True],
    "decay": [0.1, None, 0.2],
    "accuracy": [0.5, 0.9, 0.6],
}


def tick_of(value: object) -> str:
    try:
        return str(value) if isinstance(value, bool | None) else f"{float(str(value)):.4g}"
    except ValueError:
        return str(value)


@pytest.mark.parametrize(
    ("values", "places", "ticks"),
    [
        ([2, 4, 3], [0, 1, 0.5], ["2", "3", "4"]),
        ([1e-5, 1e-3, 1e-4], [0, 1, 0.5], ["1e-05", "0.0001", "0.001"]),
        ([-1, 1000, 0], [0, 1, 1 / 1001], ["-1", "0", "1000"]),  # no logarithm of what is not positive
        ([7, 7], [0.5, 0.5], ["7"]),
        (["b", "a", "c"], [0.5, 0, 1], ["a", "b", "c"]),
        ([True, False], [1, 0], ["False", "True"]),
        (["8", "128", "16"], [0, 1, 8 / 120], ["8", "16", "128"]),
        ([1e-5, "1e-03", 0.0001], [0, 1, 0.5], ["1e-05", "0.0001", "0.001"]),
        (["auto", "16", 8], [1, 0.5, 0], ["8", "16", "auto"]),
        (
            ["resnet101", "resnet18", "[4, 10]", "[4, 2]"],
            [1, 2 / 3, 1 / 3, 0],
            ["[4, 2]", "[4, 10]", "resnet18", "resnet101"],
        ),
        ([1, None, 3], [0, np.nan, 1], ["1", "3"]),
        (["a", None], [0.5, np.nan], ["a"]),
        ([None, None], [np.nan, np.nan], []),
        (list(range(10)), np.linspace(0, 1, 10), ["0", "9"]),
    ],
)
def test_values_have_their_places(values: list, places: list, ticks: list[str]) -> None:
    found, marks = positions(values)
    np.testing.assert_allclose(found, places, atol=1e-12)
    assert [text for _, text in marks] == ticks
    at = dict(zip(map(tick_of, values), found, strict=True))
    assert [place for place, _ in marks] == [at[text] for text in ticks]


def test_each_run_is_a_line_through_its_values_and_the_best_is_bold() -> None:
    svg = run_chart(RUNS, "accuracy")
    root = ElementTree.fromstring(svg)
    drawn = [
        path for path in root.iter("path") if "clip-path" in path.attrib and "stroke-width" in path.attrib["style"]
    ]
    lines = [path for path in drawn if path.attrib["d"].count("L") >= 2]
    assert len(lines) == 3
    bold = [path for path in lines if "stroke-width: 3" in path.attrib["style"]]
    assert len(bold) == 1
    assert bold[0].attrib["d"].count("M") == 2  # broken at `decay`
    points = np.array(re.findall(r"[ML] (\S+) (\S+)", bold[0].attrib["d"]), float)
    heights = -points[:, 1]
    # Its values on the four axes where it has one: 0.5, 1, 0 and 1.
    np.testing.assert_allclose((heights - heights.min()) / np.ptp(heights), [0.5, 1, 0, 1], atol=1e-6)
    assert {"train.lr", "network", "<b>", "resnet50", "1e-05"} <= {text.text for text in root.iter("text")}


def test_the_same_runs_give_the_same_bytes() -> None:
    assert run_chart(RUNS, "accuracy") == run_chart(RUNS, "accuracy")
