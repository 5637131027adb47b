"""The queues of the one account there is, and what actions need beside them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqs_tasks.local.clock import Clock, SystemClock
from sqs_tasks.local.clock.agenda import Agenda
from sqs_tasks.local.model import faults
from sqs_tasks.local.model.message import Message
from sqs_tasks.local.model.queue import MAX_IN_FLIGHT, Queue
from sqs_tasks.local.model.redrive import RedrivePolicy

#: The account that owns every queue.
ACCOUNT_ID = "000000000000"

DEFAULT_REGION = "us-east-1"

#: The parameters of an action and its answer, as boto3 has them.
Params = Mapping[str, Any]
Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as far as answers depend on it.

    Attributes:
        base_url: What queue URLs begin with, without a slash at the end.
        region: The region in the ARNs of queues that this caller creates. Queues are found from every region: on a
            laptop a terminal with another default region should find them too.
        trace_header: The X-Ray header of the request, for the messages that it sends without one of their own.
            https://docs.aws.amazon.com/xray/latest/devguide/xray-services-sqs.html
    """

    base_url: str
    region: str = DEFAULT_REGION
    trace_header: str | None = None


class Account:
    """All queues, by name.

    Args:
        clock: The time.
        enforce_waits: Refuse what AWS refuses for 60 seconds: a second purge, and a queue named like one just deleted.
        max_in_flight: The quota of messages in flight per queue, and how far a FIFO queue looks for groups (S37).
    """

    def __init__(
        self, clock: Clock | None = None, *, enforce_waits: bool = False, max_in_flight: int = MAX_IN_FLIGHT
    ) -> None:
        self.clock = clock or SystemClock()
        self.agenda = Agenda()
        self.enforce_waits = enforce_waits
        self.max_in_flight = max_in_flight
        self.queues: dict[str, Queue] = {}
        self.deleted_at: dict[str, float] = {}
        #: Queues in which a message became available while somebody waited for one.
        self.woken: dict[Queue, None] = {}
        self._numbers = itertools.count(1)

    def queue(self, params: Params) -> Queue:
        """The queue of a request: by the last part of its URL, for hosts and ports change on a laptop.

        Raises:
            SQSFault: There is no such queue.
        """
        queue = self.queues.get(params["QueueUrl"].rpartition("/")[2])
        if queue is None:
            raise faults.queue_does_not_exist()
        return queue

    def find(self, arn: str) -> Queue | None:
        """The queue of an ARN."""
        queue = self.queues.get(arn.rpartition(":")[2])
        return queue if queue is not None and queue.arn == arn else None

    def open(self, name: str, attributes: dict[str, str], caller: Caller, now: float) -> Queue:
        """Make a queue."""
        queue = Queue(
            name=name,
            arn=self.arn(name, caller),
            attributes=attributes,
            now=now,
            agenda=self.agenda,
            next_number=self._numbers.__next__,
            dead_letter=self._dead_letter,
            woken=self._wake,
            max_in_flight=self.max_in_flight,
        )
        self.queues[name] = queue
        return queue

    def sources(self, arn: str) -> list[Queue]:
        """The queues that name this one as their dead-letter queue."""
        return [
            queue
            for queue in self.queues.values()
            if queue.redrive is not None and queue.redrive.dead_letter_target_arn == arn
        ]

    def check_dead_letter_queue(self, arn: str, attributes: Mapping[str, str], *, fifo: bool) -> None:
        """Refuse a redrive policy whose target does not exist, is of the other type or does not allow it."""
        text = attributes.get("RedrivePolicy")
        if not text:
            return
        policy = RedrivePolicy.parse(text)
        target = self.find(policy.dead_letter_target_arn)
        if target is None:
            raise faults.invalid_value("RedrivePolicy", text, "Dead letter target does not exist.")
        if target.fifo is not fifo:
            reason = "Dead-letter queue must be same type of queue as the source."
            raise faults.invalid_value("RedrivePolicy", text, reason)
        if not target.redrive_allow.allows(arn):
            reason = f"The RedriveAllowPolicy of {target.arn} does not permit {arn} to use it as a dead-letter queue."
            raise faults.invalid_value("RedrivePolicy", text, reason)

    @staticmethod
    def arn(name: str, caller: Caller) -> str:
        """The ARN of a queue that this caller creates."""
        return f"arn:aws:sqs:{caller.region}:{ACCOUNT_ID}:{name}"

    @staticmethod
    def url(name: str, caller: Caller) -> str:
        """The URL of a queue, as this caller reaches it."""
        return f"{caller.base_url}/{ACCOUNT_ID}/{name}"

    def _dead_letter(self, source: Queue, message: Message, now: float) -> bool:
        """Move a message to the dead-letter queue, if there is one that takes it; else it stays where it is."""
        if source.redrive is None:
            return False
        target = self.find(source.redrive.dead_letter_target_arn)
        if target is None or target.fifo is not source.fifo or not target.redrive_allow.allows(source.arn):
            return False
        source.forget(message, now)
        message.dead_letter_source_arn = source.arn
        if source.fifo:
            # A FIFO move renews the time and takes the message id for deduplication (S31, S44).
            message.sent_at = now
            message.deduplication_id = message.message_id
        target.admit(message, 0, now)
        return True

    def _wake(self, queue: Queue) -> None:
        self.woken[queue] = None
