"""What a call costs does not depend on how many messages there are.

Costs are counted in function calls, which no busy machine can change, and looked at in time as well, loosely, because
one call into C can hide a walk through everything.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from sqs_tasks.local.clock import ManualClock
from sqs_tasks.local.memory import MemorySession

SMALL, LARGE = 200, 20_000


def fill_standard(session: MemorySession, url: str, number: int) -> None:
    send(session, url, number, lambda _: {})


def fill_tenants(session: MemorySession, url: str, number: int) -> None:
    send(session, url, number, lambda at: {"MessageGroupId": f"t{at % 97}"})


def fill_many_tenants(session: MemorySession, url: str, number: int) -> None:
    send(session, url, number, lambda at: {"MessageGroupId": f"t{at}"})


def fill_noisy(session: MemorySession, url: str, number: int) -> None:
    """One tenant has the whole backlog and fifty messages in flight."""
    send(session, url, number, lambda _: {"MessageGroupId": "noisy"})
    for _ in range(5):
        session.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=40_000)


def fill_returned(session: MemorySession, url: str, number: int) -> None:
    """Every message was received once and came back."""
    fill_standard(session, url, number)
    client = session.client("sqs")
    while client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=60).get("Messages"):
        pass
    session.advance(61)


def fill_in_flight(session: MemorySession, url: str, number: int) -> None:
    """As many messages in flight as wait."""
    fill_standard(session, url, number)
    client = session.client("sqs")
    while client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=40_000).get("Messages"):
        pass
    fill_standard(session, url, number)


def fill_delayed(session: MemorySession, url: str, number: int) -> None:
    """As many delayed messages as wait."""
    send(session, url, number, lambda _: {"DelaySeconds": 900})
    fill_standard(session, url, number)


def fill_fifo_groups(session: MemorySession, url: str, number: int) -> None:
    send(session, url, number, lambda at: fifo(at, group=f"g{at}"))


def fill_fifo_one_group(session: MemorySession, url: str, number: int) -> None:
    send(session, url, number, lambda at: fifo(at, group="g"))


def fill_fifo_locked(session: MemorySession, url: str, number: int) -> None:
    """A long group is locked, and others wait behind it."""
    send(session, url, number, lambda at: fifo(at, group="locked"))
    session.client("sqs").receive_message(QueueUrl=url, VisibilityTimeout=40_000)
    send(session, url, number, lambda at: fifo(number + at, group=f"g{at}"))


def fifo(at: int, group: str) -> dict[str, Any]:
    return {"MessageGroupId": group, "MessageDeduplicationId": str(at)}


def send(session: MemorySession, url: str, number: int, more: Callable[[int], dict[str, Any]]) -> None:
    client = session.client("sqs")
    for first in range(0, number, 10):
        entries = [{"Id": str(at), "MessageBody": "x", **more(first + at)} for at in range(10)]
        client.send_message_batch(QueueUrl=url, Entries=entries)


def cost(fill: Callable[[MemorySession, str, int], None], number: int) -> tuple[int, float]:
    """Function calls and seconds of five receives with their deletes and counts, on top of a backlog."""
    session = MemorySession(clock=ManualClock())
    client = session.client("sqs")
    attributes = {"FifoQueue": "true"} if "fifo" in fill.__name__ else {}
    name = "q.fifo" if attributes else "q"
    url = client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    fill(session, url, number)
    client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    started = time.process_time()
    sys.setprofile(count)
    try:
        for _ in range(5):
            messages = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
            entries = [{"Id": str(at), "ReceiptHandle": m["ReceiptHandle"]} for at, m in enumerate(messages)]
            client.delete_message_batch(QueueUrl=url, Entries=entries)
            client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    finally:
        sys.setprofile(None)
    return calls, time.process_time() - started


@pytest.mark.parametrize(
    "fill",
    [
        fill_standard,
        fill_tenants,
        fill_many_tenants,
        fill_noisy,
        fill_returned,
        fill_in_flight,
        fill_delayed,
        fill_fifo_groups,
        fill_fifo_one_group,
        fill_fifo_locked,
    ],
)
def test_a_call_costs_the_same_at_any_backlog(fill: Callable[[MemorySession, str, int], None]) -> None:
    """A hundred times the messages: not even half as many calls more, and nowhere near ten times the time."""
    few, few_seconds = cost(fill, SMALL)
    many, many_seconds = cost(fill, LARGE)

    assert many < few * 1.5
    assert many_seconds < few_seconds * 10 + 0.01
