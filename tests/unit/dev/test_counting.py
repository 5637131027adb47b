"""Counting the queues: changes are told, an SQS that is away is not."""

from __future__ import annotations

from queue import SimpleQueue

from sqs_tasks import MemorySession, SQSEnv
from sqs_tasks.cli.dev.counting import Counting
from sqs_tasks.cli.dev.depths import Depths, QueuePlace
from sqs_tasks.cli.dev.event_sources import feeding_themselves, function_timeout
from sqs_tasks.cli.dev.events import Counted


def test_changes_are_told_once():
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
    def away():
        raise ConnectionError

    events = SimpleQueue()
    counting = Counting(away, events, interval_seconds=1)
    counting.watch([QueuePlace(name="emails", url="http://away/emails")])

    counting.count()

    assert events.empty()


def test_function_has_time_for_the_longest_task_and_no_more_than_the_visibility():
    env = SQSEnv(MemorySession())
    queue = env.queue("emails")
    queue.processor("short", timeout=3)(lambda: None)
    queue.processor("long", timeout=40)(lambda: None)

    assert function_timeout(queue, 240) == 45
    assert function_timeout(queue, 30) == 30


def test_loops_that_tasks_declare_are_allowed_as_in_the_stack_s36():
    """Around several queues too; what says nothing stays guarded."""
    env = SQSEnv(MemorySession())
    declared = {"there": ["back"], "back": ["there"], "again": ["again"], "on": ["there"], "silent": None}
    queues = [env.queue(name) for name in declared]
    for queue, enqueues in zip(queues, declared.values(), strict=True):
        queue.processor("run", enqueues=enqueues)(lambda: None)

    assert [queue.name for queue in feeding_themselves(queues)] == ["there", "back", "again"]
