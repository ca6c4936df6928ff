"""A headless Chromium, driven by its own DevTools protocol over a pipe: no driver to install."""

import base64
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Its own: no profile of the user, nothing fetched, and a sandbox that root has not got.
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe")


def chromium() -> str | None:
    """The program, if there is one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """An open page: `run` evaluates JavaScript in it, and `log` has what it complained of."""

    def __init__(self, to: int, back: int) -> None:
        self.to, self.back = to, back
        self.numbers, self.rest, self.log = itertools.count(1), b"", list[str]()
        self.session: dict[str, str] = {}
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self.session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> Any:
        """The result of one command. Raises AssertionError if Chromium refuses it or has ended."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters, **self.session}
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while (told := self._next()).get("id") != number:
            if told["method"] in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.log.append(json.dumps(told["params"]))
        assert "error" not in told, told
        return told["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            more = os.read(self.back, 1 << 16)
            assert more, "Chromium has ended"
            self.rest += more
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def run(self, script: str) -> Any:
        """What an expression gives, after it is done if it is a promise."""
        told = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def wait_until(self, condition: str, seconds: float = 60) -> None:
        """Wait for an expression to become true."""
        script = f"""new Promise((good, bad) => {{
            const end = performance.now() + {1000 * seconds}
            const look = () => {{
                if ({condition}) good(true)
                else if (performance.now() < end) setTimeout(look, 20)
                else bad(Error(document.body.innerText))
            }}
            look()
        }})"""
        self.run(script)

    def show(self, width: int, height: int, scheme: str) -> None:
        """Be so large, in CSS pixels, and in `light` or `dark`."""
        phone = width < 500
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, address: str) -> None:
        self.send("Page.navigate", url=address)
        self.wait_until(f"location.href === {json.dumps(address)} && document.readyState === 'complete'")

    def choose(self, selector: str, *files: Path) -> None:
        """Choose files in an input, as a person does."""
        found = self.send("Runtime.evaluate", expression=f"document.querySelector({json.dumps(selector)})")["result"]
        self.send("DOM.setFileInputFiles", files=list(map(str, files)), objectId=found["objectId"])

    def press(self, key: str) -> None:
        code = {"Tab": 9, "Enter": 13}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def picture(self) -> bytes:
        """The whole page as PNG."""
        return base64.b64decode(self.send("Page.captureScreenshot", captureBeyondViewport=True)["data"])


@contextmanager
def browsing(program: str, profile: Path) -> Iterator[Page]:
    """A browser with one page, until the end of the block; `profile` is a folder that it fills."""
    here, to = os.pipe()
    back, there = os.pipe()
    # Commands come on 3, answers go to 4.
    words = [f'exec "$@" 3<&{here} 4>&{there}', "-", program, *OPTIONS, f"--user-data-dir={profile}"]
    said = subprocess.DEVNULL
    process = subprocess.Popen(["bash", "-c", *words], pass_fds=(here, there), stdout=said, stderr=said)
    os.close(here)
    os.close(there)
    try:
        yield Page(to, back)
    finally:
        process.terminate()
        process.wait(30)
        os.close(to)
        os.close(back)
