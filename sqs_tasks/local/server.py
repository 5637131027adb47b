"""SQS over HTTP on this machine: boto3, the AWS CLI and any other SDK talk to it by its endpoint URL.

    with LocalSQSServer() as server:
        sqs = boto3.client("sqs", endpoint_url=server.endpoint_url)

One event loop, one model, no other dependency. Nothing is checked about who calls: signatures are read for their region
and nothing else, so it listens on the loopback interface by default.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from sqs_tasks.client import is_loopback
from sqs_tasks.local.application import Application
from sqs_tasks.local.clock import Clock, ManualClock
from sqs_tasks.local.http.connection import Connections, HTTPConnection
from sqs_tasks.local.model.queue import MAX_IN_FLIGHT
from sqs_tasks.local.model.service import Service
from sqs_tasks.local.session_gate import SESSION_PATH, SessionGate

logger = logging.getLogger(__name__)

#: The port that local SQS servers have used since ElasticMQ.
DEFAULT_PORT = 9324

#: Connections the kernel may queue while the loop is busy; a fleet of workers connects at once.
_BACKLOG = 512


class LocalSQSServer:
    """A local SQS in a thread of this process, for tests and for ``sqs-tasks dev``.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`. The thread owns the event loop, the model and
    every connection; the methods here may be called from any thread.

    Args:
        host: The address to listen on.
        port: The port; 0 for a free one.
        clock: A :class:`~sqs_tasks.local.clock.ManualClock` to advance time by hand; long polls then wait for it.
        enforce_waits: See :class:`~sqs_tasks.local.model.service.Service`.
        max_in_flight: The quota of messages in flight per queue, and how far a FIFO queue looks for groups (S37).
        allowed_hosts: Names by which clients reach the server, beside addresses, ``localhost`` and ``host``: that of a
            container, for example. Requests that name another host are refused, because a web page could send them.
        session: A word that :attr:`session_url` ends with.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        clock: Clock | None = None,
        enforce_waits: bool = False,
        max_in_flight: int = MAX_IN_FLIGHT,
        allowed_hosts: Iterable[str] = (),
        session: str = "",
    ) -> None:
        self.host = host
        self.port = port
        self._session = session
        self._clock = clock
        self._service = Service(clock, enforce_waits=enforce_waits, max_in_flight=max_in_flight)
        self._application = Application(self._service, (host, *allowed_hosts))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="local-sqs", daemon=True)

    @property
    def endpoint_url(self) -> str:
        """What boto3 takes as ``endpoint_url``."""
        return f"http://{_in_url(self.host)}:{self.port}"

    @property
    def session_url(self) -> str:
        """The endpoint URL for processes of this session alone; a later server on the same port refuses them."""
        return f"{self.endpoint_url}{SESSION_PATH}{self._session}"

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
        """Stop at once: open connections are cut, those with long polls too."""
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
            raise RuntimeError("the server is not running, so its clock cannot be advanced; call start() first")

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
        async with _listening(self._application, self.host, self.port, self._session) as port:
            self.port = port
            self._ready.set()
            await self._stopping.wait()


def serve(
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    on_ready: Callable[[str], None] | None = None,
    enforce_waits: bool = False,
    allowed_hosts: Iterable[str] = (),
) -> None:
    """Serve until SIGINT or SIGTERM, and stop at once then.

    Args:
        host: The address to listen on; anything but a loopback address is warned about.
        port: The port; 0 for a free one.
        on_ready: Called with the endpoint URL once requests are answered.
        enforce_waits: See :class:`~sqs_tasks.local.model.service.Service`.
        allowed_hosts: See :class:`LocalSQSServer`.

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
        application = Application(Service(enforce_waits=enforce_waits), (host, *allowed_hosts))
        async with _listening(application, host, port) as bound:
            if on_ready is not None:
                on_ready(f"http://{_in_url(host)}:{bound}")
            await stopping.wait()

    # The process serves and does nothing else. Messages are freed by reference counting. Searching a backlog of 200,000
    # for cycles again and again, while it fills, took a quarter of the time of a send. So new objects are looked at
    # once, 2,000 at a time, because the loop stands still meanwhile; old ones almost never.
    gc.freeze()
    gc.set_threshold(2_000, 1_000, 1_000)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())


@contextlib.asynccontextmanager
async def _listening(application: Application, host: str, port: int, session: str = "") -> Any:
    """Accept connections; gives the port. On the way out everything is cut."""
    if not is_loopback(host):
        logger.warning(
            "the local SQS listens on %s: everyone who can reach this machine can read and change every queue, "
            "because it checks no credentials",
            host,
            extra={"action": "local_sqs_exposed"},
        )
    connections = Connections()
    loop = asyncio.get_running_loop()
    handler = SessionGate(application, session)
    server = await loop.create_server(lambda: HTTPConnection(handler, connections), host, port, backlog=_BACKLOG)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        application.close()
        connections.abort()
        # Aborted transports close their sockets in the loop's next round.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await server.wait_closed()


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
