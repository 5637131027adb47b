"""MiniStack, an AWS emulator that shares no code with ours, as a process for the length of a test.

It lives in an environment of its own, ``.venv-ministack``, because it pins botocore::

    python -m venv .venv-ministack && .venv-ministack/bin/pip install -r requirements-ministack.lock
"""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]

#: Its command, in its own environment.
COMMAND = ROOT / ".venv-ministack" / "bin" / "ministack"

#: The region it is asked to be.
REGION = "us-east-1"

#: Seconds that it may take to answer; it takes a quarter of one on an idle machine.
START_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class MiniStack:
    """A running server.

    Attributes:
        endpoint_url: Where it listens, for ``AWS_ENDPOINT_URL``.
        log: The file with what it prints.
    """

    endpoint_url: str
    log: Path

    @property
    def environment(self) -> dict[str, str]:
        """What makes any AWS client talk to it, and to nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }


def is_installed() -> bool:
    """Whether its environment is there."""
    return COMMAND.is_file()


@contextlib.contextmanager
def ministack() -> Iterator[MiniStack]:
    """Start one on a free loopback port with a temporary directory of its own, and stop it afterwards."""
    with tempfile.TemporaryDirectory(prefix="ministack-") as directory:
        port = free_ports()
        server = MiniStack(endpoint_url=f"http://127.0.0.1:{port}", log=Path(directory) / "ministack.log")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "TMPDIR": directory,
            # Handed on to the functions it runs, whose calls must come back to it.
            "AWS_ENDPOINT_URL": server.endpoint_url,
        }
        with server.log.open("wb") as log:
            process = subprocess.Popen([str(COMMAND)], env=environment, cwd=directory, stdout=log, stderr=log)
        try:
            _await_health(process, port, server.log)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await_health(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"MiniStack stopped with {process.returncode}:\n{log.read_text()}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            connection.request("GET", "/_ministack/health")
            if connection.getresponse().status == http.client.OK:
                return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise RuntimeError(f"MiniStack did not answer within {START_SECONDS} s:\n{log.read_text()}")
