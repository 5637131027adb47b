"""Running the jobs of queues in memory until nothing is left to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqs_tasks import limits
from sqs_tasks.client import receive_request
from sqs_tasks.deadletter_queue import DeadLetterQueue
from sqs_tasks.env import SQSEnv
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.execution.eager import raise_failure
from sqs_tasks.execution.lanes import plan, run_lane
from sqs_tasks.execution.nested_loops import run_nested, runner_on
from sqs_tasks.execution.runtime import CoroutineRunner
from sqs_tasks.execution.settlement import Settlement
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.local import peek
from sqs_tasks.message import ReceivedMessage, from_sqs
from sqs_tasks.outcome import (
    ChangeVisibility,
    Delete,
    NotStarted,
    Outcome,
    Postponed,
    Retried,
    Retry,
    Skipped,
    Succeeded,
    Verdict,
)

#: Jobs that :func:`drain` runs before it gives up: a task that adds itself again would never end.
MAX_JOBS = 1_000


@dataclass(frozen=True, slots=True)
class DrainResult:
    """What :func:`drain` ran.

    Attributes:
        runs: Each message with the outcome of its run, in their order; a job that was retried is in it several times.
    """

    runs: list[tuple[ReceivedMessage, Outcome]] = field(default_factory=list)

    @property
    def succeeded(self) -> int:
        """How many runs succeeded."""
        return sum(isinstance(outcome, Succeeded) for _, outcome in self.runs)

    @property
    def postponed(self) -> int:
        """How many jobs were received and are to run later, without an attempt at them."""
        return sum(isinstance(outcome, (NotStarted, Postponed)) for _, outcome in self.runs)

    @property
    def skipped(self) -> int:
        """How many jobs of schedules came too late to be run."""
        return sum(isinstance(outcome, Skipped) for _, outcome in self.runs)

    @property
    def failed(self) -> int:
        """How many runs failed, those included that are to be retried."""
        return len(self.runs) - self.succeeded - self.postponed - self.skipped

    def __repr__(self) -> str:
        postponed = f", postponed={self.postponed}" if self.postponed else ""
        skipped = f", skipped={self.skipped}" if self.skipped else ""
        return f"DrainResult(succeeded={self.succeeded}, failed={self.failed}{postponed}{skipped})"


def drain(
    what: GenericQueue | SQSEnv,
    *,
    raise_errors: bool = True,
    wait: bool = False,
    max_jobs: int = MAX_JOBS,
    outbox: Any = None,
) -> DrainResult:
    """Run the jobs of a queue in this thread until nothing is left to run, those included that its tasks add.

    Async tasks run on the event loop of the library, also when the caller is a coroutine; :func:`adrain` runs them on
    the loop of the caller.

    Args:
        what: The queue; or the environment, for all its queues that have tasks. Dead-letter queues stay as they are.
        raise_errors: Raise what the first failing task raised, once its job is settled; what ``Retry`` asks for is no
            error, nor is a job that was postponed. Without it failed jobs wait for their next attempt, and can be
            looked at in the result.
        wait: Run what is delayed, postponed or waits for a retry too, by moving the clock of the queues in memory on
            to each. A job that never succeeds ends in the dead-letter queue, or is stopped by ``max_jobs``.
        max_jobs: How many runs are too many.
        outbox: The database with jobs that were written into transactions, as an Engine of SQLAlchemy or an alias of
            Django's: what was committed is sent first, and again after each round, as a relay would.

    Raises:
        AssertionError: There were more runs than ``max_jobs``.
        Exception: What a task raised.
    """
    return _drain(what, run_nested, raise_errors=raise_errors, wait=wait, max_jobs=max_jobs, outbox=outbox)


async def adrain(
    what: GenericQueue | SQSEnv,
    *,
    raise_errors: bool = True,
    wait: bool = False,
    max_jobs: int = MAX_JOBS,
    outbox: Any = None,
) -> DrainResult:
    """As :func:`drain`, for tests that are coroutines: async tasks run on the caller's event loop.

    What is bound to that loop can be used by them, such as a connection pool or a mock that is awaited. Plain tasks run
    in another thread, as they do in a worker.
    """
    import asyncio

    runner = runner_on(asyncio.get_running_loop())
    return await asyncio.to_thread(
        _drain, what, runner, raise_errors=raise_errors, wait=wait, max_jobs=max_jobs, outbox=outbox
    )


def _drain(
    what: GenericQueue | SQSEnv,
    run_coroutine: CoroutineRunner,
    *,
    raise_errors: bool,
    wait: bool,
    max_jobs: int,
    outbox: Any,
) -> DrainResult:
    queues = _worked(what)
    relay = _no_relay if outbox is None else _relay(what if isinstance(what, SQSEnv) else what.env, outbox)
    client, result = what.client() if isinstance(what, SQSEnv) else what.env.client(), DrainResult()
    while True:
        while relay() + sum(_run_round(queue, run_coroutine, result, raise_errors=raise_errors) for queue in queues):
            if len(result.runs) > max_jobs:
                names = " and ".join(repr(queue.name) for queue in queues)
                raise AssertionError(
                    f"queue {names} is not empty after {max_jobs} runs; does a task add itself again, or fail "
                    "forever without a dead-letter queue? max_jobs= allows more"
                )
        if not wait or not any(
            one.state != "ready" for queue in queues for one in peek.stored_messages(client, queue.queue_url)
        ):
            return result
        _advance_to_next_moment(client)


def _no_relay() -> bool:
    return False


def _relay(env: Any, outbox: Any) -> Callable[[], bool]:
    """Sends what was committed, and says whether there was anything."""
    from sqs_tasks.transactions.outbox.relay import Relay  # most tests have no outbox

    if isinstance(outbox, str):
        from sqs_tasks.transactions.outbox.django_database import DjangoDatabase

        relay = Relay(env, DjangoDatabase(outbox))
    else:
        from sqs_tasks.transactions.outbox.sqlalchemy_database import SQLAlchemyDatabase

        relay = Relay(env, SQLAlchemyDatabase(outbox))
    return lambda: bool(relay.run_once())


def _worked(what: GenericQueue | SQSEnv) -> list[GenericQueue]:
    if not isinstance(what, SQSEnv):
        return [what]
    # The tasks of a dead-letter queue push its messages back: they would come back each time.
    queues = [one for one in what.queues.values() if one.tasks and not isinstance(one, DeadLetterQueue)]
    if not queues:
        raise ConfigurationError(
            "the environment has no queue with a task, so nothing could run; import the modules with your tasks first"
        )
    return queues


def _run_round(queue: GenericQueue, run_coroutine: CoroutineRunner, result: DrainResult, *, raise_errors: bool) -> bool:
    """Whether there was anything to run."""
    runs = _run_once(queue, run_coroutine)
    result.runs.extend(runs)
    for _, outcome in runs if raise_errors else ():
        # What was not started runs later; what held it up, if it failed, is an outcome of its own.
        if not isinstance(outcome, (NotStarted, Postponed)) and not (
            isinstance(outcome, Retried) and _asked_for(outcome)
        ):
            raise_failure(outcome, queue.name)
    return bool(runs)


def _run_once(queue: GenericQueue, run_coroutine: CoroutineRunner) -> list[tuple[ReceivedMessage, Outcome]]:
    """Receive, run and settle once; without threads, so that a test's breakpoints and patches are in force."""
    client, settlement = queue.env.client(), queue.settlement()
    executor = queue.executor(run_coroutine=run_coroutine, now=_clock_of(client))
    batch_size = max((task.batch_size for task in queue.tasks), default=0)
    messages: list[ReceivedMessage] = []
    # A FIFO queue is received from one by one, as workers do: followers of a failure must not be received with it.
    want = batch_size or (1 if queue.settings.fifo else limits.MAX_BATCH_ENTRIES)
    while len(messages) < want:
        count = min(want - len(messages), limits.MAX_BATCH_ENTRIES)
        answer = client.receive_message(**receive_request(queue.queue_url, count, wait_seconds=0))
        received = [from_sqs(raw) for raw in answer.get("Messages") or ()]
        messages.extend(received)
        if not received or not batch_size:
            break
    runs: list[tuple[ReceivedMessage, Outcome]] = []
    for lane in plan(messages, executor, fifo=queue.settings.fifo):
        for message, outcome, verdict in run_lane(lane, executor, settlement, _go_on):
            _settle(settlement, message, verdict)
            runs.append((message, outcome))
    return runs


def _settle(settlement: Settlement, message: ReceivedMessage, verdict: Verdict) -> None:
    if isinstance(verdict, Delete):
        settlement.delete([message])
    elif isinstance(verdict, ChangeVisibility):
        settlement.change_visibility([(message, verdict.seconds)])


def _go_on(_message: ReceivedMessage) -> NotStarted | None:
    return None


def _clock_of(client: Any) -> Any:
    try:
        return peek.clock_of(client).now
    except TypeError:  # a real endpoint, on real time
        return None


def _asked_for(outcome: Retried) -> bool:
    return isinstance(outcome.error, Retry)


def _advance_to_next_moment(client: Any) -> None:
    session, moment = peek.session_of(client), peek.next_moment(client)
    if moment is None:
        raise AssertionError("messages wait in the queue and nothing will ever make them visible")
    session.advance(max(moment - session.clock.now(), 0))
