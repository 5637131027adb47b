"""The functions and mappings that ``dev --as lambda`` makes of the queues."""

from __future__ import annotations

from sqs_tasks import MemorySession, SQSEnv
from sqs_tasks.cli.dev.event_sources import feeding_themselves, function_timeout


def test_function_has_time_for_the_longest_task_and_no_more_than_the_visibility():
    """The timeout of the function is derived from its tasks and limited by the queue."""
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
