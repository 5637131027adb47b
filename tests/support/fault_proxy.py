"""A proxy before an SQS endpoint that cuts, delays and throttles, by a seeded plan."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from typing import Self
from urllib.parse import urlsplit

#: What becomes of a request: called with its action ("ReceiveMessage"), gives a fault or None. Faults: "throttle",
#: "error", "cut" (before the endpoint sees it), "cut answer" (after), "hang" (never answered, before the endpoint sees it), "hang answer" (after),
#: or seconds of delay.
Plan = Callable[[str], str | float | None]

THROTTLED = b'{"__type":"com.amazonaws.sqs#RequestThrottled","message":"slow down"}'
EXPIRED = b'{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"The security token included in the request is expired"}'
FAILED = b'{"__type":"com.amazonaws.sqs#InternalError","message":"a proxy made this up"}'

#: Faults that are answered in the endpoint's place.
ANSWERS = {
    "throttle": (b"400 Bad", THROTTLED),
    "error": (b"500 Internal", FAILED),
    "expired": (b"403 Forbidden", EXPIRED),
}


class FaultProxy:
    """Listens on a port of this machine, in a thread that owns all its connections.

    Attributes:
        plan: May be replaced at any time.
        faults: How many of each kind there were, by action.
        lost: The bodies of requests, receives left out, whose answer the client did not get.
        accepted_key: The access key that requests must be signed with; others are refused as expired. None takes any.
    """

    def __init__(self, endpoint_url: str, plan: Plan = lambda _: None) -> None:
        parts = urlsplit(endpoint_url)
        self._upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.plan = plan
        self.faults: Counter[tuple[str, str]] = Counter()
        self.lost: list[bytes] = []
        self.accepted_key: str | None = None
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._port = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="fault-proxy", daemon=True)

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        tasks: set[asyncio.Task] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            tasks.add(task)
            try:
                await self._pass_on(reader, writer)
            except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                tasks.discard(task)
                writer.transport.abort()

        server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=512)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        server.close()
        for task in tuple(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tuple(tasks), timeout=5)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader = upstream_writer = None
        try:
            while True:
                head, body = await _message(reader)
                action = _header(head, b"x-amz-target").rpartition(".")[2]
                fault = self.plan(action) or self._expired(head)
                if fault is not None:
                    self.faults[action, fault if isinstance(fault, str) else "delay"] += 1
                    if isinstance(fault, str) and fault != "expired" and action != "ReceiveMessage":
                        self.lost.append(body)
                if fault == "cut":
                    return
                if fault == "hang":
                    await asyncio.sleep(3600)
                if fault in ANSWERS:
                    status, text = ANSWERS[fault]
                    writer.write(
                        b"HTTP/1.1 " + status + b"\r\nContent-Type: application/x-amz-json-1.0\r\n"
                        b"Content-Length: " + str(len(text)).encode() + b"\r\n\r\n" + text
                    )
                    await writer.drain()
                    continue
                if isinstance(fault, float):
                    await asyncio.sleep(fault)
                if upstream_writer is None:
                    upstream_reader, upstream_writer = await asyncio.open_connection(*self._upstream)
                upstream_writer.write(head + body)
                await upstream_writer.drain()
                answer_head, answer_body = await _message(upstream_reader)
                if fault == "cut answer":
                    return
                if fault == "hang answer":
                    await asyncio.sleep(3600)
                writer.write(answer_head + answer_body)
                await writer.drain()
        finally:
            if upstream_writer is not None:
                with contextlib.suppress(OSError):
                    upstream_writer.transport.abort()

    def _expired(self, head: bytes) -> str | None:
        if self.accepted_key is None or f"Credential={self.accepted_key}/" in _header(head, b"authorization"):
            return None
        return "expired"


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(_header(head, b"content-length") or 0)
    return head, await reader.readexactly(length)


def _header(head: bytes, name: bytes) -> str:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip().decode()
    return ""
