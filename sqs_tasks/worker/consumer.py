"""The container worker: polls queues, hands messages to pools, and stops in order (architecture, decision 8).

Threads of a process, and what each owns. A *polling* thread for each queue receives: an idle one waits in a long poll,
those that have a backlog take turns, since threads that are in boto3 together make it slower. With one queue and a
concurrency of 1 it is the caller's thread, and runs the tasks too. *Worker* threads run plain tasks, the *loop* thread
async ones; they talk to SQS only to copy a rejected job to its dead-letter queue. For each queue a *settle* thread
deletes and changes visibilities, and a *heartbeat* thread extends leases. The *signals* thread hears that it is time to
stop.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from sqs_tasks import limits
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.loggers import keep_loggers
from sqs_tasks.outcome import BatchProcessingResult
from sqs_tasks.shutdown_policies import NEVER_SHUTDOWN, ShutdownPolicy
from sqs_tasks.worker.children.child_pool import ChildPool
from sqs_tasks.worker.memory_limit import resident_bytes, warn_of_unlimited
from sqs_tasks.worker.metrics import Metrics
from sqs_tasks.worker.overrun_watch import OverrunWatch, warn_of_unenforced
from sqs_tasks.worker.pause_tags import PauseTags
from sqs_tasks.worker.poll_state import PollState
from sqs_tasks.worker.pool import AsyncPool, InlinePool, Pool, ThreadPool, monotonic_deadline
from sqs_tasks.worker.queue_loop import QueueLoop, Shared
from sqs_tasks.worker.receive_turn import Turn
from sqs_tasks.worker.signals import SignalWatch
from sqs_tasks.worker.slots import Slots
from sqs_tasks.worker.stop import Stop
from sqs_tasks.worker.worked_queue import WorkedQueue

logger = logging.getLogger(__name__)

#: Seconds that settling and the last beat may take after the grace period; the platform's own limit comes soon after.
CLOSE_SECONDS = 2.0

#: Seconds that a receive may still take after the grace period before jobs of its queue are left to their leases.
LAST_ANSWER_SECONDS = 0.5


#: Seconds that child processes have for their ``on_stop`` hooks where nobody asked the worker to stop.
LAST_CHILD_SECONDS = 30.0


class Consumer:
    """Works queues until it is asked to stop.

    Args:
        queues: The queues, the most important first; each gets a polling thread, so that an empty one holds up none.
        concurrency: Plain jobs at once in this process, at least one for each queue. 1 for one queue runs them in the
            caller's thread.
        async_concurrency: ``async def`` jobs at once on the event loop; None takes ``concurrency``.
        prefetch: Messages that may be received beyond what can start, so that short jobs come in tens. They are kept
            alive, and released at the stop. 0 receives nothing that would have to wait. Not for FIFO queues.
        wait_seconds: How long one long poll waits, 0 to 20; never longer than the grace period.
        grace_seconds: How long running jobs may take to finish after the stop; the default fits ECS's 30 s.
        weights: A weight by queue name, for when several queues want more slots than there are; else as registered.
        strict_priority: A queue gets slots only while all those before it are empty.
        metrics: Counts what is done.
        children: Child processes that run the jobs; None runs them in threads and on the event loop of this one.
        heed_pause: Seconds between two looks at the tag by which a queue is paused; None never looks.
    """

    def __init__(
        self,
        queues: Sequence[WorkedQueue],
        *,
        concurrency: int = 1,
        async_concurrency: int | None = None,
        prefetch: int = 0,
        wait_seconds: int = limits.MAX_WAIT_SECONDS,
        grace_seconds: float = 25,
        weights: Mapping[str, float] | None = None,
        strict_priority: bool = False,
        metrics: Metrics | None = None,
        children: ChildPool | None = None,
        heed_pause: float | None = None,
    ) -> None:
        limits.check_number(concurrency, "concurrency", 1)
        limits.check_number(prefetch, "prefetch", 0)
        limits.check_number(wait_seconds, "wait_seconds", 0, limits.MAX_WAIT_SECONDS, unit="seconds", whole=False)
        given = _weights(queues, weights or {})
        several = len(queues) > 1
        self._children = children
        loops_needed = children is None and any(
            task.is_async and not task.batch_size for queue in queues for task in queue.tasks
        )
        on_loop = loops_needed and max(concurrency, async_concurrency or 0) > 1
        self._stop = Stop(grace_seconds)
        self._signals = SignalWatch(self._stop.request)
        self._inline = concurrency == 1 and not several and children is None
        slots = max(concurrency, len(queues))
        async_size = max(async_concurrency or concurrency, len(queues))
        async_slots = Slots(async_size + prefetch, given, strict=strict_priority) if on_loop else None
        self._pools: list[Pool] = [InlinePool() if self._inline else ThreadPool(slots)]
        if on_loop:
            self._pools.append(AsyncPool(async_size))
        watched = (
            not self._inline
            and children is None
            and any(task.settings.timeout for queue in queues for task in queue.tasks)
        )
        self._overruns = OverrunWatch() if watched else None
        shared = Shared(
            stop=self._stop,
            slots=Slots(slots + prefetch, given, strict=strict_priority),
            async_slots=async_slots,
            pool=self._pools[0],
            async_pool=self._pools[1] if on_loop else None,
            metrics=metrics,
            # A poll that is under way at the stop is awaited, and must not outlast it.
            wait_seconds=min(wait_seconds, max(int(grace_seconds), 1)),
            several=several,
            turn=Turn(),
            prefetch=prefetch,
            inline=self._inline,
            overruns=self._overruns,
            children=children,
            pauses=None if heed_pause is None else PauseTags(heed_pause),
        )
        self._loops = [QueueLoop(queue, index, shared) for index, queue in enumerate(queues)]
        for pool in self._pools:
            self._stop.on_request(pool.release_waiting)
        if children is not None:
            self._stop.on_request(children.stop)
            children.on_hopeless = self.stop
        if metrics is not None:
            self._measure(metrics)

    @property
    def stopping(self) -> Stop:
        """The request to stop, for those who listen."""
        return self._stop

    @property
    def states(self) -> Sequence[PollState]:
        """What each polling thread is doing."""
        return [loop.state for loop in self._loops]

    def oldest_age_seconds(self, queue_name: str) -> float | None:
        """How old the oldest message of a queue's last receive was, 0 when there was none; None before the first."""
        return next((loop.oldest_age_seconds for loop in self._loops if loop.queue.name == queue_name), None)

    def loop_seconds_stuck(self) -> float:
        """For how long a coroutine has been blocking the event loop, as far as known; 0 when none does."""
        return sum(pool.seconds_stuck() for pool in self._pools if isinstance(pool, AsyncPool))

    def seconds_over_timeout(self) -> float:
        """How long the longest job is beyond its timeout, where nothing can end it; 0 when none is."""
        return 0.0 if self._overruns is None else self._overruns.longest_seconds()

    @property
    def runs_jobs_here(self) -> bool:
        """Whether jobs run in the thread that calls :meth:`run`: one that does not end keeps it from returning."""
        return self._inline

    def running(self) -> int:
        """How many jobs are in progress."""
        return sum(len(loop.heartbeat) for loop in self._loops)

    def stop(self) -> None:
        """Ask all loops to stop; safe in a signal handler and from any thread."""
        self._signals.wake()

    def listen_for_signals(self) -> None:
        """Listen already now, and until :meth:`listen_no_more`; :meth:`run` alone listens while it runs."""
        self._signals.start()

    def listen_no_more(self) -> None:
        """Put back the signal handlers that were there before."""
        self._signals.end()

    def on_first_answer(self, call: Callable[[], None]) -> None:
        """Have a function called when SQS first answers a receive, before any job of that answer starts."""
        for state in self.states:
            state.on_first_answer = call

    def run(self, shutdown_policy: ShutdownPolicy | Callable[[], ShutdownPolicy] = NEVER_SHUTDOWN) -> None:
        """Work until the policy, a signal or :meth:`stop` ends it, then drain.

        Args:
            shutdown_policy: A policy, or what makes one for each queue.
        """
        keep_loggers()
        watching: AbstractContextManager[None] = nullcontext() if self._overruns is None else self._overruns.watching()
        with self._signals.watching(), watching:
            if self._overruns is not None:
                warn_of_unenforced([loop.queue for loop in self._loops])
            warn_of_unlimited([loop.queue for loop in self._loops], is_isolated=self._children is not None)
            for loop in self._loops:
                logger.info(
                    "processing queue %s",
                    loop.queue.name,
                    extra={"action": "consumer_started", "queue_name": loop.queue.name},
                )
            try:
                self._poll(shutdown_policy)
            finally:
                self._close()
                self._stop.flush_log()
                for loop in self._loops:
                    logger.info(
                        "stopped processing queue %s",
                        loop.queue.name,
                        extra={"action": "consumer_stopped", "queue_name": loop.queue.name},
                    )

    def unfinished(self) -> int:
        """How many jobs still run; after :meth:`run` those that outlived the grace period."""
        return sum(len(loop.unfinished()) for loop in self._loops)

    def give_back_unfinished(self) -> None:
        """Make jobs that still run visible to others, for a process that ends in this moment and takes them with it.

        A process that lives on must not: its threads go on with the jobs.
        """
        # A receive that was sent just before the stop is about to be answered.
        deadline = time.monotonic() + LAST_ANSWER_SECONDS
        while any(state.is_receiving for state in self.states) and time.monotonic() < deadline:
            time.sleep(0.005)
        for loop in self._loops:
            loop.give_back_unfinished()

    def settle_without_waiting(self) -> None:
        """Settle what is done, end the heartbeat and give back the rest: the end, while a job keeps the main thread."""
        self._settle_all()
        self.give_back_unfinished()

    def run_once(self) -> BatchProcessingResult:
        """Receive from the first queue once, run what came in this thread, and settle it."""
        try:
            return self._loops[0].poll_once()
        finally:
            self._close()

    def _measure(self, metrics: Metrics) -> None:
        def by_queue(read: Callable[[QueueLoop], float]) -> Callable[[], dict[tuple[tuple[str, str], ...], float]]:
            return lambda: {(("queue", loop.queue.name),): read(loop) for loop in self._loops}

        metrics.read("sqs_tasks_jobs_in_progress", by_queue(lambda loop: len(loop.heartbeat)))
        metrics.read("sqs_tasks_unsettled_jobs", by_queue(lambda loop: len(loop.buffer)))
        metrics.read("sqs_tasks_oldest_age_seconds", by_queue(lambda loop: loop.oldest_age_seconds or 0))
        metrics.read("sqs_tasks_heartbeats_total", by_queue(lambda loop: loop.heartbeat.beats))
        metrics.read("sqs_tasks_leases_lost_total", by_queue(lambda loop: loop.heartbeat.lost))
        overruns = self._overruns
        if overruns is not None:
            metrics.read("sqs_tasks_jobs_over_timeout", by_queue(lambda loop: overruns.over(loop.queue.name)))
        metrics.read("sqs_tasks_resident_bytes", lambda: {(): resident_bytes()})

    def _poll(self, shutdown_policy: ShutdownPolicy | Callable[[], ShutdownPolicy]) -> None:
        """Poll in this thread when tasks run here too; else in threads, so that this one keeps the time."""
        if self._inline:
            self._loops[0].poll(_policy(shutdown_policy))
            return
        errors: list[BaseException] = []

        def poll(loop: QueueLoop, policy: ShutdownPolicy) -> None:
            try:
                loop.poll(policy)
            except BaseException as error:  # noqa: BLE001 - a policy's error; it is raised where run() was called
                errors.append(error)
                self._stop.request(f"polling queue {loop.queue.name} failed")

        threads = [
            threading.Thread(
                target=poll,
                args=(loop, _policy(shutdown_policy)),
                name=f"sqs-tasks-poll-{loop.queue.name}",
                daemon=True,
            )
            for loop in self._loops
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                left = self._stop.seconds_left()
                if left is not None and left <= 0:
                    break  # a poll that nobody answers; the platform would not wait for it either
                thread.join(1 if left is None else min(left, 1))
        if errors:
            raise errors[0]

    def _close(self) -> None:
        """The stop, in its named steps: wait for running tasks, settle, end the heartbeat."""
        late = [pool for pool in self._pools if not pool.drain(self._stop.seconds_left)]
        if late:
            count = sum(pool.running() for pool in late)
            logger.error(
                "%d %s at the end of the grace period; what is not done comes back and runs again",
                count,
                "job still runs" if count == 1 else "jobs still run",
                extra={"action": "grace_over"},
            )
            for loop in self._loops:
                loop.log_unfinished()
        if self._children is not None:
            # Before the rest is settled: jobs that are killed here go back to their queues.
            left = self._stop.seconds_left()
            self._children.close(LAST_CHILD_SECONDS if left is None else max(left, LAST_ANSWER_SECONDS))
            for pool in late:
                pool.drain(monotonic_deadline(LAST_ANSWER_SECONDS))
        for pool in self._pools:
            pool.close()
        self._settle_all()

    def _settle_all(self) -> None:
        deadline = None if self._stop.seconds_left() is None else time.monotonic() + CLOSE_SECONDS
        for loop in self._loops:
            if not loop.buffer.close(_left(deadline)):
                self._stop.log(
                    logging.ERROR,
                    "%d messages of queue %s could not be settled in time; they come back",
                    len(loop.buffer),
                    loop.queue.name,
                    extra={"action": "settle_unfinished", "queue_name": loop.queue.name},
                )
            loop.heartbeat.stop(_left(deadline))


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(deadline - time.monotonic(), 0)


def _policy(given: ShutdownPolicy | Callable[[], ShutdownPolicy]) -> ShutdownPolicy:
    return given if isinstance(given, ShutdownPolicy) and not isinstance(given, type) else given()


def _weights(queues: Sequence[WorkedQueue], weights: Mapping[str, float]) -> list[float]:
    registered = {queue.name: queue.settings.weight for queue in queues}
    names = list(registered)
    for name, weight in weights.items():
        if name not in names:
            raise ConfigurationError(f"weights: {name!r} is none of the queues to work: {', '.join(names)}")
        limits.check_number(weight, f"weights: {name!r}", 0, whole=False, above=True)
    return [weights.get(name, registered[name]) for name in names]
