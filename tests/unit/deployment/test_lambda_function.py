"""The function that the stack makes for a queue, as ``dev --as lambda`` runs it.

That the stack makes the same is held by ``tests/infrastructure/test_twins.py``.
"""

from __future__ import annotations

from typing import Any

import pytest

from sqs_tasks import SQSEnv, readers
from sqs_tasks.deployment.lambda_function import QueueFunction, queue_functions
from sqs_tasks.errors import ConfigurationError


def function_of(*timeouts: float | None, name: str = "emails", **options: Any) -> QueueFunction:
    """The function of a queue with tasks of these timeouts."""
    env = SQSEnv()
    queue = env.queue(name, **options)
    for number, timeout in enumerate(timeouts):
        queue.processor(f"task-{number}", timeout=timeout)(lambda: None)
    return queue_functions(env.manifest())[name]


def test_a_batch_of_the_slowest_task_fits_in_one_invocation_and_six_of_those_in_the_visibility() -> None:
    """As many jobs one after another as five minutes have room for, and time to settle them."""
    function = function_of(3, 40)

    assert (function.batch_size, function.timeout_seconds, function.visibility_timeout_seconds) == (7, 285, 1_710)


def test_long_tasks_have_small_batches() -> None:
    """One that takes longer than five minutes runs alone: a crash hides each job of a batch for six times its time."""
    function = function_of(400)

    assert (function.batch_size, function.timeout_seconds) == (1, 405)


def test_managed_instances_have_more_time_and_memory() -> None:
    """For the queues that are named; another one is still refused what does not fit."""
    env = SQSEnv()
    env.queue("films").processor("cut", timeout=3_600, enqueues=[])(lambda: None)
    env.queue("emails").processor("send", timeout=5, enqueues=[])(lambda: None)
    functions = queue_functions(env.manifest(), managed=["films"])

    assert functions["films"] == QueueFunction(
        batch_size=1,
        timeout_seconds=3_605,
        visibility_timeout_seconds=6 * 3_605,
        allow_recursive_loop=False,
        memory_mb=2_048,
    )
    assert functions["emails"].memory_mb == 512
    with pytest.raises(ConfigurationError, match="3600"):
        queue_functions(env.manifest())
    with pytest.raises(ConfigurationError, match="queue 'songs', which no function works"):
        queue_functions(env.manifest(), managed=["films", "songs"])


def test_fifo_queues_are_worked_one_by_one() -> None:
    """One failure would cost those behind it an attempt each."""
    function = function_of(10, name="ledger.fifo")

    assert (function.batch_size, function.timeout_seconds, function.visibility_timeout_seconds) == (1, 15, 90)


def test_visibility_set_by_hand_limits_the_function() -> None:
    """A sixth of it where a job fits in that, or all of it."""
    assert function_of(10, visibility_timeout_seconds=600).timeout_seconds == 95
    function = function_of(10, visibility_timeout_seconds=60)
    assert (function.batch_size, function.timeout_seconds, function.visibility_timeout_seconds) == (5, 55, 60)


def test_loops_that_tasks_declare_are_allowed() -> None:
    """Around several queues too; what says nothing stays guarded."""
    env = SQSEnv()
    declared = {"there": ["back"], "back": ["there"], "again": ["again"], "on": ["there"], "silent": None}
    queues = [env.queue(name) for name in declared]
    for queue, enqueues in zip(queues, declared.values(), strict=True):
        queue.processor("run", enqueues=enqueues)(lambda: None)

    functions = queue_functions(env.manifest())

    assert [name for name, one in functions.items() if one.allow_recursive_loop] == ["there", "back", "again"]


def test_jobs_that_go_on_by_copies_make_a_loop() -> None:
    """By what a task says, and on queues of Celery, whose jobs may be due in weeks; on a FIFO queue there are none."""
    env = SQSEnv()
    env.queue("said").processor("run", enqueues=[], postpones=True)(lambda: None)
    env.queue("celery", readers=[readers.celery]).processor("run", enqueues=[])(lambda: None)
    env.queue("steps.fifo").processor("run", enqueues=[], postpones=True)(lambda: None)
    env.queue("plain").processor("run", enqueues=[])(lambda: None)

    functions = queue_functions(env.manifest())

    assert [name for name, one in functions.items() if one.allow_recursive_loop] == ["said", "celery"]


def test_queues_without_tasks_or_on_fargate_have_no_function() -> None:
    """A container works the latter."""
    env = SQSEnv()
    env.queue("bare")
    env.queue("long", runs_on="fargate").processor("run", timeout=3_600)(lambda: None)

    assert queue_functions(env.manifest()) == {}


@pytest.mark.parametrize(
    ("timeout", "options", "says"),
    [
        (896, {}, "task 'task-0' on queue 'emails' needs 901 s.*runs_on='fargate'"),
        (
            30,
            {"visibility_timeout_seconds": 20},
            "visibility_timeout_seconds=20 is less than the 35 s.*raise it to 210",
        ),
    ],
)
def test_what_the_stack_refuses_is_refused(timeout: int, options: dict[str, Any], says: str) -> None:
    """On the laptop, and not first at the deploy."""
    with pytest.raises(ConfigurationError, match=says):
        function_of(timeout, **options)
