"""What stands in for SQS in tests: queues in memory, or no queue at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqs_tasks.env import SQSEnv
from sqs_tasks.execution.eager import EagerDelivery
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.local.memory import MemorySession
from sqs_tasks.settings import queue_name_in


@contextmanager
def in_memory(env: SQSEnv, *, clock: ManualClock | None = None, schedules: bool = True) -> Iterator[MemorySession]:
    """Put queues in memory in the place of SQS for the length of a block, and give their session.

    All registered queues are there with their dead-letter queues and redrive policies, empty. ``session.advance(60)``
    moves their clock on, and the registered schedules send what becomes due on the way, each run once. A rate without
    a start runs first after one period. An environment with a store has an empty one in memory meanwhile.

    Args:
        env: The environment of the application, as it is imported by it.
        clock: The clock of the queues; a new one that stands at the present moment when left out.
        schedules: Whether the registered schedules run.
    """
    env.load_tasks()
    session = MemorySession(clock or ManualClock())
    client = session.client("sqs")
    with env.connected_to(client), _store_in_memory(env):
        env.create_queues()
        for queue in env.queues.values():
            if queue.settings.queue_url is not None:
                name = queue_name_in(queue.settings.queue_url)
                client.create_queue(QueueName=name, Attributes={"FifoQueue": "true"} if queue.settings.fifo else {})
        registered = env.schedules.values() if schedules else ()
        if registered:
            from sqs_tasks.scheduling.in_memory import schedule_in_memory

            schedule_in_memory(
                registered,
                session.client("scheduler"),
                queue_url=env.get_queue_url,
                now=datetime.fromtimestamp(session.clock.now(), UTC),
            )
        yield session


@contextmanager
def _store_in_memory(env: SQSEnv) -> Iterator[None]:
    """An empty store by the clock of the queues in memory, in the place of the environment's, if it has one."""
    before = env.store
    if before is None:
        yield
        return
    from sqs_tasks.store.sqlite import SQLiteStore  # few environments have a store

    memory = SQLiteStore(":memory:")
    env.store = memory.for_environment(env.client.of_service, env.client.now)
    try:
        yield
    finally:
        env.store = before
        memory.close()


@contextmanager
def eager(env: SQSEnv, *, raise_errors: bool = True) -> Iterator[EagerDelivery]:
    """Run each job where it is sent, for the length of a block; what became of them is in ``.outcomes``.

    Jobs pass through their codec, hooks and middleware as they would on their way to a worker. There is no second
    attempt, delays are not waited for, and a batch processor gets lists of one.

    Args:
        env: The environment.
        raise_errors: Let ``delay()`` raise what the task raised.
    """
    before, env.deliver = env.deliver, (delivery := EagerDelivery(raise_errors=raise_errors))
    try:
        yield delivery
    finally:
        env.deliver = before
