"""SQS over HTTP on this machine: boto3, the AWS CLI and any other SDK talk to it by its endpoint URL.

    with LocalSQSServer() as server:
        sqs = boto3.client("sqs", endpoint_url=server.endpoint_url)

One event loop, one model, no other dependency. Nothing is checked about who calls: signatures are read for their region
and nothing else, so it listens on the loopback interface unless told otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import itertools
import logging
import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from sqs_tasks.local import json_protocol, query_protocol
from sqs_tasks.local.clock import Clock, ManualClock
from sqs_tasks.local.http_connection import HTTPConnection, Request, Response
from sqs_tasks.local.model.faults import SQSFault
from sqs_tasks.local.model.poll import Poll
from sqs_tasks.local.model.queue import MAX_IN_FLIGHT
from sqs_tasks.local.model.service import DEFAULT_REGION, Caller, Service

logger = logging.getLogger(__name__)

#: Answers 200 as soon as the server answers at all.
HEALTH_PATH = "/_sqs_tasks/health"

#: The port that local SQS servers have used since ElasticMQ.
DEFAULT_PORT = 9324

#: Connections the kernel may queue while the loop is busy; a fleet of workers connects at once.
_BACKLOG = 512

Reply = Callable[[Response], None]


class Application:
    """Turns requests into calls of the model and answers into responses. Lives on the event loop's thread.

    Args:
        service: The model.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._callers: dict[bytes, Caller] = {}
        self._request_ids = itertools.count(1)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_moment: float | None = None

    def __call__(self, request: Request, reply: Reply) -> Callable[[], None] | None:
        """Answer a request, now or when its long poll ends; in that case the result abandons the poll."""
        if b"origin" in request.headers and not _is_own_origin(request.headers[b"origin"]):
            # A web page in the developer's browser could reach a server on the loopback interface.
            reply(Response(b"requests from web pages are refused\n", "text/plain", 403))
            return None
        target = request.headers.get(b"x-amz-target")
        try:
            if target is not None:
                return self._json(target, request, reply)
            return self._query(request, reply)
        except Exception:
            logger.exception("internal error", extra={"action": "local_sqs_internal_error"})
            reply(Response(b'{"__type":"InternalFailure","message":"see the log of the local SQS"}', status=500))
            return None
        finally:
            self.set_timer()

    def set_timer(self) -> None:
        """See to it that the loop comes back when the model next has something to do."""
        moment = self._service.next_moment()
        if moment is None or (self._timer_moment is not None and self._timer_moment <= moment):
            return
        if self._timer is not None:
            self._timer.cancel()
        if isinstance(self._service.clock, ManualClock):
            return
        self._timer_moment = moment
        delay = max(0.0, moment - self._service.clock.now())
        self._timer = asyncio.get_running_loop().call_later(delay, self._ring)

    def close(self) -> None:
        """Let nothing ring any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        self._timer = self._timer_moment = None
        self._service.run_due()
        self.set_timer()

    def _json(self, target: bytes, request: Request, reply: Reply) -> Callable[[], None] | None:
        action = target.decode("ascii", errors="replace").removeprefix(json_protocol.TARGET_PREFIX)
        try:
            params = json_protocol.read(action, request.body)
            caller = self._caller(request, action)
            try:
                answer = self._service.call(action, params, caller)
            except (AttributeError, KeyError, TypeError):
                # A send that holds something else than it should; were it well-formed, this is a bug, raised again.
                answer = self._service.call(action, json_protocol.repair(action, params), caller)
        except SQSFault as fault:
            reply(self._json_fault(fault))
            return None
        if isinstance(answer, Poll):
            return _when_answered(answer, lambda polled: reply(self._json_answer(action, polled)))
        reply(self._json_answer(action, answer))
        return None

    def _json_answer(self, action: str, answer: dict[str, Any] | SQSFault) -> Response:
        if isinstance(answer, SQSFault):
            return self._json_fault(answer)
        body = json_protocol.write(action, answer)
        return Response(body, headers=f"x-amzn-RequestId: {self._request_id()}\r\n")

    def _json_fault(self, fault: SQSFault) -> Response:
        body, header = json_protocol.write_fault(fault)
        headers = f"x-amzn-RequestId: {self._request_id()}\r\n{header}"
        return Response(body, json_protocol.CONTENT_TYPE, fault.status, headers)

    def _query(self, request: Request, reply: Reply) -> Callable[[], None] | None:
        path, _, query = request.target.partition(b"?")
        if path == HEALTH_PATH.encode():
            reply(Response(b'{"status":"ok"}', "application/json"))
            return None
        given = query_protocol.fields(query)
        if request.method == b"POST":
            given |= query_protocol.fields(request.body)
        action = given.get("Action")
        if action is None:
            reply(Response(b"<UnknownOperationException/>", query_protocol.CONTENT_TYPE, 404))
            return None
        try:
            if path.count(b"/") >= 2:  # noqa: PLR2004  /account/queue
                if action in ("CreateQueue", "ListQueues"):
                    raise SQSFault("InvalidAction", f"The action {action} is not valid for this endpoint.")
                given.setdefault("QueueUrl", path.decode("utf-8", errors="replace"))
            params = query_protocol.read(action, given)
            answer = self._service.call(action, params, self._caller(request, action))
        except SQSFault as fault:
            reply(self._xml_answer(action, fault))
            return None
        if isinstance(answer, Poll):
            return _when_answered(answer, lambda polled: reply(self._xml_answer(action, polled)))
        reply(self._xml_answer(action, answer))
        return None

    def _xml_answer(self, action: str, answer: dict[str, Any] | SQSFault) -> Response:
        request_id = self._request_id()
        headers = f"x-amzn-RequestId: {request_id}\r\n"
        if isinstance(answer, SQSFault):
            body = query_protocol.write_fault(answer, request_id)
            return Response(body, query_protocol.CONTENT_TYPE, answer.status, headers)
        return Response(query_protocol.write(action, answer, request_id), query_protocol.CONTENT_TYPE, 200, headers)

    def _caller(self, request: Request, action: str) -> Caller:
        host = request.headers.get(b"host", b"localhost")
        if action == "CreateQueue":
            return Caller(_base_url(host), _region(request.headers.get(b"authorization", b"")))
        caller = self._callers.get(host)
        if caller is None:
            caller = self._callers[host] = Caller(_base_url(host))
        return caller

    def _request_id(self) -> str:
        return f"00000000-0000-4000-8000-{next(self._request_ids):012x}"


class LocalSQSServer:
    """A local SQS in a thread of this process, for tests and for ``sqs-tasks dev``.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`. The thread owns the event loop, the model and
    every connection; the methods here may be called from any thread.

    Args:
        host: The address to listen on.
        port: The port; 0 for a free one.
        clock: A :class:`~sqs_tasks.local.clock.ManualClock` to advance time by hand; long polls then wait for it.
        enforce_waits: See :class:`~sqs_tasks.local.model.service.Service`.
        max_in_flight: The quota of messages in flight per queue.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        clock: Clock | None = None,
        enforce_waits: bool = False,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        self.host = host
        self.port = port
        self._clock = clock
        self._service = Service(clock, enforce_waits=enforce_waits, max_in_flight=max_in_flight)
        self._application = Application(self._service)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="local-sqs", daemon=True)

    @property
    def endpoint_url(self) -> str:
        """What boto3 takes as ``endpoint_url``."""
        return f"http://{_in_url(self.host)}:{self.port}"

    def start(self) -> Self:
        """Listen, and return once requests are answered.

        Raises:
            OSError: The address cannot be listened on.
        """
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error
        return self

    def stop(self) -> None:
        """Stop at once: open connections, long polls too, are cut."""
        if self._loop is not None and self._stopping is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def advance(self, seconds: float) -> None:
        """Move a manual clock on, and let everything happen that was due on the way, at its own moment."""
        clock = self._clock
        if not isinstance(clock, ManualClock):
            raise TypeError(
                "only a ManualClock can be advanced; make the server with LocalSQSServer(clock=ManualClock())"
            )
        if self._loop is None:
            raise RuntimeError("the server is not running")

        async def advance() -> None:
            target = clock.now() + seconds
            while (moment := self._service.next_moment()) is not None and moment <= target:
                clock.advance_to(moment)
                self._service.run_due()
            clock.advance_to(target)

        asyncio.run_coroutine_threadsafe(advance(), self._loop).result()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001  it is raised in the thread that called start
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        async with _listening(self._application, self.host, self.port) as port:
            self.port = port
            self._ready.set()
            await self._stopping.wait()


def serve(
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    on_ready: Callable[[str], None] | None = None,
    enforce_waits: bool = False,
) -> None:
    """Serve until SIGINT or SIGTERM, and stop at once then.

    Args:
        host: The address to listen on; anything but a loopback address is warned about.
        port: The port; 0 for a free one.
        on_ready: Called with the endpoint URL once requests are answered.
        enforce_waits: See :class:`~sqs_tasks.local.model.service.Service`.

    Raises:
        OSError: The address cannot be listened on.
    """

    async def main() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            # Not in threads and not on every platform; there, KeyboardInterrupt has to do.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, stopping.set)
        async with _listening(Application(Service(enforce_waits=enforce_waits)), host, port) as bound:
            if on_ready is not None:
                on_ready(f"http://{_in_url(host)}:{bound}")
            await stopping.wait()

    # The process serves and does nothing else. Messages die by reference counting; looking through a backlog of 200,000
    # for cycles, again and again while it fills, took a quarter of the time of a send.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextlib.asynccontextmanager
async def _listening(application: Application, host: str, port: int) -> Any:
    """Accept connections; gives the port. On the way out everything is cut."""
    if not is_loopback(host):
        logger.warning(
            "the local SQS listens on %s: everyone who can reach this machine can read and change every queue, "
            "because it checks no credentials",
            host,
            extra={"action": "local_sqs_exposed"},
        )
    connections: set[HTTPConnection] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: HTTPConnection(application, connections), host, port, backlog=_BACKLOG)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        application.close()
        for connection in tuple(connections):
            connection.abort()
        # Aborted transports close their sockets in the loop's next round.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await server.wait_closed()


def _when_answered(poll: Poll, reply: Callable[[dict[str, Any] | SQSFault], None]) -> Callable[[], None]:
    poll.on_answer = lambda answered: reply(answered.answer)
    return poll.abandon


def _base_url(host: bytes) -> str:
    return "http://" + host.decode("ascii", errors="replace")


def _region(authorization: bytes) -> str:
    """The region in a signature's credential scope, ``Credential=key/date/region/sqs/aws4_request``."""
    scope = authorization.partition(b"Credential=")[2].partition(b",")[0].split(b"/")
    if len(scope) != 5 or not scope[2]:  # noqa: PLR2004  key, date, region, service, aws4_request
        return DEFAULT_REGION
    return scope[2].decode("ascii", errors="replace")


def _is_own_origin(origin: bytes) -> bool:
    try:
        return is_loopback(urlsplit(origin.decode("ascii")).hostname or "")
    except ValueError:
        return False


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
