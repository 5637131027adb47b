"""The settlement of a queue, with the parts that its registration asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from sqs_tasks.execution.settlement import Settlement
from sqs_tasks.follow_ups.attribute import Kind
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.registry import RegisteredTask
from sqs_tasks.settings import QueueSettings


class SettledQueue(Protocol):
    """What is asked of a queue whose messages are settled."""

    @property
    def settings(self) -> QueueSettings:
        """What the registration says."""

    @property
    def env(self) -> Any:
        """The environment."""

    @property
    def payloads(self) -> Any:
        """Its large bodies, or None."""

    @property
    def tasks(self) -> Sequence[RegisteredTask]:
        """What is registered."""

    @property
    def queue_url(self) -> str:
        """Where it is."""

    def dead_letter_queue_url(self, *, beside: str | None = None) -> str:
        """Where its dead-letter queue is."""

    def follow_up(self, message: ReceivedMessage, kind: Kind, /) -> bool:
        """Whether what follows a job was sent."""


def settlement_of(
    queue: SettledQueue,
    *,
    queue_url: Callable[[], str] | None,
    max_receive_count: int | None,
    copies_at: int | None,
) -> Settlement:
    """What settles a queue's messages.

    Args:
        queue: The queue.
        queue_url: Gives the URL when a runtime knows a better one than the environment.
        max_receive_count: The receive after which SQS moves a message, if it is known.
        copies_at: Where that probably is.
    """
    settings, env = queue.settings, queue.env
    url = queue_url or (lambda: queue.queue_url)
    kind: Callable[..., Settlement] = Settlement
    if queue.payloads is not None and queue.payloads.settings.remove_with_job:
        from sqs_tasks.execution.payload_removal import RemovingSettlement

        kind = partial(RemovingSettlement, queue.payloads)
    letters = None
    if settings.dead_letter_queue is not None:
        from sqs_tasks.execution.dead_letter_copier import DeadLetters  # only what fails needs it

        letters = DeadLetters(
            queue_name=settings.name,
            client=env.client,
            queue_url=lambda: queue.dead_letter_queue_url(beside=None if queue_url is None else queue_url()),
            fifo=settings.fifo,
            now=env.client.now,
        )

    def copier() -> Any:
        from sqs_tasks.execution.job_copier import JobCopier  # most jobs never need it

        return JobCopier(
            queue_name=settings.name,
            client=env.client,
            queue_url=url,
            now=env.client.now,
            max_bytes=settings.max_message_bytes,
            may_loop=bool(settings.readers) or any(task.settings.postpones for task in queue.tasks),
        )

    return kind(
        queue_name=settings.name,
        client=env.client,
        queue_url=url,
        dead_letters=letters,
        copier=None if settings.fifo else copier,
        follow_up=queue.follow_up,
        max_receive_count=max_receive_count,
        copies_at=copies_at,
        retention_seconds=settings.message_retention_seconds,
        around=lambda: env.around_request,
    )
