"""One queue's loop: receive what can start, have it run, have it settled."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqs_tasks import limits
from sqs_tasks.client import error_code, is_loopback, receive_request
from sqs_tasks.execution.event_loop import run_coroutine
from sqs_tasks.execution.lanes import Lane, plan
from sqs_tasks.execution.main_thread_alarm import task_timeout
from sqs_tasks.execution.settlement import Unsettled
from sqs_tasks.hooks import Request
from sqs_tasks.message import ReceivedMessage, from_sqs
from sqs_tasks.outcome import BatchProcessingResult
from sqs_tasks.shutdown_policies import ShutdownPolicy
from sqs_tasks.worker.children.child_pool import ChildPool
from sqs_tasks.worker.children.isolated_executor import IsolatedExecutor
from sqs_tasks.worker.heartbeat import Heartbeat
from sqs_tasks.worker.lane_worker import LaneWorker
from sqs_tasks.worker.metrics import Metrics
from sqs_tasks.worker.overrun_watch import OverrunWatch
from sqs_tasks.worker.pause_tags import PAUSED_SECONDS, PauseTags
from sqs_tasks.worker.poll_state import PollState
from sqs_tasks.worker.pool import Pool, Work
from sqs_tasks.worker.progress import Progress
from sqs_tasks.worker.receive_turn import Turn
from sqs_tasks.worker.settlement_buffer import SettlementBuffer
from sqs_tasks.worker.slots import SLOT_WAIT_SECONDS, QueueSlots, Slots
from sqs_tasks.worker.stop import Stop
from sqs_tasks.worker.worked_queue import WorkedQueue

logger = logging.getLogger(__name__)

#: Seconds for which each receive hides its messages, unless the registration says; the heartbeat extends it.
LEASE_SECONDS = 60

#: The shortest lease: below, the heartbeat would be late before it has begun.
MIN_LEASE_SECONDS = 2

#: Seconds to wait after the first failed receive, and at most; between them it doubles, with jitter.
MIN_ERROR_PAUSE, MAX_ERROR_PAUSE = 0.5, 30.0

#: Seconds that a receive of several messages may wait while other queues could use its slots: the shortest long poll.
SHARED_WAIT_SECONDS = 1

#: Jobs that are named at the end of the grace period, for each queue.
MAX_NAMED = 10

#: Seconds that a poll of an endpoint on this machine waits.
LOCAL_WAIT_SECONDS = 1


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
        overruns: Knows the jobs that run beyond their timeout; None where there are no timeouts, or all are enforced.
        children: The processes that run the jobs; None runs them in this one.
        pauses: Knows which queues are paused; None asks nobody.
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
    overruns: OverrunWatch | None = None
    children: ChildPool | None = None
    pauses: PauseTags | None = None


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
        self._shared = shared
        self._stop = shared.stop
        overruns = shared.overruns
        self._executor = queue.executor(
            run_coroutine=run_coroutine,
            interrupter=task_timeout,
            watch=None if overruns is None else overruns.watch,
        )
        if shared.children is not None:
            self._executor = IsolatedExecutor.of(self._executor, shared.children, self._count_lost)
        self._settlement = queue.settlement()
        self._lease_seconds = max(queue.settings.visibility_timeout_seconds or LEASE_SECONDS, MIN_LEASE_SECONDS)
        self.heartbeat = Heartbeat(self._settlement, self._lease_seconds, fifo=queue.settings.fifo)
        self._fifo = queue.settings.fifo
        self.buffer = SettlementBuffer(
            self._settlement,
            self.heartbeat,
            patience_seconds=self._lease_seconds,
            answer_seconds=self._lease_seconds / 4,
            on_unsettled=self._count_unsettled,
        )
        self.heartbeat.on_look = self.buffer.look
        tasks = queue.tasks
        self._batch_size = max((task.batch_size for task in tasks), default=0)
        asyncs = [task for task in tasks if task.is_async and not task.batch_size] if shared.async_slots else []
        #: Whether a message may need a thread, and the names of tasks that need the event loop.
        self._needs_thread = len(asyncs) < len(tasks) or not tasks
        self._async_names = frozenset(name for task in asyncs for name in (task.name, *task.settings.aliases))
        self._slots = QueueSlots(
            index,
            shared.slots,
            shared.async_slots,
            needs_plain=self._needs_thread,
            needs_loop=bool(self._async_names),
            several=shared.several,
            prefetch=shared.prefetch,
        )
        self._progress = Progress(queue.name)
        self._worker = LaneWorker(
            queue.name,
            executor=self._executor,
            settlement=self._settlement,
            heartbeat=self.heartbeat,
            buffer=self.buffer,
            slots=self._slots,
            progress=self._progress,
            stop=shared.stop,
            metrics=shared.metrics,
        )
        #: The age of the oldest message of the last receive: what is known of the queue's without CloudWatch.
        self.oldest_age_seconds: float | None = None
        #: Whether the last receive brought messages, and whether it brought all it asked for, so that there are more.
        self._hot = self._has_more = False
        #: Whether the endpoint is on this machine; None until the client has been made.
        self._is_local: bool | None = None

    # --- the polling thread -----------------------------------------------------------------------------------------

    def poll(self, policy: ShutdownPolicy) -> None:
        """Receive and start jobs until the policy or the stop ends it; a poll in flight is awaited."""
        pause = 0.0
        while not self._stop.requested:
            if self._shared.pauses is not None and self._shared.pauses.is_paused(self.queue):
                if self._is_over_while_paused(policy):
                    break
                continue
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
            self._hot = bool(messages)
            self._slots.set_hot(hot=self._hot)
            # What a FIFO queue has more of may be locked by what was just received; only a wait can tell.
            self._has_more = len(messages) >= want and not self._fifo
            self._start(messages, granted)
            if pause:
                self._stop.wait(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads load, guards nothing
            result = self._progress.taken()
            if result.total_count() or not (messages or self._progress.lanes_in_progress):
                policy.update_state(result)
            if policy.need_shutdown():
                break
        self.state.is_over = True

    def _is_over_while_paused(self, policy: ShutdownPolicy) -> bool:
        """Whether the policy ends a queue of which nothing is received; it is asked after a short wait."""
        self._stop.wait(PAUSED_SECONDS)
        result = self._progress.taken()
        if result.total_count() or not self._progress.lanes_in_progress:
            policy.update_state(result)
        return policy.need_shutdown()

    def poll_once(self) -> BatchProcessingResult:
        """One receive's worth.

        FIFO messages come one by one: SQS counts every receive against the dead-letter queue, so followers of a
        message that fails must not be received with it (S23).
        """
        want = self._batch_size or limits.MAX_BATCH_ENTRIES
        wait = self._shared.wait_seconds
        if not self._fifo or self._batch_size:
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
        return self._progress.taken()

    def _acquire(self) -> int:
        """Slots for a receive: as many as there may be messages, or 0."""
        if not self.buffer.wait_for_room(SLOT_WAIT_SECONDS):
            return 0
        most = 1 if self._batch_size or self._fifo else limits.MAX_BATCH_ENTRIES
        if self._shared.several and not self._hot:
            # A poll that will probably wait must not keep more than one slot from the others.
            most = 1
        granted = self._slots.acquire(most)
        if granted and self._stop.requested:
            self._slots.release(granted)
            return 0
        return granted

    def _want(self, granted: int) -> int:
        return self._batch_size or granted

    def _wait(self, policy: ShutdownPolicy) -> int:
        """How long this poll may wait: no longer than the policy can, and briefly while it holds shared slots.

        The first one does not wait, so that the worker is known to be served at once. A poll of AWS is never cut off: a
        message that it brings would be hidden, and nobody would have it (S7). An endpoint on this machine is asked
        again after a second, which costs nothing there, so that an idle worker stops as soon.
        """
        if not self.state.has_received:
            return 0
        longest: Callable[[], float] | None = getattr(policy, "longest_wait_seconds", None)
        wait = float(self._shared.wait_seconds)
        if self._is_local is None:
            self._is_local = _is_local(self.queue.env.client())
        if self._is_local:
            wait = min(wait, LOCAL_WAIT_SECONDS)
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
        request = receive_request(
            self.queue.queue_url, count, wait_seconds=wait_seconds, visibility_timeout_seconds=self._lease_seconds
        )
        answer = self.queue.env.client().receive_message(**request)
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
            (async_works if on_loop else works).append(self._worker.work(lane, on_loop=on_loop))
        self._slots.adjust(granted, plain=len(works), on_loop=len(async_works))
        self._progress.started(len(works) + len(async_works))
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
        if self._batch_size or self._fifo:
            return plan(messages, self._executor, fifo=self._fifo)
        return [Lane((message,)) for message in messages]

    def _is_for_loop(self, message: ReceivedMessage) -> bool:
        return bool(self._async_names) and (not self._needs_thread or message.job_name in self._async_names)

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

    def unfinished(self) -> list[ReceivedMessage]:
        """The messages whose jobs still run."""
        over = {message.receipt_handle for message in self.buffer.messages()}
        return [message for message in self.heartbeat.messages() if message.receipt_handle not in over]

    def log_unfinished(self) -> None:
        """Name the first of the jobs that still run, so that each can be found."""
        for message in self.unfinished()[:MAX_NAMED]:
            fields = message.log_fields(self.queue.name)
            self._stop.log(
                logging.ERROR,
                "job %s still runs at the end of the grace period",
                fields["job_name"],
                extra={"action": "job_unfinished", **fields},
            )

    def give_back_unfinished(self) -> None:
        """Make them visible to others at once, although their jobs still run: the process is about to end."""
        messages = self.unfinished()
        # A receive that nobody has answered yet would take them again, and with it they would be hidden once more.
        if messages and not self.state.is_receiving:
            self._settlement.change_visibility([(message, 0) for message in messages], retries=0)

    def _count_lost(self, queue_name: str, task_name: str, cause: str) -> None:
        if self._shared.metrics is not None:
            self._shared.metrics.count("sqs_tasks_lost_processes_total", queue=queue_name, task=task_name, cause=cause)

    def _count_unsettled(self, unsettled: Unsettled) -> None:
        if self._shared.metrics is not None:
            self._shared.metrics.count("sqs_tasks_unsettled_total", queue=self.queue.name, code=unsettled.code)


def _is_local(client: Any) -> bool:
    """Whether a client's endpoint is on this machine; what stands in for a client in tests may have none."""
    url = getattr(getattr(client, "meta", None), "endpoint_url", None)
    return isinstance(url, str) and is_loopback(urlsplit(url).hostname or "")


def _oldest_age(messages: Sequence[ReceivedMessage]) -> float:
    sent = [int(text) for text in (m.attributes.get("SentTimestamp", "") for m in messages) if text.isdecimal()]
    return max(time.time() - min(sent) / 1000, 0.0) if sent else 0.0
