"""Counting the queues: changes are reported, an SQS that does not answer is not."""

from __future__ import annotations

from queue import SimpleQueue

from sqs_tasks import MemorySession, SQSEnv
from sqs_tasks.cli.dev.counting import Counting
from sqs_tasks.cli.dev.depths import Depths, QueuePlace
from sqs_tasks.cli.dev.events import Counted


def test_changes_are_told_once():
    """Counts that have not changed are no second event."""
    env = SQSEnv(MemorySession())
    emails = env.queue("emails")
    task = emails.processor("send")(lambda: None)
    env.create_queues()
    events = SimpleQueue()
    counting = Counting(env.client, events, interval_seconds=1)
    counting.watch([QueuePlace(name="emails", url=emails.queue_url, dead_letter_url=env.get_queue_url("emails_dead"))])

    task.delay()
    counting.count()
    counting.count()

    assert events.get_nowait() == Counted([Depths(queue="emails", ready=1, in_flight=0, delayed=0, dead=0)])
    assert events.empty()


def test_sqs_that_does_not_answer_is_no_event():
    """A failing request is passed over."""

    def away():
        raise ConnectionError

    events = SimpleQueue()
    counting = Counting(away, events, interval_seconds=1)
    counting.watch([QueuePlace(name="emails", url="http://away/emails")])

    counting.count()

    assert events.empty()
