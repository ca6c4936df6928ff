"""Charts are well-formed SVG without a link, fit for a page of several, and draw the figures that they are given."""

import re
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.transfer.report.healthy_run import TABLES
from transfer.report import charts

RISKS = [(0.1, 0.0), (0.4, 0.01), (0.7, 0.05), (1.0, 0.09)]
BINS = [(0.55, 0.4, 10), (0.75, 0.7, 40), (0.95, 0.96, 400)]
COUNTS = np.array([[950, 41, 9], [37, 963, 0], [1, 2, 997]])
NAMES = ["cat", "<b>", "$x_1$"]
DRAWN: dict[str, Callable[[], str]] = {
    "accuracy": lambda: charts.learning_curves(
        {"phase 1": TABLES["train_head"], "phase 2": TABLES["fine_tune"]}, "accuracy"
    ),
    "loss": lambda: charts.learning_curves({"phase 1": TABLES["train_head"]}, "loss"),
    "confusion": lambda: charts.confusion_matrix(COUNTS, NAMES),
    "reliability": lambda: charts.reliability_diagram({"as it is": BINS, "with temperature": BINS[1:]}),
    "risk": lambda: charts.risk_coverage_curve(RISKS),
}


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("text")]


def lines(svg: str, colour: str) -> list[np.ndarray]:
    """The points (N, 2) of each line of one colour, in the chart's own coordinates."""
    paths = [path for path in ElementTree.fromstring(svg).iter("path") if "clip-path" in path.attrib]
    drawn = [path.attrib["d"] for path in paths if f"stroke: {colour}" in path.attrib["style"]]
    return [np.array(re.findall(r"[ML] (\S+) (\S+)", steps), float) for steps in drawn]


def assert_on_one_scale(drawn: np.ndarray, values: np.ndarray) -> None:
    """A linear axis: drawn positions are a multiple of the values, plus a constant."""
    fitted = np.polynomial.Polynomial.fit(values, drawn, 1)
    np.testing.assert_allclose(fitted(values), drawn, atol=1e-3)


@pytest.mark.parametrize("name", DRAWN)
def test_a_chart_is_an_svg_element_that_links_to_nothing_but_itself(name: str) -> None:
    svg = DRAWN[name]()
    root = ElementTree.fromstring(svg)
    assert root.tag == "svg"
    assert "viewBox" in root.attrib
    assert "http" not in svg
    assert "<style" not in svg
    own = {element.attrib["id"] for element in root.iter() if "id" in element.attrib}
    linked = set(re.findall(r"url\(#(\w+)\)", svg)) | set(re.findall(r'href="#(\w+)"', svg))
    assert linked <= own
    assert 'href="' not in re.sub(r'href="#', "", svg)


@pytest.mark.parametrize("name", DRAWN)
def test_a_chart_takes_text_colour_and_font_from_the_page(name: str) -> None:
    svg = DRAWN[name]()
    assert "currentColor" in svg
    assert charts.TEXT not in svg
    assert "font-family" not in svg
    assert texts(svg)


def test_the_same_figures_give_the_same_bytes() -> None:
    for draw in DRAWN.values():
        assert draw() == draw()


def test_charts_on_one_page_share_no_names() -> None:
    names = [name for draw in DRAWN.values() for name in re.findall(r' id="(\w+)"', draw())]
    assert len(names) == len(set(names)) > 0


def test_curves_go_through_the_epochs_of_both_phases() -> None:
    svg = DRAWN["accuracy"]()
    assert {"phase 1", "phase 2", "training", "validation", "epoch"} <= {text.strip() for text in texts(svg)}
    drawn = np.concatenate(lines(svg, charts.ORANGE)[:2])
    rows = [*TABLES["train_head"], *TABLES["fine_tune"]]
    assert_on_one_scale(drawn[:, 0], np.array([float(row["epoch"]) for row in rows]))
    assert_on_one_scale(-drawn[:, 1], np.array([float(row["val_accuracy"]) for row in rows]))


def test_the_risk_coverage_curve_goes_through_its_points() -> None:
    (drawn,) = lines(DRAWN["risk"](), charts.BLUE)
    assert_on_one_scale(drawn[:, 0], np.array(RISKS)[:, 0])
    assert_on_one_scale(-drawn[:, 1], np.array(RISKS)[:, 1])


def test_the_reliability_diagram_shows_both_views_on_equal_axes() -> None:
    svg = DRAWN["reliability"]()
    (raw,), (scaled,) = (lines(svg, colour)[:1] for colour in (charts.BLUE, charts.ORANGE))
    assert_on_one_scale(raw[:, 0], np.array(BINS)[:, 0])
    assert_on_one_scale(-raw[:, 1], np.array(BINS)[:, 1])
    np.testing.assert_allclose(raw[1:], scaled, atol=1e-6)
    assert {"as it is", "with temperature"} <= set(texts(svg))


def test_the_confusion_matrix_has_its_numbers_and_names_as_they_are() -> None:
    shown = texts(DRAWN["confusion"]())
    assert [text for text in shown if text.isdigit()] == [str(count) for count in COUNTS.flat if count]
    for name in NAMES:  # on both axes, neither as markup nor as mathematics
        assert shown.count(name) == 2


def test_a_confusion_matrix_without_errors_or_images_is_drawn_too() -> None:
    assert "<svg" in charts.confusion_matrix(np.diag([3, 0]), ["cat", "dog"])
