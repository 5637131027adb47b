"""One queue's loop: receive what can start, have it run, have it settled."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

from sqs_tasks import limits
from sqs_tasks.client import error_code
from sqs_tasks.execution.event_loop import limited, run_coroutine
from sqs_tasks.execution.executor import CoroutineRunner, Executor, Interrupter
from sqs_tasks.execution.lanes import Lane, plan, run_lane
from sqs_tasks.execution.main_thread_alarm import task_timeout
from sqs_tasks.execution.settlement import Settlement, Unsettled, Verdict
from sqs_tasks.hooks import AroundRequest, Request
from sqs_tasks.message import ReceivedMessage, from_sqs
from sqs_tasks.outcome import (
    UNKNOWN_TASK_NAME,
    BatchProcessingResult,
    NotStarted,
    Outcome,
    Rejected,
    Succeeded,
    UnknownTask,
)
from sqs_tasks.protocols import SQSClient
from sqs_tasks.registry import RegisteredTask
from sqs_tasks.settings import QueueSettings
from sqs_tasks.shutdown_policies import ShutdownPolicy
from sqs_tasks.worker.heartbeat import Heartbeat
from sqs_tasks.worker.lease import set_current_lease
from sqs_tasks.worker.metrics import Metrics
from sqs_tasks.worker.poll_state import PollState
from sqs_tasks.worker.pool import Pool, Work
from sqs_tasks.worker.receive_turn import Turn
from sqs_tasks.worker.settlement_buffer import SettlementBuffer
from sqs_tasks.worker.slots import Slots
from sqs_tasks.worker.stop import Stop

logger = logging.getLogger(__name__)

#: Seconds for which each receive hides its messages, unless the registration says; the heartbeat extends it.
LEASE_SECONDS = 60

#: The shortest lease: below, the heartbeat would be late before it has begun.
MIN_LEASE_SECONDS = 2

#: Seconds to wait after the first failed receive, and at most; between them it doubles, with jitter.
MIN_ERROR_PAUSE, MAX_ERROR_PAUSE = 0.5, 30.0

#: Seconds between two looks at the stop and the policy while no slot is free.
SLOT_WAIT_SECONDS = 1.0

#: Seconds that a receive of several messages may wait while other queues could use its slots: the shortest long poll.
SHARED_WAIT_SECONDS = 1

#: A message whose job is over, and whether it succeeded.
_Told: TypeAlias = tuple[ReceivedMessage, bool]

#: After these the client is made anew: credentials that were rotated in a file or an environment are read again.
CREDENTIAL_CODES = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)

_STOPPING = NotStarted(reason="the worker is stopping")


class WorkedEnvironment(Protocol):
    """What the worker asks of a queue's environment."""

    @property
    def client(self) -> Callable[[], SQSClient]:
        """Gives the client."""

    @property
    def around_request(self) -> AroundRequest | None:
        """Makes the context of each request, or None."""


class WorkedQueue(Protocol):
    """What the worker asks of a queue."""

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

    def executor(
        self, *, run_coroutine: CoroutineRunner | None = None, interrupter: Interrupter | None = None
    ) -> Executor:
        """What runs its messages."""

    def settlement(self) -> Settlement:
        """What settles its messages."""


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What the loops of one process share.

    Attributes:
        stop: The request to stop.
        slots: For plain tasks.
        async_slots: For async tasks; None runs them as plain ones, one after the other.
        pool: Runs plain tasks.
        async_pool: Runs async tasks; None as above.
        metrics: What is counted; None counts nothing.
        wait_seconds: How long one long poll waits.
        several: Whether other queues compete for the slots.
        turn: Taken for receives that are answered at once, so that those of several queues do not meet in boto3.
        prefetch: How many of the slots are for messages that cannot start yet.
        inline: Whether the pool runs in the polling thread.
    """

    stop: Stop
    slots: Slots
    async_slots: Slots | None
    pool: Pool
    async_pool: Pool | None
    metrics: Metrics | None
    wait_seconds: int
    several: bool
    turn: Turn
    prefetch: int
    inline: bool


class QueueLoop:
    """One queue's receives, heartbeat and settlement. :meth:`poll` belongs to one thread; the pools call the rest.

    Args:
        queue: The queue.
        index: Its place among the queues of the process.
        shared: What the loops have in common.
    """

    def __init__(self, queue: WorkedQueue, index: int, shared: Shared) -> None:
        self.queue = queue
        self.state = PollState(queue.name)
        self._index = index
        self._shared = shared
        self._stop = shared.stop
        self._executor = queue.executor(run_coroutine=run_coroutine, interrupter=task_timeout)
        self._settlement = queue.settlement()
        self._lease_seconds = max(queue.settings.visibility_timeout_seconds or LEASE_SECONDS, MIN_LEASE_SECONDS)
        self.heartbeat = Heartbeat(self._settlement, self._lease_seconds)
        self.buffer = SettlementBuffer(
            self._settlement,
            self.heartbeat,
            patience_seconds=self._lease_seconds,
            on_unsettled=self._count_unsettled,
        )
        tasks = queue.tasks
        self._batch_size = max((task.batch_size for task in tasks), default=0)
        asyncs = [task for task in tasks if task.is_async and not task.batch_size] if shared.async_slots else []
        #: Whether a message may need a thread, and whether it may need the event loop.
        self._needs_thread = len(asyncs) < len(tasks) or not tasks
        self._async_names = frozenset(name for task in asyncs for name in (task.name, *task.settings.aliases))
        #: The age of the oldest message of the last receive: what is known of the queue's without CloudWatch.
        self.oldest_age_seconds: float | None = None
        #: Whether the last receive brought messages, and whether it brought all it asked for, so that there are more.
        self._hot = self._has_more = False
        #: Jobs that have been handed to a pool, less those that are known to have ended.
        self._in_hand = 0
        #: What the pools tell the polling thread of each message and each lane that is over. A deque, since appending
        #: to it takes no lock.
        self._told: deque[_Told | None] = deque()

    # --- the polling thread -----------------------------------------------------------------------------------------

    def poll(self, policy: ShutdownPolicy) -> None:
        """Receive and start jobs until the policy or the stop ends it; a poll in flight is awaited."""
        pause = 0.0
        while not self._stop.requested:
            granted = self._acquire()
            if not granted:
                if policy.need_shutdown():
                    break
                continue
            want = self._want(granted)
            try:
                messages = self._next(want, policy)
            except Exception as error:  # noqa: BLE001 - whatever the world does, the loop goes on (W6, celery#8243)
                messages = []
                pause = min(max(pause * 2, MIN_ERROR_PAUSE), MAX_ERROR_PAUSE)
                self._receive_failed(error, pause)
            else:
                pause = 0.0
            self._set_hot(bool(messages))
            # What a FIFO queue has more of may be locked by what was just received; only a wait can tell.
            self._has_more = len(messages) >= want and not self.queue.settings.fifo
            self._start(messages, granted)
            if pause:
                self._stop.wait(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads load, guards nothing
            result = self.take_result()
            if result.total_count() or not (messages or self._in_hand):
                policy.update_state(result)
            if policy.need_shutdown():
                break
        self.state.is_over = True

    def poll_once(self) -> BatchProcessingResult:
        """One receive's worth.

        FIFO messages come one by one: SQS counts every receive against the dead-letter queue, so followers of a
        message that fails must not be received with it (S23).
        """
        want = self._batch_size or limits.MAX_BATCH_ENTRIES
        wait = self._shared.wait_seconds
        if not self.queue.settings.fifo or self._batch_size:
            self._start(self._gather(want, wait), 0)
        else:
            for _ in range(want):
                messages = self._receive(1, wait)
                if not messages:
                    break
                self._start(messages, 0)
                # Its group gives nothing more before it is settled, and the next receive does not wait for that.
                self.buffer.flush()
                wait = 0
        return self.take_result()

    def _acquire(self) -> int:
        """Slots for a receive: as many as there may be messages, or 0."""
        shared = self._shared
        if not self.buffer.wait_for_room(SLOT_WAIT_SECONDS):
            return 0
        most = 1 if self._batch_size or self.queue.settings.fifo else limits.MAX_BATCH_ENTRIES
        if shared.several and not self._hot:
            # A poll that will probably wait must not keep more than one slot from the others.
            most = 1
        granted = most
        if self._needs_thread:
            least = max(min(most, shared.prefetch), 1) if not shared.several else 1
            granted = shared.slots.acquire(self._index, granted, SLOT_WAIT_SECONDS, least=least)
        if granted and self._async_names and shared.async_slots is not None:
            least = 1 if shared.several or self._needs_thread else max(min(most, shared.prefetch), 1)
            also = shared.async_slots.acquire(self._index, granted, SLOT_WAIT_SECONDS, least=least)
            if self._needs_thread and also < granted:
                shared.slots.release(self._index, granted - also)
            granted = also
        if granted and self._stop.requested:
            self._release(granted)
            return 0
        return granted

    def _release(self, count: int) -> None:
        if self._needs_thread:
            self._shared.slots.release(self._index, count)
        if self._async_names and self._shared.async_slots is not None:
            self._shared.async_slots.release(self._index, count)

    def _want(self, granted: int) -> int:
        return self._batch_size or granted

    def _wait(self, policy: ShutdownPolicy) -> int:
        """How long this poll may wait: no longer than the policy can, and briefly while it holds shared slots."""
        longest: Callable[[], float] | None = getattr(policy, "longest_wait_seconds", None)
        wait = float(self._shared.wait_seconds)
        if longest is not None:
            wait = min(wait, longest())
        if self._shared.several and self._hot:
            wait = min(wait, SHARED_WAIT_SECONDS)
        return max(int(wait + 0.999), 0)

    def _next(self, want: int, policy: ShutdownPolicy) -> list[ReceivedMessage]:
        if not self._shared.several or not self._has_more:
            return self._gather(want, self._wait(policy))
        with self._shared.turn.taken():
            return self._gather(want, 0)

    def _gather(self, want: int, wait_seconds: int) -> list[ReceivedMessage]:
        """At most ``want`` messages: one receive, and for a batch above ten, more until one brings nothing."""
        messages = self._receive(min(want, limits.MAX_BATCH_ENTRIES), wait_seconds)
        try:
            while messages and len(messages) < want and self._batch_size and not self._stop.requested:
                more = self._receive(min(want - len(messages), limits.MAX_BATCH_ENTRIES), 0)
                if not more:
                    break
                messages.extend(more)
        except Exception as error:  # noqa: BLE001 - what has been received must be run, not stranded
            self._receive_failed(error, 0)
        return messages

    def _receive(self, count: int, wait_seconds: int) -> list[ReceivedMessage]:
        around = self.queue.env.around_request
        if around is None:
            return self._received(count, wait_seconds)
        request = Request("receive", self.queue.name)
        with around(request):
            request.messages = received = self._received(count, wait_seconds)
        return received

    def _received(self, count: int, wait_seconds: int) -> list[ReceivedMessage]:
        self.state.receiving()
        answer: dict[str, Any] = self.queue.env.client().receive_message(
            QueueUrl=self.queue.queue_url,
            MaxNumberOfMessages=count,
            WaitTimeSeconds=wait_seconds,
            VisibilityTimeout=self._lease_seconds,
            MessageAttributeNames=["All"],
            # The name every endpoint knows; MessageSystemAttributeNames is its newer one.
            AttributeNames=["All"],
        )
        self.state.received()
        # A message may come twice in one answer (S6): one run is enough, and its later handle settles it.
        messages = {raw["MessageId"]: from_sqs(raw) for raw in answer.get("Messages") or ()}
        received = list(messages.values())
        self.heartbeat.add(received)
        self.oldest_age_seconds = _oldest_age(received)
        metrics = self._shared.metrics
        if metrics is not None:
            metrics.count("sqs_tasks_receives_total", queue=self.queue.name)
            metrics.count("sqs_tasks_received_total", len(received), queue=self.queue.name)
        return received

    def _start(self, messages: Sequence[ReceivedMessage], granted: int) -> None:
        """Hand messages to the pools; slots that no lane needs are given back, lanes without one take theirs."""
        shared = self._shared
        works: list[Work] = []
        async_works: list[Work] = []
        for lane in self._plan(messages):
            on_loop = len(lane.messages) == 1 and self._is_for_loop(lane.messages[0])
            (async_works if on_loop else works).append(_LaneWork(self, lane, on_loop))
        if self._needs_thread or works:
            self._balance(shared.slots, granted if self._needs_thread else 0, len(works))
        if shared.async_slots is not None and self._async_names:
            self._balance(shared.async_slots, granted, len(async_works))
        self._in_hand += len(works) + len(async_works)
        if self._stop.requested:
            for work in (*works, *async_works):
                work.release()
            return
        if async_works and shared.async_pool is not None:
            shared.async_pool.submit(async_works)
        if works:
            shared.pool.submit(works)
            if shared.inline:
                self.buffer.help()
        if self._stop.wait(0):  # requested just now: nobody else would give back what no thread has taken
            shared.pool.release_waiting()
            if shared.async_pool is not None:
                shared.async_pool.release_waiting()

    def _plan(self, messages: Sequence[ReceivedMessage]) -> list[Lane]:
        if self._batch_size or self.queue.settings.fifo:
            return plan(messages, self._executor, fifo=self.queue.settings.fifo)
        return [Lane((message,)) for message in messages]

    def _is_for_loop(self, message: ReceivedMessage) -> bool:
        return bool(self._async_names) and (not self._needs_thread or message.job_name in self._async_names)

    def _balance(self, slots: Slots, granted: int, needed: int) -> None:
        if granted > needed:
            slots.release(self._index, granted - needed)
        elif needed > granted:
            slots.take(self._index, needed - granted)

    def _set_hot(self, hot: bool) -> None:
        self._hot = hot
        self._shared.slots.set_hot(self._index, hot=hot)
        if self._shared.async_slots is not None:
            self._shared.async_slots.set_hot(self._index, hot=hot)

    def _receive_failed(self, error: Exception, pause: float) -> None:
        code = error_code(error) or type(error).__name__
        self.state.failed(code)
        if self._shared.metrics is not None:
            self._shared.metrics.count("sqs_tasks_receive_errors_total", queue=self.queue.name, code=code)
        logger.warning(
            "cannot receive from queue %s (%s: %s); trying again in %.1f s at most",
            self.queue.name,
            code,
            error,
            pause,
            extra={"action": "receive_failed", "queue_name": self.queue.name, "error_code": code},
        )
        reset: Callable[[], None] | None = getattr(self.queue.env.client, "reset", None)
        if code in CREDENTIAL_CODES and reset is not None:
            reset()

    # --- worker threads and the event loop --------------------------------------------------------------------------

    def run_lane(self, lane: Lane) -> None:
        """Run a lane in this thread, each message to its verdict."""
        if len(lane.messages) == 1 and not lane.is_batch and not lane.in_order:
            self._run_one(lane.messages[0])
            return
        left = {message.receipt_handle: message for message in lane.messages}
        set_current_lease(self.heartbeat.lease(lane.messages[0]) if len(left) == 1 else None)
        started = time.perf_counter()
        try:
            for message, outcome, verdict in run_lane(lane, self._executor, self._settlement, self._may_start):
                del left[message.receipt_handle]
                now = time.perf_counter()
                self._settle(message, outcome, verdict, now - started, urgent=lane.in_order)
                started = now
        finally:
            set_current_lease(None)
            self._give_up(left.values())

    def _run_one(self, message: ReceivedMessage) -> None:
        """What nearly all lanes are, without what the others need: a no-op job costs little more than its requests."""
        set_current_lease(self.heartbeat.lease(message))
        started = time.perf_counter()
        settled = False
        try:
            outcome = _STOPPING if self._stop.requested else self._executor.execute(message)
            seconds = time.perf_counter() - started
            self._settle(message, outcome, self._settlement.conclude(message, outcome), seconds, urgent=False)
            settled = True
        finally:
            set_current_lease(None)
            if not settled:
                self._give_up((message,))

    async def run_lane_async(self, lane: Lane) -> None:
        """Run a lane of one message on the event loop, to its verdict."""
        (message,) = lane.messages
        set_current_lease(self.heartbeat.lease(message))
        started = time.perf_counter()
        settled = False
        try:
            refused = self._may_start(message)
            outcome = await self._executor.execute_async(message, limited=limited) if refused is None else refused
            seconds = time.perf_counter() - started
            if isinstance(outcome, Rejected):
                # A call to the dead-letter queue would hold up everything on the loop.
                verdict = await asyncio.to_thread(self._settlement.conclude, message, outcome)
            else:
                verdict = self._settlement.conclude(message, outcome)
            self._settle(message, outcome, verdict, seconds, urgent=lane.in_order)
            settled = True
        except asyncio.CancelledError:
            if self._stop.requested:  # the grace period is over: it has ended, and others may have it at once
                self.release_lane(lane)
                settled = True
            raise
        finally:
            if not settled:
                self._give_up(lane.messages)

    def release_lane(self, lane: Lane) -> None:
        """Give back what has not started, visible to others at once."""
        for message in lane.messages:
            self._settle(message, _STOPPING, self._settlement.conclude(message, _STOPPING), None, urgent=True)

    def unfinished(self) -> list[ReceivedMessage]:
        """The messages whose jobs still run."""
        over = {message.receipt_handle for message in self.buffer.messages()}
        return [message for message in self.heartbeat.messages() if message.receipt_handle not in over]

    def give_back_unfinished(self) -> None:
        """Make them visible to others at once, although their jobs still run: the process is about to end."""
        messages = self.unfinished()
        # A receive that nobody has answered yet would take them again, and with it they would be hidden once more.
        if messages and not self.state.is_receiving:
            self._settlement.hide([(message, 0) for message in messages], retries=0)

    def lane_ended(self, *, on_loop: bool) -> None:
        """A lane is over, one way or another: its slot is free."""
        slots = self._shared.async_slots if on_loop else self._shared.slots
        if slots is not None:
            slots.release(self._index)
        self._told.append(None)

    def _task_name(self, message: ReceivedMessage) -> str:
        """The name to count a message by; senders must not be able to make new ones."""
        task = self._executor.tasks.get(message.job_name)
        if task is not None:
            return task.name
        return UNKNOWN_TASK_NAME if message.job_name else ""  # other libraries' messages say it in their bodies

    def _may_start(self, message: ReceivedMessage) -> NotStarted | None:  # noqa: ARG002 - the stop is for all
        return _STOPPING if self._stop.requested else None

    def _settle(
        self, message: ReceivedMessage, outcome: Outcome, verdict: Verdict, seconds: float | None, *, urgent: bool
    ) -> None:
        self.buffer.add(message, verdict, urgent=urgent)
        self._told.append((message, isinstance(outcome, Succeeded)))
        metrics = self._shared.metrics
        if metrics is not None:
            ran = None if isinstance(outcome, NotStarted | UnknownTask) else seconds
            metrics.job(self.queue.name, self._task_name(message), _outcome_name(outcome), ran)

    def _give_up(self, messages: Sequence[ReceivedMessage] | Any) -> None:
        """Only an exception that is no task failure leaves messages behind: they come back by themselves."""
        for message in messages:
            self.heartbeat.forget(message)

    def _count_unsettled(self, unsettled: Unsettled) -> None:
        if self._shared.metrics is not None:
            self._shared.metrics.count("sqs_tasks_unsettled_total", queue=self.queue.name, code=unsettled.code)

    def take_result(self) -> BatchProcessingResult:
        """What was done since the last call; for the polling thread."""
        result, told = BatchProcessingResult(self.queue.name), self._told
        while told:
            one = told.popleft()
            if one is None:
                self._in_hand -= 1
            else:
                result.update_with_message(*one)
        return result


class _LaneWork(NamedTuple):
    """A lane in the hands of a pool."""

    loop: QueueLoop
    lane: Lane
    on_loop: bool

    def run(self) -> None:
        try:
            self.loop.run_lane(self.lane)
        finally:
            self.loop.lane_ended(on_loop=self.on_loop)

    async def run_async(self) -> None:
        try:
            await self.loop.run_lane_async(self.lane)
        finally:
            self.loop.lane_ended(on_loop=self.on_loop)

    def release(self) -> None:
        try:
            self.loop.release_lane(self.lane)
        finally:
            self.loop.lane_ended(on_loop=self.on_loop)


def _oldest_age(messages: Sequence[ReceivedMessage]) -> float:
    sent = [int(text) for text in (m.attributes.get("SentTimestamp", "") for m in messages) if text.isdecimal()]
    return max(time.time() - min(sent) / 1000, 0.0) if sent else 0.0


def _outcome_name(outcome: Outcome) -> str:
    return _NAMES[type(outcome).__name__]


_NAMES = {
    "Succeeded": "succeeded",
    "Retried": "retried",
    "Rejected": "rejected",
    "UnknownTask": "unknown_task",
    "NotStarted": "not_started",
}
