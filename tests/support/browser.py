"""A real browser without a window: Chromium from npm's ``@sparticuz/chromium``, which ships it inside the package.

``npm ci`` brings it; nothing is downloaded from elsewhere. The package's own launcher switches a browser's protection
against foreign pages off, so that is not used: the browser is unpacked and spoken to over a pipe.
https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.node import node

ROOT = Path(__file__).resolve().parents[2]

PACKAGE = ROOT / "node_modules" / "@sparticuz" / "chromium"

#: Unpacked once; it takes some seconds.
UNPACKED = ROOT / "node_modules" / ".cache" / "chromium"

UNPACK = """
const zlib = require("zlib"), fs = require("fs");
const [from, to] = process.argv.slice(1);
fs.createReadStream(from).pipe(zlib.createBrotliDecompress()).pipe(fs.createWriteStream(to, { mode: 0o755 }));
"""

OPTIONS = ("--headless", "--no-sandbox", "--no-zygote", "--disable-gpu", "--remote-debugging-pipe")

#: Puts two pipes where the browser looks for them, and becomes the browser.
LAUNCH = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""

#: The least number of a pipe, out of the way of those that the browser looks at.
LEAST_NUMBER = 10


def why_not() -> str | None:
    """Why there is no browser here, or None when there is one."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "the package has Chromium for Linux on x86-64 only"
    if node() is None or not PACKAGE.is_dir():
        return "Chromium is not there; 'make test' installs it"
    return None


class Browser:
    """A running browser with one page."""

    def __init__(self, commands: int, events: int) -> None:
        self._commands = commands
        self._events = events
        self._buffer = b""
        self._number = 0
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._page = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._call("Page.enable", self._page)

    def open(self, url: str) -> str:
        """Go to an address and return the text of what is shown there."""
        self._call("Page.navigate", self._page, url=url)
        self._wait_for("Page.loadEventFired")
        return str(self.evaluate("document.body.innerText"))

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page; a promise is waited for."""
        result = self._call(
            "Runtime.evaluate", self._page, expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def close(self) -> None:
        """End it."""
        self._call("Browser.close")

    def _call(self, method: str, session: str | None = None, /, **params: Any) -> Any:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def _wait_for(self, event: str) -> None:
        while self._next().get("method") != event:
            pass

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            received = os.read(self._events, 1 << 16)
            assert received, "the browser is gone"
            self._buffer += received
        message, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


@contextlib.contextmanager
def browser(*options: str) -> Iterator[Browser]:
    """Start the browser, and end it.

    Args:
        *options: More of Chromium's command line options.
    """
    _unpack()
    command_read, command_write = _pipe()
    event_read, event_write = _pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [UNPACKED / "chromium", *OPTIONS, f"--user-data-dir={profile}", *options]
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, str(command_read), str(event_write), *command],
            env={**os.environ, "LD_LIBRARY_PATH": str(UNPACKED / "lib"), "HOME": profile},
            pass_fds=(command_read, event_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(command_read)
        os.close(event_write)
        try:
            running = Browser(command_write, event_read)
            yield running
            running.close()
            process.wait(10)
        finally:
            process.kill()
            process.wait()
            os.close(command_write)
            os.close(event_read)


def _pipe() -> list[int]:
    """The two ends of a pipe."""
    ends = []
    for end in os.pipe():
        ends.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, LEAST_NUMBER))
        os.close(end)
    return ends


def _unpack() -> None:
    """The browser, and the libraries that a bare machine lacks."""
    UNPACKED.mkdir(parents=True, exist_ok=True)
    with (UNPACKED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        version = json.loads((PACKAGE / "package.json").read_text())["version"]
        marker = UNPACKED / "version"
        if marker.is_file() and marker.read_text() == version:
            return
        for name, to in (("chromium.br", "chromium"), ("al2023.tar.br", "libraries.tar")):
            subprocess.run([str(node()), "-e", UNPACK, "--", PACKAGE / "bin" / name, UNPACKED / to], check=True)
        subprocess.run(["tar", "-xf", UNPACKED / "libraries.tar", "-C", UNPACKED], check=True)
        marker.write_text(version)
