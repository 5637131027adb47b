"""Which messages of a receive may run in parallel, which must stay in order, and how each of them is run.

A lane is a list of messages that one thread runs one after the other. Standard queues: a lane a message, or a lane a
call of a batch processor. FIFO queues: a lane a message group; after a failure in it the rest is not started, because
order is what the group was for (S22, S27).

A batch processor gets a job at its last attempt by itself: one that fails every call must not take the others of its
batch to the dead-letter queue with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from sqs_tasks.execution.executor import Executor
from sqs_tasks.execution.runtime import CoroutineLimiter
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.outcome import Delete, NotStarted, Outcome, Verdict

#: Asked before each message starts: None to go on, or why not.
MayStart: TypeAlias = Callable[[ReceivedMessage], NotStarted | None]

#: Runs a call in a thread and gives its result: ``asyncio.to_thread``, so that asyncio stays out.
RunInThread: TypeAlias = Callable[..., Awaitable[Verdict]]

#: A message, what became of its job, and what becomes of it.
Settled: TypeAlias = tuple[ReceivedMessage, Outcome, Verdict]


class Concluding(Protocol):
    """What a lane asks of settlement."""

    def conclude(self, message: ReceivedMessage, outcome: Outcome) -> Verdict:
        """What becomes of a message."""


class ConcludingAsync(Concluding, Protocol):
    """What a lane on an event loop asks of settlement."""

    def may_call(self, message: ReceivedMessage, outcome: Outcome) -> bool:
        """Whether :meth:`conclude` may have to make a request, which takes time."""


class Lane(NamedTuple):
    """Messages to be run in order by one thread; a tuple, since on most queues there is one for each job."""

    messages: tuple[ReceivedMessage, ...]
    #: Whether a failure stops the rest.
    in_order: bool = False
    #: Whether one call of a batch processor takes them all; of lanes in order it is said by each message.
    is_batch: bool = False


def plan(messages: Sequence[ReceivedMessage], executor: Executor, *, fifo: bool) -> list[Lane]:
    """The lanes of one receive; whether they keep an order is for the caller to say: a group id alone is none (S2)."""
    if fifo:
        groups: dict[str, list[ReceivedMessage]] = {}
        for message in messages:
            groups.setdefault(message.group_id or "", []).append(message)
        return [Lane(tuple(group), in_order=True) for group in groups.values()]
    lanes: list[Lane] = []
    batches: dict[str, list[ReceivedMessage]] = {}
    for message in messages:
        task = executor.batch_task(message)
        if task is None:
            lanes.append(Lane((message,)))
            continue
        if executor.is_last_attempt(message, task):
            lanes.append(Lane((message,), is_batch=True))
            continue
        batch = batches.setdefault(task.name, [])
        batch.append(message)
        if len(batch) == task.batch_size:
            lanes.append(Lane(tuple(batches.pop(task.name)), is_batch=True))
    lanes.extend(Lane(tuple(batch), is_batch=True) for batch in batches.values())
    return lanes


def run_one(
    message: ReceivedMessage, executor: Executor, settlement: Concluding, refused: NotStarted | None
) -> Settled:
    """Run one message that needs no order: what nearly all lanes are, without what the others need.

    Args:
        message: The message.
        executor: Runs it.
        settlement: Says what becomes of it.
        refused: Why it may not start, or None.
    """
    outcome = refused or executor.execute(message)
    return message, outcome, settlement.conclude(message, outcome)


async def run_one_async(
    message: ReceivedMessage,
    executor: Executor,
    settlement: ConcludingAsync,
    refused: NotStarted | None,
    *,
    limited: CoroutineLimiter,
    in_thread: RunInThread,
) -> Settled:
    """As :func:`run_one` for the message of an async task, awaited on the event loop it shares with others.

    Args:
        message: The message.
        executor: Runs it.
        settlement: Says what becomes of it.
        refused: Why it may not start, or None.
        limited: Keeps the task to its timeout.
        in_thread: Runs what would hold up everything on the loop: the call that sends a copy.
    """
    outcome = refused or await executor.execute_async(message, limited=limited)
    if settlement.may_call(message, outcome):
        return message, outcome, await in_thread(settlement.conclude, message, outcome)
    return message, outcome, settlement.conclude(message, outcome)


def run_lane(lane: Lane, executor: Executor, settlement: Concluding, may_start: MayStart) -> Iterator[Settled]:
    """Run a lane and give each message with its outcome and verdict, as soon as it has them.

    A rejected job whose copy the dead-letter queue accepted is done with: its group goes on.
    """
    stopped: NotStarted | None = None
    for step in _steps(lane, executor):
        if stopped is None:
            stopped = may_start(step[0])
        if stopped is not None:
            for message in step:
                yield message, stopped, settlement.conclude(message, stopped)
            # On standard queues each message is asked for anew: another may still fit before the deadline.
            stopped = stopped if lane.in_order else None
            continue
        outcomes = [executor.execute(step[0])] if len(step) == 1 else executor.execute_batch(step)
        for message, outcome in zip(step, outcomes, strict=True):
            if stopped is not None:
                yield message, stopped, settlement.conclude(message, stopped)
                continue
            verdict = settlement.conclude(message, outcome)
            yield message, outcome, verdict
            if lane.in_order and not isinstance(verdict, Delete):
                # Visibility 0 does not let them overtake: SQS serves nothing of a group that has one in flight (S22).
                stopped = NotStarted(reason="an earlier message of its group failed")


def _steps(lane: Lane, executor: Executor) -> Iterator[tuple[ReceivedMessage, ...]]:
    """The calls of a lane: single messages, or runs of neighbours that one batch processor takes together."""
    if not lane.in_order:
        if lane.is_batch:
            yield lane.messages
        else:
            yield from ((message,) for message in lane.messages)
        return
    run: list[ReceivedMessage] = []
    for message in lane.messages:
        task = executor.batch_task(message)
        before = executor.batch_task(run[0]) if run else None
        is_alone = task is None or executor.is_last_attempt(message, task)
        if run and (is_alone or task is not before or (task is not None and len(run) == task.batch_size)):
            yield tuple(run)
            run = []
        if is_alone:
            yield (message,)
        else:
            run.append(message)
    if run:
        yield tuple(run)
