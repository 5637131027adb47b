"""A registry, its queues in memory and its Lambda function behind the event source simulator."""

from __future__ import annotations

import time
from typing import Any

from sqs_tasks.aws_lambda import JobReport, SQSEventHandler
from sqs_tasks.env import SQSEnv
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.local.event_source.mapping import EventSourceMapping
from sqs_tasks.local.memory import MemorySession
from tests.support.scripted_client import ScriptedClient


class LambdaApp:
    """One queue with its function. Register tasks on ``queue``, then ``deploy``, send, and ``drain``.

    Attributes:
        client: Counts what is asked of SQS, by producers, handler and event source alike.
        reports: What the handler said of each message.
    """

    def __init__(
        self, name: str = "work", *, env: dict[str, Any] | None = None, behind_seconds: float = 0.0, **options: Any
    ) -> None:
        # A clock that is behind makes every message look sent so long ago.
        self.session = MemorySession(clock=ManualClock(time.time() - behind_seconds))
        self.client = ScriptedClient(self.session.client("sqs"))
        self.env = SQSEnv(sqs_client=self.client, queue_prefix="shop-", **(env or {}))
        self.queue: GenericQueue | Any = self.env.queue(name, **options)
        self.handler: SQSEventHandler | Any = None
        self.source: EventSourceMapping | Any = None
        self.reports: list[JobReport] = []

    def deploy(self, *, handler: dict[str, Any] | None = None, **source: Any) -> LambdaApp:
        """Create the queues and put the function behind them."""
        self.env.create_queues()
        self.handler = SQSEventHandler(self.env, **(handler or {}))
        self.handler.on_settled(self.reports.append)
        self.source = EventSourceMapping(
            self.client, self.queue.queue_url, self.handler, clock=self.session.clock, **{"seed": 1, **source}
        )
        return self

    def drain(self) -> list[str]:
        """Deliver what can be delivered at this moment; the names of the outcomes, in their order."""
        self.reports.clear()
        self.source.drain()
        return self.outcomes

    @property
    def outcomes(self) -> list[str]:
        """The names of the outcomes since the last drain began."""
        return [type(report.outcome).__name__ for report in self.reports]

    def advance(self, seconds: float) -> None:
        """Let time pass in SQS."""
        self.session.advance(seconds)

    def left(self, name: str | None = None) -> int:
        """Messages in a queue, visible or not."""
        found = self._counts(name)
        return found["ApproximateNumberOfMessages"] + found["ApproximateNumberOfMessagesNotVisible"]

    def visible(self, name: str | None = None) -> int:
        """Messages in a queue that can be received now."""
        return self._counts(name)["ApproximateNumberOfMessages"]

    def dead_letters(self) -> list[dict[str, Any]]:
        """The messages of the dead-letter queue."""
        url = self.env.get_queue_url(self.queue.settings.dead_letter_queue)
        answer = self.session.client("sqs").receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
            VisibilityTimeout=0,
        )
        return list(answer.get("Messages", ()))

    def visibilities(self) -> list[int]:
        """The visibility timeouts the handler set, in their order."""
        return [
            entry["VisibilityTimeout"]
            for request in self.client.requests("change_message_visibility_batch")
            for entry in request["Entries"]
        ]

    def _counts(self, name: str | None) -> dict[str, int]:
        url = self.env.get_queue_url(name or self.queue.name)
        answer = self.session.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        return {k: int(v) for k, v in answer["Attributes"].items() if k.startswith("ApproximateNumberOf")}
