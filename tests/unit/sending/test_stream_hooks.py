"""Hooks of streamed jobs: what they add to a message is sent, and counted."""

from __future__ import annotations

from sqs_tasks import MemorySession, SQSEnv
from sqs_tasks.limits import MAX_MESSAGE_BYTES
from sqs_tasks.message import OutgoingMessage, string_attribute


def test_what_a_hook_adds_counts_against_the_size_of_a_request() -> None:
    """Two jobs that just fill one request do not fit together once each has a trace: they go in two."""
    env = SQSEnv(MemorySession())
    queue = env.queue("traced", compress_above_bytes=None)
    task = queue.processor("go")(lambda text: None)
    env.create_queues()
    half = "x" * (MAX_MESSAGE_BYTES // 2 - 200)

    @env.pre_send
    def trace(message: OutgoingMessage) -> None:
        message.attributes["traceparent"] = string_attribute("0" * 400)

    assert task.map({"text": half} for _ in range(2)) == 2
    assert len(queue.get_raw_messages()) == 2
