"""The server's page in a real browser: pictures chosen, pasted and dropped; by keyboard; on a phone, light and dark."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.transfer.deployment.browser import Page, browsing, chromium
from tests.transfer.deployment.server import Server, picture, serving, write_package

pytestmark = pytest.mark.slow
ANSWERED = "document.querySelectorAll('article .fill').length === {}"
# Of each text its contrast with what is behind it (WCAG 2.2, 1.4.3), the lowest first.
CONTRASTS = """(() => {
  const light = colour => {
    const parts = colour.match(/[\\d.]+/g).map(Number).slice(0, 3).map(x => x / 255)
    const [r, g, b] = parts.map(x => x <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4)
    return .2126 * r + .7152 * g + .0722 * b + .05
  }
  const behind = element => {
    const colour = getComputedStyle(element).backgroundColor
    return colour === 'rgba(0, 0, 0, 0)' ? behind(element.parentElement) : colour
  }
  const own = element => [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim())
  return [...document.body.querySelectorAll('main *')].filter(own).map(element => {
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))]
    return [Math.max(a, b) / Math.min(a, b), element.textContent]
  }).sort((a, b) => a[0] - b[0])
})()"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(write_package(tmp_path_factory.mktemp("page") / "package")) as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if not (program := chromium()):
        pytest.skip("no Chromium or Chrome here")
    with browsing(program, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(browser: Page, server: Server) -> Page:
    browser.log.clear()
    browser.show(1280, 800, "light")
    browser.open(f"http://127.0.0.1:{server.port}/")
    browser.wait_until("document.querySelector('#about').textContent.includes('dark, bright')")
    return browser


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One that the network is sure of, one that it is not, and one that is no picture."""
    folder = tmp_path_factory.mktemp("files")
    contents = {"white.png": picture(255), "grey.png": picture(130), "text.png": b"no picture"}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def test_chosen_pictures_are_answered_and_explained_and_nobody_else_is_asked(page: Page, files: list[Path]) -> None:
    page.choose("#choose", *files)
    page.wait_until("document.querySelectorAll('article').length === 3 && document.querySelector('article .error')")
    titles = page.run("[...document.querySelectorAll('h2')].map(each => each.textContent)")
    assert titles == ["text.png", "Perhaps bright, 50.7 %", "bright, > 99.9 %"]
    text = page.run("document.querySelector('#answers').innerText")
    assert "text.png" in text
    assert "not an image that OpenCV reads" in text
    assert "not sure enough" in text
    before = page.run("document.querySelector('article:last-child img').src")
    page.run("document.querySelector('article:last-child button').click()")
    page.wait_until(f"document.querySelector('article:last-child img').src !== '{before}'")
    page.wait_until("document.querySelector('article:last-child img').naturalWidth > 0")
    assert "Red: where covering" in page.run("document.querySelector('article:last-child').innerText")
    asked = page.run("performance.getEntriesByType('resource').map(each => new URL(each.name).origin)")
    assert set(asked) <= {page.run("location.origin"), "null"}
    assert [line for line in page.log if "415" not in line] == []  # a refused picture is noted by the browser itself


@pytest.mark.parametrize("event", ["paste", "drop"])
def test_a_picture_can_be_pasted_and_dropped(page: Page, event: str) -> None:
    page.run(f"""(async () => {{
        const canvas = new OffscreenCanvas(20, 20)
        canvas.getContext('2d').fillRect(0, 0, 20, 20)
        const data = new DataTransfer()
        data.items.add(new File([await canvas.convertToBlob()], 'black.png', {{ type: 'image/png' }}))
        const made = {{ paste: () => new ClipboardEvent('paste', {{ clipboardData: data, bubbles: true }}),
                        drop: () => new DragEvent('drop', {{ dataTransfer: data, bubbles: true }}) }}
        document.body.dispatchEvent(made['{event}']())
    }})()""")
    page.wait_until(ANSWERED.format(2))
    assert page.run("document.querySelector('h2').textContent") == "dark, > 99.9 %"


def test_the_keyboard_reaches_everything(page: Page, files: list[Path]) -> None:
    page.choose("#choose", files[0])
    page.wait_until(ANSWERED.format(2))
    reached = []
    for _ in range(6):
        page.press("Tab")
        reached.append(page.run("document.activeElement.id || document.activeElement.tagName"))
        marked = page.run("getComputedStyle(document.activeElement.labels?.[0] ?? document.activeElement).outlineStyle")
        assert marked == "solid", reached
        if reached[-1] == "BUTTON":
            page.press("Enter")
    assert reached == ["choose", "camera", "BUTTON", "SUMMARY", "A", "A"]
    page.wait_until("document.querySelector('article img').alt.startsWith('Heat map')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_it_fits_and_can_be_read(page: Page, files: list[Path], width: int, height: int, scheme: str) -> None:
    page.show(width, height, scheme)
    page.choose("#choose", *files)
    page.wait_until("document.querySelectorAll('article').length === 3 && document.querySelector('article .error')")
    page.run("document.querySelector('details').open = true")
    assert page.run("document.documentElement.scrollWidth") <= width
    lowest, text = page.run(CONTRASTS)[0]
    assert lowest >= 4.5, text
    ground = page.run("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    small = page.run("[...document.querySelectorAll('button, .button')].filter(e => e.offsetHeight < 44).length")
    assert small == 0
