"""A headless Chromium that opens pages and reports what went wrong: its DevTools protocol, without further packages."""

import base64
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit


def find_chromium() -> str | None:
    """The browser's executable, if this machine has one; $CHROME goes first."""
    names = (os.environ.get("CHROME"), "chromium", "chromium-browser", "google-chrome", "chrome")
    return next((path for name in names if name and (path := shutil.which(name))), None)


class Browser:
    """One tab.  with Browser(executable, folder) as browser: browser.open(url); browser.evaluate("1 + 1")"""

    def __init__(self, executable: str, folder: Path):
        options = ["--headless", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run", "--disable-extensions"]
        options += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={folder}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            options.append("--no-sandbox")  # Chromium refuses to run as root otherwise
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen([executable, *options, "about:blank"], **quiet)
        self.events: list[dict] = []
        self.last_id = 0
        try:
            port, path = self._wait_for(folder / "DevToolsActivePort").split()[:2]
            self.socket = _WebSocket(int(port), path)
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.process.kill()
            raise

    session: str | None = None

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_) -> None:
        self.process.terminate()
        self.process.wait(20)

    def call(self, method: str, **parameters) -> dict:
        """Run one command and return its result; events that arrive meanwhile are kept. RuntimeError if it fails."""
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": parameters}
        self.socket.send(json.dumps(message | ({"sessionId": self.session} if self.session else {})))
        while (answer := json.loads(self.socket.receive())).get("id") != self.last_id:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def set_width(self, width: int, height: int = 900) -> None:
        """Show pages in a window of this size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def open(self, url: str) -> None:
        """Load a page, and wait until all of it is there."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        self._wait_for_load()

    def follow(self, expression: str) -> None:
        """Run an expression that leaves the page, and wait until all of the next one is there."""
        self.events.clear()
        self.evaluate(f"setTimeout(() => {{ {expression} }})")  # which answers before the page is gone
        self._wait_for_load()

    def evaluate(self, expression: str):
        """The value of a JavaScript expression, awaited if it is a promise. RuntimeError if it throws."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def problems(self) -> list[str]:
        """Script errors, failed loads and requests to other hosts since the page was opened."""
        found = []
        for event in self.events:
            details = event.get("params", {})
            match event.get("method"):
                case "Runtime.exceptionThrown":
                    found.append(f"script error: {details['exceptionDetails'].get('text')}")
                case "Log.entryAdded" if details["entry"]["level"] == "error":
                    found.append(f"{details['entry']['text']} {details['entry'].get('url', '')}")
                case "Network.loadingFailed":
                    found.append(f"not loaded: {details.get('errorText')} ({details.get('type')})")
                case "Network.requestWillBeSent" if urlsplit(details["request"]["url"]).scheme not in ("file", "data"):
                    found.append(f"request to {details['request']['url']}")
        return found

    def _wait_for_load(self):
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(json.loads(self.socket.receive()))

    def _wait_for(self, file):
        """The text of a file that the browser writes when it is ready."""
        for _ in range(600):
            if file.exists() and (text := file.read_text()).count("\n"):
                return text
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"the browser did not start (exit status {self.process.poll()})")


class _WebSocket:
    """The client side of RFC 6455, as far as text messages to a local server need it."""

    def __init__(self, port, path):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.stream = self.socket.makefile("rb")
        status = self.stream.readline()
        if b"101" not in status:
            raise RuntimeError(f"no WebSocket: {status!r}")
        while self.stream.readline().strip():
            pass

    def send(self, text):
        """One masked text frame; a mask of zeros leaves the bytes as they are."""
        data = text.encode()
        size = len(data)
        if size < 126:
            head = bytes([0x81, 0x80 | size])
        elif size < 1 << 16:
            head = bytes([0x81, 0xFE]) + size.to_bytes(2, "big")
        else:
            head = bytes([0x81, 0xFF]) + size.to_bytes(8, "big")
        self.socket.sendall(head + bytes(4) + data)

    def receive(self):
        """The next text message, put together from its frames."""
        parts = []
        while True:
            first, second = self.stream.read(2)
            size = second & 0x7F
            if size >= 126:
                size = int.from_bytes(self.stream.read(2 if size == 126 else 8), "big")
            data = self.stream.read(size)
            if first & 0x0F in (0, 1):
                parts.append(data)
                if first & 0x80:
                    return b"".join(parts).decode()
