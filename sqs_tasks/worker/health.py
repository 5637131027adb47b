"""``--health-port``: whether a worker lives, whether it is served, and its numbers, over HTTP.

``/live`` fails when a poll or the event loop is stuck, and on request when a job runs too long beyond its timeout:
restart the process. ``/ready`` fails as well while SQS answers nothing but errors, before the first answer and while
stopping. ``/metrics`` is Prometheus text.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.execution.forks import closed_in_children
from sqs_tasks.worker.host_names import HostNames
from sqs_tasks.worker.metrics import CONTENT_TYPE
from sqs_tasks.worker.poll_state import PollState

logger = logging.getLogger(__name__)


#: Seconds for which a coroutine may block the event loop: all async tasks and their timeouts stand still meanwhile.
LOOP_STUCK_SECONDS = 60.0


class Health(Protocol):
    """What the server asks."""

    def live(self) -> dict[str, str]:
        """What is wrong with it, by queue; empty when it lives."""

    def ready(self) -> dict[str, str]:
        """Why it is not served, by queue; empty when it is."""

    def metrics(self) -> str:
        """Prometheus text."""


class WorkerHealth:
    """The health of the polling threads of this process.

    Args:
        states: What each polling thread is doing.
        is_stopping: Whether the stop has been requested.
        render: Gives the metrics.
        loop_seconds_stuck: For how long a coroutine has been blocking the event loop.
        seconds_over_timeout: How long the longest job is beyond its timeout.
        max_overrun_seconds: How long that may be before the worker counts as dead; None for any length.
    """

    def __init__(
        self,
        states: Callable[[], Sequence[PollState]],
        is_stopping: Callable[[], bool],
        render: Callable[[], str],
        loop_seconds_stuck: Callable[[], float] = lambda: 0.0,
        *,
        seconds_over_timeout: Callable[[], float] = lambda: 0.0,
        max_overrun_seconds: float | None = None,
    ) -> None:
        self._seconds_over_timeout = seconds_over_timeout
        self._max_overrun_seconds = max_overrun_seconds
        self._loop_seconds_stuck = loop_seconds_stuck
        self._states = states
        self._is_stopping = is_stopping
        self._render = render

    def live(self) -> dict[str, str]:
        """Stuck polls, an event loop that is blocked, and jobs that run too long beyond their timeout."""
        wrong = {state.queue_name: "its poll is stuck" for state in self._states() if state.is_stuck()}
        if self._loop_seconds_stuck() > LOOP_STUCK_SECONDS:
            wrong["event loop"] = "an async task blocks it"
        if self._max_overrun_seconds is not None:
            seconds = self._seconds_over_timeout()
            if seconds > self._max_overrun_seconds:
                wrong["jobs"] = f"one runs {seconds:.0f} s beyond its timeout"
        return wrong

    def ready(self) -> dict[str, str]:
        """Stuck polls, queues that are not served, and the stop."""
        wrong = self.live()
        for state in self._states():
            if state.is_failing():
                wrong.setdefault(state.queue_name, f"SQS answers {state.last_error}")
            elif not state.has_received:
                wrong.setdefault(state.queue_name, state.last_error or "not polled yet")
        if self._is_stopping():
            wrong["worker"] = "stopping"
        return wrong

    def metrics(self) -> str:
        """The process's own."""
        return self._render()


@contextmanager
def serving_health(health: Health, port: int, *, host: str = "", allowed_hosts: Iterable[str] = ()) -> Iterator[int]:
    """Answer on a port while the block runs; gives the port.

    Args:
        health: What to answer.
        port: The port; 0 for a free one.
        host: The address; all of them unless given, since a probe comes from outside the container.
        allowed_hosts: Names of a public domain by which probes reach it; see :class:`HostNames`.

    Raises:
        ConfigurationError: The port cannot be opened.
    """
    try:
        server = ThreadingHTTPServer((host, port), _handler(health, HostNames(allowed_hosts)))
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"cannot answer for the health on port {port}: {getattr(error, 'strerror', None) or error}; "
            "give another --health-port, or end what listens there"
        ) from error
    server.daemon_threads = True
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.2}, name="sqs-tasks-health", daemon=True
    )
    thread.start()
    logger.info("health on port %d", server.server_port, extra={"action": "health_started", "port": server.server_port})
    try:
        with closed_in_children(server.socket):  # else a process that a task leaves behind keeps the port
            yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(health: Health, hosts: HostNames) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "sqs-tasks", ""
        timeout = 10

        def do_GET(self) -> None:
            path = self.path.partition("?")[0].rstrip("/")
            refusal = hosts.refusal(self.headers.get("Host"))
            if refusal is not None:
                self._answer(403, "text/plain", refusal.encode())
            elif path == "/live":
                self._report(health.live())
            elif path == "/ready":
                self._report(health.ready())
            elif path == "/metrics":
                self._answer(200, CONTENT_TYPE, health.metrics().encode())
            else:
                self._answer(404, "text/plain", b"there are /live, /ready and /metrics\n")

        def _report(self, wrong: dict[str, str]) -> None:
            body = {"status": "failing", "because": wrong} if wrong else {"status": "ok"}
            self._answer(503 if wrong else 200, "application/json", json.dumps(body).encode())

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            logger.debug(format, *args)

    return Handler
