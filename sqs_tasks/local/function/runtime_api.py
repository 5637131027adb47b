"""The Lambda Runtime API, for one execution environment on this machine.

What a runtime client (AWS's ``awslambdaric``, or any custom runtime) talks to: it asks for the next invocation,
answers it, asks again. https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sqs_tasks.local.function.function import MAX_PAYLOAD_BYTES
from sqs_tasks.local.function.invocation import FunctionError
from sqs_tasks.local.http.web_pages import WebPageGuard

_VERSION = "/2018-06-01/runtime"
_ANSWER = re.compile(rf"{_VERSION}/invocation/([^/]+)/(response|error)")
#: Seconds between two looks at whether an invocation that runs is lost.
_LOOK_SECONDS = 0.05

_ERROR_TYPE_HEADER = "Lambda-Runtime-Function-Error-Type"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeEvent:
    """An invocation as the runtime client receives it.

    Attributes:
        request_id: The invocation's id.
        payload: The event, as JSON.
        deadline_ms: Milliseconds since the epoch at which it times out.
        function_arn: The invoked function's ARN.
        trace_header: The X-Ray header; the runtime client hands it to botocore (S36).
    """

    request_id: str
    payload: bytes
    deadline_ms: int
    function_arn: str
    trace_header: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeAnswer:
    """What the runtime client answered: a response or an error.

    Attributes:
        payload: The response's bytes, or None.
        error: The function error, or None.
    """

    payload: bytes | None = None
    error: FunctionError | None = None


class RuntimeExitedError(Exception):
    """The runtime's process ended while something was expected of it.

    Attributes:
        took_event: Whether it had taken the event; if not, the invocation never began.
    """

    def __init__(self, *, took_event: bool = False) -> None:
        super().__init__("the runtime exited")
        self.took_event = took_event


class RuntimeApi:
    """Serves one runtime client on a loopback port.

    Threads: each HTTP request has one of its own; they and the invoking thread share one condition. An environment
    runs one invocation at a time, so there is at most one event to hand out and one answer to wait for.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._event: RuntimeEvent | None = None
        self._expected: str | None = None
        self._answer: RuntimeAnswer | None = None
        self._init_error: FunctionError | None = None
        self._ready = False
        self._ended = False
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="lambda-runtime-api", daemon=True
        )
        self._thread.start()

    @property
    def address(self) -> str:
        """Host and port, for ``AWS_LAMBDA_RUNTIME_API``."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    # For the one who invokes

    def wait_ready(self, timeout_seconds: float) -> bool:
        """Wait until the runtime asks for its first event; False if it does not in that time.

        Raises:
            RuntimeExitedError: The runtime ended instead; :attr:`init_error` may say why.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._ended, timeout_seconds)
            if self._ended and not self._ready:
                raise RuntimeExitedError
            return self._ready

    @property
    def init_error(self) -> FunctionError | None:
        """What the runtime reported when it could not load the handler, or None."""
        return self._init_error

    def invoke(
        self, event: RuntimeEvent, timeout_seconds: float, *, is_lost: Callable[[], bool] = lambda: False
    ) -> RuntimeAnswer | None:
        """Hand out an event and wait for the answer; None if there is none in that time.

        None too as soon as ``is_lost()``, asked every 50 milliseconds, is true.

        Raises:
            RuntimeExitedError: The runtime ended instead.
        """
        with self._changed:
            self._answer = None
            self._event, self._expected = event, event.request_id
            self._changed.notify_all()
            ends_at = time.monotonic() + timeout_seconds
            while not self._changed.wait_for(
                lambda: self._answer is not None or self._ended,
                min(_LOOK_SECONDS, max(0.0, ends_at - time.monotonic())),
            ):
                if time.monotonic() >= ends_at or is_lost():
                    break
            answer, took_event = self._answer, self._event is None
            self._event = self._expected = None
            if answer is None and self._ended:
                raise RuntimeExitedError(took_event=took_event)
            return answer

    def process_ended(self) -> None:
        """The runtime's process is gone: nobody waits for it any longer."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """Stop serving."""
        self.process_ended()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # For the runtime client

    def next_event(self) -> RuntimeEvent | None:
        """Wait for the next event; None when the environment has ended."""
        with self._changed:
            self._ready = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._event is not None or self._ended)
            if self._ended:
                return None
            event, self._event = self._event, None
            return event

    def take_answer(self, request_id: str, answer: RuntimeAnswer) -> bool:
        """Accept an answer; False if nobody waits for it (an id that is unknown, or timed out)."""
        with self._changed:
            if request_id != self._expected or self._answer is not None:
                return False
            self._answer = answer
            self._changed.notify_all()
            return True

    def take_init_error(self, error: FunctionError) -> None:
        """Accept the report that the handler could not be loaded; the runtime exits after it."""
        with self._changed:
            self._init_error = error


class _Server(ThreadingHTTPServer):
    """The HTTP server; its request threads end with the process."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, api: RuntimeApi) -> None:
        super().__init__(("127.0.0.1", 0), _RequestHandler)
        self.api = api
        self.guard = WebPageGuard()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: a runtime that was killed leaves broken connections, as expected."""


class _RequestHandler(BaseHTTPRequestHandler):
    """The calls of a runtime client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        if self._is_refused():
            return
        if self.path == f"{_VERSION}/restore/next":
            self._send(HTTPStatus.OK)  # with SnapStart: the snapshot is made, and the environment woken, in one
            return
        if self.path != f"{_VERSION}/invocation/next":
            self._send(HTTPStatus.NOT_FOUND)
            return
        event = self.server.api.next_event()
        if event is None:
            self.close_connection = True
            return
        self._send(
            HTTPStatus.OK,
            event.payload,
            {
                "Lambda-Runtime-Aws-Request-Id": event.request_id,
                "Lambda-Runtime-Deadline-Ms": str(event.deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": event.function_arn,
                "Lambda-Runtime-Trace-Id": event.trace_header,
            },
        )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self._is_refused():
            return
        if self.path == f"{_VERSION}/init/error":
            self.server.api.take_init_error(self._error(body))
            self._send_status(HTTPStatus.ACCEPTED)
            return
        match = _ANSWER.fullmatch(self.path)
        if match is None:
            self._send(HTTPStatus.NOT_FOUND)
            return
        request_id, kind = match.groups()
        if kind == "error":
            answer = RuntimeAnswer(error=self._error(body))
        elif len(body) > MAX_PAYLOAD_BYTES:
            self._refuse_too_large(request_id, len(body))
            return
        else:
            answer = RuntimeAnswer(payload=body)
        if self.server.api.take_answer(request_id, answer):
            self._send_status(HTTPStatus.ACCEPTED)
        else:
            self._send_error(HTTPStatus.BAD_REQUEST, "InvalidRequestID", "Invalid request ID")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Log nothing: each invocation has its report."""

    def _is_refused(self) -> bool:
        """Whether it came from a web page, which could take a function's event; then it is answered already."""
        headers = {name.lower().encode("latin-1"): value.encode("latin-1") for name, value in self.headers.items()}
        reason = self.server.guard.refusal(headers)
        if reason is not None:
            self._send_error(HTTPStatus.FORBIDDEN, "AccessDenied", reason)
        return reason is not None

    def _refuse_too_large(self, request_id: str, size: int) -> None:
        message = (
            f"Response payload size ({size} bytes) exceeded maximum allowed payload size ({MAX_PAYLOAD_BYTES} bytes)."
        )
        error = FunctionError(type="Function.ResponseSizeTooLarge", message=message)
        self.server.api.take_answer(request_id, RuntimeAnswer(error=error))
        self._send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "RequestEntityTooLarge", message)

    def _error(self, body: bytes) -> FunctionError:
        try:
            given = json.loads(body)
        except ValueError:
            given = {}
        if not isinstance(given, dict):
            given = {}
        return FunctionError(
            type=str(given.get("errorType") or self.headers.get(_ERROR_TYPE_HEADER) or "Unknown"),
            message=str(given.get("errorMessage", "")),
            stack_trace=tuple(str(entry) for entry in given.get("stackTrace") or ()),
        )

    def _send_status(self, status: HTTPStatus) -> None:
        self._send(status, b'{"status":"OK"}')

    def _send_error(self, status: HTTPStatus, error_type: str, message: str) -> None:
        self._send(status, json.dumps({"errorType": error_type, "errorMessage": message}).encode())

    def _send(self, status: HTTPStatus, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
