"""A real browser for tests: Chromium through chromedriver, spoken to in plain WebDriver over HTTP."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.tools import need

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key of an element reference (W3C WebDriver, "Elements")."""


class Browser:
    """One headless session. Errors of the driver are raised as urllib's HTTPError."""

    def __init__(self, port: int, binary: str) -> None:
        self._base = f"http://127.0.0.1:{port}"
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        wanted = {
            "goog:chromeOptions": {"binary": binary, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        made = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{made['sessionId']}"

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._base + path, data, method=method)
        request.add_header("Content-Type", "application/json")
        with self._open(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, page: Path) -> None:
        """Load a file."""
        self._call("POST", f"{self._session}/url", {"url": page.as_uri()})

    def run(self, script: str, *arguments: Any) -> Any:
        """The value that a function body returns."""
        return self._call(
            "POST", f"{self._session}/execute/sync", {"script": script, "args": list(arguments)}
        )

    def devtools(self, command: str, **parameters: Any) -> Any:
        """A command of the DevTools protocol."""
        body = {"cmd": command, "params": parameters}
        return self._call("POST", f"{self._session}/goog/cdp/execute", body)

    def resize(self, width: int, height: int) -> None:
        """Set the size of the page's view."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def scheme(self, name: str) -> None:
        """Prefer "dark" or "light"."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.devtools("Emulation.setEmulatedMedia", media="", features=features)

    def point_at(self, selector: str) -> None:
        """Move the pointer to the middle of the first element that a CSS selector finds."""
        found = self._call("POST", f"{self._session}/element", {"using": "css selector", "value": selector})
        self.run("arguments[0].scrollIntoView({block: 'center'})", found)
        move = {"type": "pointerMove", "duration": 0, "x": 0, "y": 0, "origin": {ELEMENT: found[ELEMENT]}}
        mouse = {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": [move]}
        self._call("POST", f"{self._session}/actions", {"actions": [mouse]})

    def log(self) -> list[str]:
        """What the console said since it was last asked."""
        found = self._call("POST", f"{self._session}/se/log", {"type": "browser"})
        return [f"{each['level']}: {each['message']}" for each in found]

    def print(self) -> bytes:
        """The page as a PDF."""
        return base64.b64decode(self._call("POST", f"{self._session}/print", {"background": True}))

    def screenshot(self) -> bytes:
        """What is seen, as a PNG."""
        return base64.b64decode(self._call("GET", f"{self._session}/screenshot"))

    def close(self) -> None:
        """End the session."""
        self._call("DELETE", self._session)


@contextmanager
def browser() -> Iterator[Browser]:
    """A session of its own; skips the test where there is no Chromium."""
    binary, driver = need("chromium"), need("chromedriver")
    with subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield from _session(process, binary)
        finally:
            process.terminate()


def _session(process: subprocess.Popen[str], binary: str) -> Iterator[Browser]:
    assert process.stdout is not None
    port = next(found for line in process.stdout if (found := re.search(r"successfully on port (\d+)", line)))
    session = Browser(int(port[1]), binary)
    try:
        yield session
    finally:
        session.close()
