"""The embedded SQS against an oracle that is too simple to be wrong, the clock included.

The oracle keeps one list of messages and looks through all of it every time. Hypothesis sends, receives, deletes, hides
and lets time pass, in any order, on the model in memory and through HTTP.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from sqs_tasks.local.clock import ManualClock
from sqs_tasks.local.memory import MemorySession
from sqs_tasks.local.server import LocalSQSServer

RETENTION = 600
MAX_RECEIVES = 4
LOOK_AHEAD = 5

seconds = st.integers(0, 40)
counts = st.integers(1, 10)


@dataclass(eq=False)
class Remembered:
    """What the oracle knows of a message."""

    body: str
    sent_at: float
    visible_at: float
    place: int
    group: str | None = None
    received_at: float = 0.0
    receives: int = 0
    in_flight: bool = False
    handles: list[str] = field(default_factory=list)


class Machine(RuleBasedStateMachine):
    """What both kinds of queue share: a client, a clock, and a list of messages."""

    handles = Bundle("handles")
    max_receives = MAX_RECEIVES

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(start=1_000_000)
        self.resources = contextlib.ExitStack()
        self.client, self.advance = self.open()
        self.messages: list[Remembered] = []
        self.dead: list[Remembered] = []
        self.by_handle: dict[str, Remembered] = {}
        self.places = 0
        self.sent = 0

    def open(self) -> tuple[Any, Any]:
        """A client and a way to let time pass."""
        session = MemorySession(clock=self.clock)
        return session.client("sqs"), session.advance

    def teardown(self) -> None:
        self.resources.close()

    def make(self, **attributes: str) -> str:
        fifo = ".fifo" if "FifoQueue" in attributes else ""
        attributes["MessageRetentionPeriod"] = str(RETENTION)
        dead = self.client.create_queue(QueueName=f"dead{fifo}", Attributes=attributes)["QueueUrl"]
        arn = self.client.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": self.max_receives})
        self.dead_url = dead
        url: str = self.client.create_queue(
            QueueName=f"queue{fifo}", Attributes={**attributes, "RedrivePolicy": policy}
        )["QueueUrl"]
        return url

    def now(self) -> float:
        return self.clock.now()

    def next_place(self) -> int:
        self.places += 1
        return self.places

    def settle(self) -> None:
        """Let the oracle's messages age to the present."""
        now = self.now()
        for messages in (self.messages, self.dead):
            messages[:] = [message for message in messages if now - message.sent_at < RETENTION]
        for message in self.messages:
            if message.in_flight and message.visible_at <= now:
                self.come_back(message)

    def come_back(self, message: Remembered) -> None:
        message.in_flight = False

    def visible(self) -> list[Remembered]:
        now = self.now()
        return [message for message in self.messages if message.visible_at <= now]

    def handed_out(self, shown: list[dict[str, Any]], visibility: int) -> None:
        """Book a receive."""
        now = self.now()
        by_body = {message.body: message for message in self.messages}
        for found in shown:
            message = by_body[found["Body"]]
            message.receives += 1
            message.received_at = now
            message.visible_at = now + visibility
            message.in_flight = True
            message.handles.append(found["ReceiptHandle"])
            self.by_handle[found["ReceiptHandle"]] = message
            assert found["Attributes"]["ApproximateReceiveCount"] == str(message.receives)
        self.settle()

    def receive(self, count: int, visibility: int, wait: int = 0) -> list[dict[str, Any]]:
        answer = self.client.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=count,
            VisibilityTimeout=visibility,
            WaitTimeSeconds=wait,
            AttributeNames=["All"],
        )
        shown: list[dict[str, Any]] = answer.get("Messages", [])
        return shown

    @rule(passed=st.one_of(st.integers(0, 60), st.floats(0, 2), st.just(RETENTION)))
    def time_passes(self, passed: float) -> None:
        self.advance(passed)
        self.settle()

    @rule()
    def purge(self) -> None:
        self.client.purge_queue(QueueUrl=self.url)
        self.messages.clear()

    @invariant()
    def counts_agree(self) -> None:
        if not hasattr(self, "url"):
            return
        self.settle()
        now = self.now()
        in_flight = [message for message in self.messages if message.in_flight]
        delayed = [message for message in self.messages if message.visible_at > now and not message.in_flight]
        assert self.counts(self.url) == (
            len(self.messages) - len(in_flight) - len(delayed),
            len(in_flight),
            len(delayed),
        )
        assert sum(self.counts(self.dead_url)) == len(self.dead)

    def counts(self, url: str) -> tuple[int, int, int]:
        found = self.client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return (
            int(found["ApproximateNumberOfMessages"]),
            int(found["ApproximateNumberOfMessagesNotVisible"]),
            int(found["ApproximateNumberOfMessagesDelayed"]),
        )


class StandardQueue(Machine):
    """A standard queue: exactly the oldest visible messages, the thrice received at the back."""

    @initialize()
    def create(self) -> None:
        self.url = self.make()

    def come_back(self, message: Remembered) -> None:
        message.in_flight = False
        if message.receives >= 3:
            message.place = self.next_place()

    def settle(self) -> None:
        # Those that come back go to the end of the queue in the order in which they come back.
        now = self.now()
        returning = [message for message in self.messages if message.in_flight and message.visible_at <= now]
        for message in sorted(returning, key=lambda message: message.visible_at):
            self.come_back(message)
        super().settle()

    @rule(delay=seconds, count=counts)
    def send(self, delay: int, count: int) -> None:
        bodies = [f"m{self.sent + number}" for number in range(count)]
        self.sent += count
        entries = [{"Id": str(at), "MessageBody": body, "DelaySeconds": delay} for at, body in enumerate(bodies)]
        self.client.send_message_batch(QueueUrl=self.url, Entries=entries)
        now = self.now()
        self.messages += [Remembered(body, now, now + delay, self.next_place()) for body in bodies]

    @rule(target=Machine.handles, count=counts, visibility=seconds)
    def receive_some(self, count: int, visibility: int) -> Any:
        expected = []
        for message in sorted(self.visible(), key=lambda message: message.place):
            if len(expected) == count:
                break
            if message.receives >= self.max_receives:
                self.messages.remove(message)
                self.dead.append(message)
            else:
                expected.append(message)

        shown = self.receive(count, visibility)

        # Which of those that came back in the same moment is first is nobody's business, so places are compared by set.
        if not any(message.receives >= 3 for message in self.visible()):
            assert [found["Body"] for found in shown] == [message.body for message in expected]
        assert len(shown) == len(expected)
        self.handed_out(shown, visibility)
        return shown[0]["ReceiptHandle"] if shown else "none"

    @rule(target=Machine.handles, wait=st.integers(1, 20))
    def poll(self, wait: int) -> Any:
        if any(message.receives >= self.max_receives for message in self.messages):
            return "none"
        start = self.now()
        due = min((message.visible_at for message in self.messages), default=float("inf"))
        expired = self.expiring(due, start + wait)

        shown = self.receive(10, 5, wait) if self.waits_by_itself else []

        if self.waits_by_itself:
            self.settle()
            if not expired:
                assert bool(shown) == (due <= start + wait)
                assert self.now() == pytest.approx(max(start, min(due, start + wait)))
            self.handed_out(shown, 5)
        return shown[0]["ReceiptHandle"] if shown else "none"

    #: A long poll on the manual clock moves it; over HTTP it waits for somebody else to.
    waits_by_itself = True

    def expiring(self, due: float, until: float) -> bool:
        """Whether a message dies of age before it comes back: then the oracle does not say when the poll ends."""
        return any(message.sent_at + RETENTION <= min(due, until) + 1 for message in self.messages)

    @rule(handle=Machine.handles)
    def delete(self, handle: str) -> None:
        if handle == "none":
            return
        self.client.delete_message(QueueUrl=self.url, ReceiptHandle=handle)
        message = self.by_handle[handle]
        if message in self.messages:
            self.messages.remove(message)

    @rule(handle=Machine.handles, visibility=seconds)
    def change_visibility(self, handle: str, visibility: int) -> None:
        if handle == "none":
            return
        message = self.by_handle[handle]
        change = {"QueueUrl": self.url, "ReceiptHandle": handle, "VisibilityTimeout": visibility}
        if message not in self.messages:
            with pytest.raises(ClientError):
                self.client.change_message_visibility(**change)
            return
        self.client.change_message_visibility(**change)
        if not message.in_flight:
            return  # a visible message stays visible: SQS answers OK and does nothing (localstack#9632)
        message.visible_at = self.now() + visibility
        if not visibility:
            self.come_back(message)


class FifoQueue(Machine):
    """A FIFO queue: what may be received of each group, in order, and nothing twice within five minutes."""

    @initialize()
    def create(self) -> None:
        self.url = self.make(FifoQueue="true")
        self.seen: dict[str, float] = {}

    @rule(group=st.sampled_from("abc"), identity=st.integers(0, 30))
    def send(self, group: str, identity: int) -> None:
        body = f"m{self.sent}"
        self.sent += 1
        self.client.send_message(
            QueueUrl=self.url, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=str(identity)
        )
        now = self.now()
        if now - self.seen.get(str(identity), -1_000) >= 300:
            self.seen[str(identity)] = now
            self.messages.append(Remembered(body, now, now, self.next_place(), group))

    @rule()
    def purge(self) -> None:
        super().purge()
        self.seen.clear()

    def seen_messages(self) -> list[Remembered]:
        """Those among which SQS looks for groups; the oldest come first."""
        return self.messages

    def available(self) -> dict[str, list[Remembered]]:
        """By group, the messages before which nothing is hidden."""
        now = self.now()
        found: dict[str, list[Remembered]] = {}
        closed = set()
        for message in self.seen_messages():
            if message.group in closed:
                continue
            if message.visible_at > now:
                closed.add(message.group)
            else:
                found.setdefault(str(message.group), []).append(message)
        return found

    @rule(target=Machine.handles, count=counts, visibility=seconds)
    def receive_some(self, count: int, visibility: int) -> Any:
        self.settle()
        available = self.available()
        before = sum(self.counts(self.dead_url))

        shown = self.receive(count, visibility)

        moved = sum(self.counts(self.dead_url)) - before
        for group, messages in available.items():
            bodies = [found["Body"] for found in shown if found["Attributes"]["MessageGroupId"] == group]
            # Exhausted ones at the front, or between the others, are moved on the way.
            healthy = [message.body for message in messages if message.receives < self.max_receives]
            assert bodies == healthy[: len(bodies)]
        order = [found["Attributes"]["MessageGroupId"] for found in shown]
        assert len(set(order)) == sum(1 for at, group in enumerate(order) if at == 0 or order[at - 1] != group)
        total = sum(message.receives < self.max_receives for messages in available.values() for message in messages)
        assert len(shown) == min(count, total)
        exhausted = [m for messages in available.values() for m in messages if m.receives >= self.max_receives]
        assert moved <= len(exhausted)
        self.bury(moved, exhausted, shown)
        self.handed_out(shown, visibility)
        return shown[0]["ReceiptHandle"] if shown else "none"

    def bury(self, moved: int, exhausted: list[Remembered], shown: list[dict[str, Any]]) -> None:
        """Find out which messages were moved: ask the dead-letter queue, without touching it."""
        answer = self.client.receive_message(QueueUrl=self.dead_url, MaxNumberOfMessages=10, VisibilityTimeout=0).get(
            "Messages", []
        )
        buried = {found["Body"] for found in answer}
        gone = [message for message in exhausted if message.body in buried]
        if len(gone) < moved:
            # More than ten letters lie there: those missing are the first exhausted ones of their groups.
            gone += [message for message in exhausted if message not in gone][: moved - len(gone)]
        for message in gone:
            self.messages.remove(message)
            message.sent_at = self.now()
            self.dead.append(message)

    @rule(handle=Machine.handles)
    def delete(self, handle: str) -> None:
        if handle == "none":
            return
        message = self.by_handle[handle]
        request = {"QueueUrl": self.url, "ReceiptHandle": handle}
        if message in self.messages and (not message.in_flight or message.handles[-1] != handle):
            with pytest.raises(ClientError, match="expired"):
                self.client.delete_message(**request)
            return
        self.client.delete_message(**request)
        if message in self.messages:
            self.messages.remove(message)

    @rule(handle=Machine.handles, visibility=seconds)
    def change_visibility(self, handle: str, visibility: int) -> None:
        if handle == "none":
            return
        message = self.by_handle[handle]
        change = {"QueueUrl": self.url, "ReceiptHandle": handle, "VisibilityTimeout": visibility}
        if message not in self.messages or not message.in_flight or message.handles[-1] != handle:
            with pytest.raises(ClientError):
                self.client.change_message_visibility(**change)
            return
        self.client.change_message_visibility(**change)
        message.visible_at = self.now() + visibility
        self.settle()


class ShortSightedFifoQueue(FifoQueue):
    """A FIFO queue that looks for groups among a few messages only, where AWS's looks among 120,000 (S37)."""

    #: Nothing is dead-lettered: that would move the horizon in the middle of a receive.
    max_receives = 1_000

    def open(self) -> tuple[Any, Any]:
        session = MemorySession(clock=self.clock, max_in_flight=LOOK_AHEAD)
        return session.client("sqs"), session.advance

    def seen_messages(self) -> list[Remembered]:
        return self.messages[:LOOK_AHEAD]


class OverHTTP:
    """The same, behind the server and boto3."""

    waits_by_itself = False
    clock: ManualClock
    resources: contextlib.ExitStack

    def open(self) -> tuple[Any, Any]:
        server = self.resources.enter_context(LocalSQSServer(clock=self.clock))
        client = boto3.client(
            "sqs",
            endpoint_url=server.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
            config=Config(retries={"total_max_attempts": 1}),
        )
        self.resources.callback(client.close)
        return client, server.advance


class StandardQueueOverHTTP(OverHTTP, StandardQueue):
    pass


class FifoQueueOverHTTP(OverHTTP, FifoQueue):
    pass


QUICK = settings(max_examples=60, stateful_step_count=40, deadline=None)
SLOW = settings(max_examples=8, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize(
    ("machine", "effort"),
    [
        (StandardQueue, QUICK),
        (FifoQueue, QUICK),
        (ShortSightedFifoQueue, QUICK),
        (StandardQueueOverHTTP, SLOW),
        (FifoQueueOverHTTP, SLOW),
    ],
    ids=["standard-memory", "fifo-memory", "fifo-short-sighted", "standard-http", "fifo-http"],
)
def test_embedded_sqs_agrees_with_the_oracle(machine: type[RuleBasedStateMachine], effort: settings) -> None:
    """Whatever is done in whatever order, both know the same messages in the same states."""
    run_state_machine_as_test(machine, settings=effort)
