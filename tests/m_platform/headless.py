"""A headless Chromium that is driven as a person would: keys, a pointer, a look at what is there.

It speaks the browser's debugging protocol over a WebSocket; nothing but the browser itself is needed.
"""

import base64
import json
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from urllib.request import urlopen

import pytest
from websockets.sync.client import connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE = 20.0  # seconds, for whatever is waited for
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--mute-audio",
    "--remote-debugging-port=0",
)


@contextmanager
def headless():
    """A browser with one page, closed at the end; skips where none is installed."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium on this machine")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [path, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            port = _port(Path(profile) / "DevToolsActivePort")
            with connect(_page_address(port), max_size=None) as socket:
                yield Page(socket)
        finally:
            process.kill()
            process.wait(10)


def _port(file):
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        if file.exists() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        time.sleep(0.05)
    raise TimeoutError("the browser did not start")


def _page_address(port):
    with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE) as answer:
        return next(each["webSocketDebuggerUrl"] for each in json.load(answer) if each["type"] == "page")


class Page:
    """What is open, and what it asked for and complained about since `open`."""

    def __init__(self, socket):
        self._socket, self._numbers = socket, count(1)
        self.requests, self.complaints = [], []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._send(f"{domain}.enable")

    def open(self, address, *, width=1280, height=900, dark=False, still=True):
        """Go there, in a window of that size."""
        self._send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if width < 500 else 1,
            mobile=width < 500,
        )
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"},
        ]
        self._send("Emulation.setEmulatedMedia", features=features)
        self._send("Page.navigate", url="about:blank")
        self.requests.clear()
        self.complaints.clear()
        self._send("Page.navigate", url=address)

    def eval(self, script):
        """What an expression gives."""
        answer = self._send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def wait(self, script):
        """Until an expression is true; what it gives then."""
        # Of the page asked for, and all of it: the blank one before it has a body too.
        there = "document.URL !== 'about:blank' && document.readyState !== 'loading' && document.body"
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends:
            if found := self.eval(f"{there} && ({script}) || null"):
                return found
            time.sleep(0.03)
        raise AssertionError(
            f"never true: {script}\n{self.eval('document.body.innerText')}\n{self.complaints}"
        )

    def text(self, selector):
        return self.eval(f"document.querySelector({json.dumps(selector)}).innerText")

    def click(self, selector):
        self.eval(f"document.querySelector({json.dumps(selector)}).click()")

    def set(self, selector, value):
        """Give a control a value, as moving it does."""
        self.eval(
            f"(() => {{ const c = document.querySelector({json.dumps(selector)});"
            f" c.value = {json.dumps(value)};"
            " c.dispatchEvent(new Event('input', { bubbles: true }));"
            " c.dispatchEvent(new Event('change', { bubbles: true })); })()"
        )

    def focus(self, selector):
        self.eval(f"document.querySelector({json.dumps(selector)}).focus()")

    def press(self, key, code=0):
        for kind in ("rawKeyDown", "keyUp"):
            self._send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def drag(self, places, *, seconds=0.0):
        """The pointer, held down, from place to place of the window."""
        mouse = {"button": "left", "clickCount": 1}
        kinds = ["mousePressed", *["mouseMoved"] * (len(places) - 1)]
        for kind, (x, y) in zip(kinds, places, strict=True):
            self._send("Input.dispatchMouseEvent", type=kind, x=x, y=y, buttons=1, **mouse)
            time.sleep(seconds / len(places))
        self._send(
            "Input.dispatchMouseEvent", type="mouseReleased", x=places[-1][0], y=places[-1][1], **mouse
        )

    def box(self, selector):
        """Left, top, width and height in the window."""
        script = f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView(); "
        return self.eval(
            script + "const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()"
        )

    def picture(self, path, *, whole=False):
        """Write what can be seen, or the whole page, as PNG."""
        extra = {"captureBeyondViewport": whole}
        if whole:
            size = self._send("Page.getLayoutMetrics")["cssContentSize"]
            extra["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self._send("Page.captureScreenshot", format="png", **extra)
        Path(path).write_bytes(base64.b64decode(shot["data"]))

    def _send(self, method, **parameters):
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=PATIENCE))
            if message.get("id") == number:
                if "error" in message:
                    raise AssertionError(f"{method}: {message['error']}")
                return message["result"]
            self._note(message)

    def _note(self, message):
        told = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(told["request"]["url"])
            case "Network.webSocketCreated":
                self.requests.append(told["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(told["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if told["type"] in ("error", "warning"):
                self.complaints.append(json.dumps(told["args"]))
            case "Log.entryAdded" if told["entry"]["level"] in ("error", "warning"):
                self.complaints.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
