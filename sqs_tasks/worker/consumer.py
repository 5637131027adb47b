"""The consumer: polls queues, hands messages to a pool, and stops in order (design §4).

Threads of a process, and what each owns. The *polling* thread of a queue receives, and with a concurrency of 1 runs
the tasks too; for a single queue it is the caller's thread. *Worker* threads run tasks and talk to SQS only to copy a
rejected job to its dead-letter queue. The *settle* thread deletes and changes visibilities. The *heartbeat* thread
extends leases. One polling thread is enough: more make boto3 slower, not faster.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sqs_tasks import limits
from sqs_tasks.batch_result import BatchProcessingResult
from sqs_tasks.client import error_code
from sqs_tasks.event_loop import run_coroutine
from sqs_tasks.executor import CoroutineRunner, Executor
from sqs_tasks.lanes import Lane, plan, run_lane
from sqs_tasks.message import ReceivedMessage, from_sqs
from sqs_tasks.outcome import NotStarted, Succeeded
from sqs_tasks.protocols import SQSClient
from sqs_tasks.registry import RegisteredTask
from sqs_tasks.settings import QueueSettings
from sqs_tasks.settlement import Settlement
from sqs_tasks.shutdown_policies import NEVER_SHUTDOWN, ShutdownPolicy
from sqs_tasks.worker.heartbeat import Heartbeat
from sqs_tasks.worker.pool import InlinePool, Pool, ThreadPool
from sqs_tasks.worker.settling import SettlementBuffer
from sqs_tasks.worker.signals import stop_on_signals

logger = logging.getLogger(__name__)

#: Seconds for which each receive hides its messages, unless the registration says; the heartbeat extends it.
LEASE_SECONDS = 60

#: Seconds to wait after the first failed receive, and at most; between them it doubles, with jitter.
MIN_ERROR_PAUSE, MAX_ERROR_PAUSE = 0.5, 30.0

#: Seconds between two looks at the stop flag while all slots are busy.
SLOT_WAIT_SECONDS = 1.0


class WorkedEnvironment(Protocol):
    """What the consumer asks of a queue's environment."""

    @property
    def client(self) -> Callable[[], SQSClient]:
        """Gives the client."""


class WorkedQueue(Protocol):
    """What the consumer asks of a queue."""

    @property
    def name(self) -> str:
        """The name in code."""

    @property
    def settings(self) -> QueueSettings:
        """What the registration says."""

    @property
    def queue_url(self) -> str:
        """The URL; raises QueueNotFoundError."""

    @property
    def tasks(self) -> Sequence[RegisteredTask]:
        """What is registered."""

    @property
    def env(self) -> WorkedEnvironment:
        """The environment."""

    def executor(self, *, run_coroutine: CoroutineRunner | None = None) -> Executor:
        """What runs its messages."""

    def settlement(self) -> Settlement:
        """What settles its messages."""


class Consumer:
    """Works queues until told to stop.

    Args:
        queues: The queues; several get a polling thread each, so that an empty one holds up none.
        concurrency: Jobs at once for each queue; 1 runs them in the polling thread.
        wait_seconds: How long one long poll waits, 0 to 20.
        grace_seconds: How long running jobs may take to finish after the stop.
    """

    def __init__(
        self,
        queues: Sequence[WorkedQueue],
        *,
        concurrency: int = 1,
        wait_seconds: int = limits.MAX_WAIT_SECONDS,
        grace_seconds: float = 25,
    ) -> None:
        self._stop = threading.Event()
        self._grace = grace_seconds
        self._loops = [
            _QueueLoop(queue, self._stop, concurrency=concurrency, wait_seconds=wait_seconds) for queue in queues
        ]

    def stop(self) -> None:
        """Ask all loops to stop; safe in a signal handler and from any thread."""
        self._stop.set()

    def run(self, shutdown_policy: ShutdownPolicy | Callable[[], ShutdownPolicy] = NEVER_SHUTDOWN) -> None:
        """Work until the policy, a signal or :meth:`stop` ends it, then drain.

        Args:
            shutdown_policy: A policy, or what makes one for each queue.
        """
        with stop_on_signals(self.stop):
            if len(self._loops) == 1:
                self._loops[0].run(_policy(shutdown_policy), self._grace)
                return
            threads = [
                threading.Thread(
                    target=loop.run,
                    args=(_policy(shutdown_policy), self._grace),
                    name=f"sqs-tasks-poll-{loop.queue.name}",
                    daemon=True,
                )
                for loop in self._loops
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def run_once(self) -> BatchProcessingResult:
        """Receive from the first queue once, run what came in this thread, and settle it."""
        return self._loops[0].run_once()


class _QueueLoop:
    """One queue's loop with its pool, heartbeat and settlement."""

    def __init__(self, queue: WorkedQueue, stop: threading.Event, *, concurrency: int, wait_seconds: int) -> None:
        self.queue = queue
        self._stop = stop
        self._wait_seconds = wait_seconds
        self._executor = queue.executor(run_coroutine=run_coroutine)
        self._settlement = queue.settlement()
        self._lease = max(queue.settings.visibility_timeout_seconds or LEASE_SECONDS, 2)
        self._heartbeat = Heartbeat(self._settlement, self._lease)
        self._buffer = SettlementBuffer(self._settlement)
        self._pool: Pool = InlinePool(self._run_lane) if concurrency == 1 else ThreadPool(self._run_lane, concurrency)
        self._batch_size = max((task.batch_size for task in queue.tasks), default=0)
        self._result_lock = threading.Lock()
        self._result = BatchProcessingResult(queue.name)

    def run(self, policy: ShutdownPolicy, grace_seconds: float) -> None:
        logger.info(
            "processing queue %s", self.queue.name, extra={"action": "consumer_started", "queue_name": self.queue.name}
        )
        try:
            self._poll(policy)
        finally:
            self._close(grace_seconds if self._stop.is_set() else None)
            logger.info(
                "stopped processing queue %s",
                self.queue.name,
                extra={"action": "consumer_stopped", "queue_name": self.queue.name},
            )

    def run_once(self) -> BatchProcessingResult:
        """One receive's worth.

        FIFO messages come one by one: SQS counts every receive against the dead-letter queue, so followers of a
        message that fails must not be received with it (S23).
        """
        want = self._batch_size or limits.MAX_BATCH_ENTRIES
        wait = self._wait_seconds
        try:
            if not self.queue.settings.fifo or self._batch_size:
                self._start(self._gather(want, wait))
            else:
                for _ in range(want):
                    messages = self._receive(1, wait)
                    if not messages:
                        break
                    self._start(messages)
                    wait = 0
        finally:
            self._close(None)
        return self._take_result()

    def _poll(self, policy: ShutdownPolicy) -> None:
        pause = 0.0
        while not self._stop.is_set():
            free = self._pool.wait_free(SLOT_WAIT_SECONDS)
            if not free:
                continue
            if self._stop.is_set():
                break
            try:
                messages = self._gather(self._want(free), self._wait(policy))
            except Exception as error:  # noqa: BLE001 - whatever the world does, the loop goes on (W6, celery#8243)
                pause = min(max(pause * 2, MIN_ERROR_PAUSE), MAX_ERROR_PAUSE)
                self._log_receive_error(error, pause)
                self._stop.wait(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads load, guards nothing
                messages = []
            else:
                pause = 0.0
            self._start(messages)
            result = self._take_result()
            if result.total_count() or not (messages or self._pool.running()):
                policy.update_state(result)
            if policy.need_shutdown():
                break

    def _want(self, free: int) -> int:
        if self._batch_size:
            return self._batch_size
        return 1 if self.queue.settings.fifo else min(limits.MAX_BATCH_ENTRIES, free)

    def _wait(self, policy: ShutdownPolicy) -> int:
        """How long this poll may wait: no longer than the policy can."""
        longest: Callable[[], float] | None = getattr(policy, "longest_wait_seconds", None)
        wait = self._wait_seconds if longest is None else min(self._wait_seconds, longest())
        return max(int(wait + 0.999), 0)

    def _gather(self, want: int, wait_seconds: int) -> list[ReceivedMessage]:
        """At most ``want`` messages: one receive, and for a batch above ten, more until one comes back short."""
        messages = self._receive(min(want, limits.MAX_BATCH_ENTRIES), wait_seconds)
        try:
            while messages and len(messages) < want and self._batch_size:
                more = self._receive(min(want - len(messages), limits.MAX_BATCH_ENTRIES), 0)
                if not more:
                    break
                messages.extend(more)
        except Exception as error:  # noqa: BLE001 - what has been received must be run, not stranded
            self._log_receive_error(error, 0)
        return messages

    def _receive(self, count: int, wait_seconds: int) -> list[ReceivedMessage]:
        answer: dict[str, Any] = self.queue.env.client().receive_message(
            QueueUrl=self.queue.queue_url,
            MaxNumberOfMessages=count,
            WaitTimeSeconds=wait_seconds,
            VisibilityTimeout=self._lease,
            MessageAttributeNames=["All"],
            # The name every endpoint knows; MessageSystemAttributeNames is its newer one.
            AttributeNames=["All"],
        )
        # A message may come twice in one answer (S6): one run is enough, and one handle settles it.
        messages = {raw["MessageId"]: from_sqs(raw) for raw in answer.get("Messages") or ()}
        received = list(messages.values())
        self._heartbeat.add(received)
        return received

    def _start(self, messages: Sequence[ReceivedMessage]) -> None:
        for lane in plan(messages, self._executor, fifo=self.queue.settings.fifo):
            self._pool.submit(lane)

    def _may_start(self, message: ReceivedMessage) -> NotStarted | None:  # noqa: ARG002 - the stop is for all
        return NotStarted(reason="the worker is stopping") if self._stop.is_set() else None

    def _run_lane(self, lane: Lane) -> None:
        left = {message.receipt_handle: message for message in lane.messages}
        try:
            for message, outcome, verdict in run_lane(lane, self._executor, self._settlement, self._may_start):
                left.pop(message.receipt_handle, None)
                self._heartbeat.remove(message)
                self._buffer.add(message, verdict, urgent=lane.in_order)
                with self._result_lock:
                    self._result.update_with_message(message, isinstance(outcome, Succeeded))
            if lane.in_order:
                # SQS serves nothing more of the group until this is settled; the slot is not free before.
                self._buffer.flush()
        finally:
            # Only an exception that is no task failure comes here with messages left: they return by themselves.
            for message in left.values():
                self._heartbeat.remove(message)

    def _take_result(self) -> BatchProcessingResult:
        with self._result_lock:
            result, self._result = self._result, BatchProcessingResult(self.queue.name)
        return result

    def _close(self, grace_seconds: float | None) -> None:
        """The stop, in its named steps: wait for running tasks, settle, end the heartbeat."""
        started = time.monotonic()
        if not self._pool.drain(threading.TIMEOUT_MAX if grace_seconds is None else grace_seconds):
            logger.error(
                "%d jobs of queue %s still run after %.0f s; they come back when their leases end",
                self._pool.running(),
                self.queue.name,
                time.monotonic() - started,
                extra={"action": "grace_over", "queue_name": self.queue.name},
            )
        self._pool.close()
        self._buffer.close()
        self._heartbeat.stop()

    def _log_receive_error(self, error: Exception, pause: float) -> None:
        logger.warning(
            "cannot receive from queue %s (%s: %s); trying again in %.1f s",
            self.queue.name,
            error_code(error) or type(error).__name__,
            error,
            pause,
            extra={
                "action": "receive_failed",
                "queue_name": self.queue.name,
                "error_code": error_code(error) or type(error).__name__,
            },
        )


def _policy(given: ShutdownPolicy | Callable[[], ShutdownPolicy]) -> ShutdownPolicy:
    return given if isinstance(given, ShutdownPolicy) and not isinstance(given, type) else given()
