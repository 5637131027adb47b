"""The event source mapping: polls a queue and invokes a function with what it finds, as Lambda does.

What it leaves out is in ``docs/local.md``.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Self

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.limits import MAX_BATCH_ENTRIES
from sqs_tasks.local.clock import Clock, SystemClock
from sqs_tasks.local.event_source.batch import Batch, Batcher
from sqs_tasks.local.event_source.delivery import Delivery
from sqs_tasks.local.event_source.filter import EventFilter, filters_of
from sqs_tasks.local.event_source.gate import Gate
from sqs_tasks.local.event_source.scaling import Scaling
from sqs_tasks.local.event_source.settings import EventSourceSettings
from sqs_tasks.local.event_source.source_queue import Received, SourceQueue
from sqs_tasks.local.event_source.statistics import EventSourceStatistics
from sqs_tasks.local.function.fault_injection import Faults
from sqs_tasks.local.function.function import FunctionConfiguration, Handler, LambdaFunction
from sqs_tasks.local.function.in_process import InProcessFunction
from sqs_tasks.local.function.invocation import Invocation, InvocationStatus
from sqs_tasks.protocols import SQSClient

logger = logging.getLogger(__name__)

#: Seconds before a throttled batch is tried again the first time, and at most; AWS does not publish its own.
THROTTLE_BACKOFF_SECONDS, MAX_THROTTLE_BACKOFF_SECONDS = 1.0, 30.0

#: Seconds of one long poll while running: short, so that stop() takes effect soon. Lambda's own take up to 20.
POLL_WAIT_SECONDS = 1

#: Seconds between attempts while the queue cannot be reached: doubled from the first to the last.
POLL_RETRY_SECONDS, MAX_POLL_RETRY_SECONDS = 0.5, 5.0


class EventSourceMapping:
    """An SQS queue wired to a Lambda function, on this machine.

    Step by step in the caller's thread, which is what tests want::

        source = EventSourceMapping(client, queue_url, handler, clock=clock)
        invocation = source.poll_once()          # None if nothing was due
        clock.advance(30)                        # what failed comes back when its visibility ends
        source.drain()                           # poll until nothing more is due at this moment

    or running: :meth:`run` in this thread until :meth:`stop`, or ``with source: ...`` in a thread of its own.

    Threads: one thread polls and cuts batches, the one that calls ``run``. With more than one environment, invocations
    and the deletes after them run in a pool, and what they share with the polling thread is behind one lock. With one
    environment they run in the polling thread.

    Args:
        client: Any SQS client of boto3's shape, for any endpoint.
        queue_url: The queue.
        handler: A callable of event and context, called in this process; or a :class:`LambdaFunction`.
        batch_size: Records in one invocation at most: 1 to 10, or to 10,000 with a window on a standard queue (S32).
        batching_window_seconds: Seconds to gather a batch, 0 to 300; 0 on a FIFO queue (S30).
        maximum_concurrency: Invocations at a time, 2 to 1,000 (S34). Without it as many as the function has
            environments, which is one in this process.
        provisioned_pollers: The least and the most dedicated pollers, from 2, instead of a maximum concurrency: each is
            worth ten batches at a time, and the least are there from the start (S35).
        reserved_concurrency: The function's own limit. Lambda polls beyond it, and throttles what exceeds it (S34).
        report_batch_item_failures: Whether the response is looked at (S9).
        allow_recursive_loop: Whether the function may feed itself without end; else a chain of messages is stopped
            after sixteen invocations (S36).
        function_timeout_seconds: Seconds after which an invocation is lost; 30 by default. Only for a callable, as
            are ``function_name`` and ``memory_mb``.
        filters: Patterns over ``body``; messages that match none are deleted without an invocation (S41).
        faults: What goes wrong on purpose: :class:`Faults`, a mapping, or ``"throttle=0.05,crash=0.01"``.
        seed: Makes faults and ids reproducible.
        function_name: The function's name.
        memory_mb: The function's megabytes.
        clock: The time; give the queue's ``ManualClock`` in tests.
        on_invocation: Called with each :class:`Invocation`, throttled attempts too, in the thread that made it.

    Attributes:
        queue: The queue's facts.
        function: The function.
        settings: The settings.
        statistics: What was done so far.
        visibility_timeout_seconds: Seconds that received messages are invisible (S17).
        concurrency: Batches in flight at a time, at most.

    Raises:
        ConfigurationError: AWS would refuse these settings.
    """

    def __init__(
        self,
        client: SQSClient,
        queue_url: str,
        handler: Handler | LambdaFunction,
        *,
        batch_size: int = 10,
        batching_window_seconds: float = 0,
        maximum_concurrency: int | None = None,
        provisioned_pollers: tuple[int, int] | None = None,
        reserved_concurrency: int | None = None,
        report_batch_item_failures: bool = True,
        allow_recursive_loop: bool = False,
        function_timeout_seconds: float | None = None,
        filters: Iterable[EventFilter | Mapping[str, Any] | str] = (),
        faults: Faults | Mapping[str, float] | str | None = None,
        seed: int | str | None = None,
        function_name: str | None = None,
        memory_mb: int | None = None,
        clock: Clock | None = None,
        on_invocation: Callable[[Invocation], None] | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self.settings = EventSourceSettings(
            batch_size=batch_size,
            batching_window_seconds=batching_window_seconds,
            maximum_concurrency=maximum_concurrency,
            provisioned_pollers=provisioned_pollers,
            reserved_concurrency=reserved_concurrency,
            report_batch_item_failures=report_batch_item_failures,
            allow_recursive_loop=allow_recursive_loop,
            filters=filters_of(filters),
        )
        self.queue = SourceQueue.find(client, queue_url, self._clock)
        given = {"timeout_seconds": function_timeout_seconds, "name": function_name, "memory_mb": memory_mb}
        self.function = self._function(handler, {name: value for name, value in given.items() if value is not None})
        timeout_seconds = self.function.configuration.timeout_seconds
        self.settings.check(self.queue, timeout_seconds)
        self.visibility_timeout_seconds = self.settings.visibility_timeout_seconds(self.queue, timeout_seconds)
        environments = self.function.environments
        self.concurrency = min(environments, self.settings.most_batches or environments)
        self._scaling = Scaling.of(most=self.concurrency, fifo=self.queue.fifo, provisioned_pollers=provisioned_pollers)
        self.statistics = EventSourceStatistics()
        self._on_invocation = on_invocation
        self._delivery = Delivery(
            self.queue, self.function, self.settings, faults=Faults.of(faults), seed=seed, clock=self._clock
        )
        self._batcher = Batcher(batch_size=batch_size, window_seconds=batching_window_seconds, fifo=self.queue.fifo)
        self._lock = threading.Lock()
        self._settled = threading.Condition(self._lock)
        self._gate = Gate(
            self.queue, self.function.configuration, self.settings, statistics=self.statistics, lock=self._lock
        )
        self._waiting: deque[Batch] = deque()
        self._busy_groups: set[str] = set()
        self._running = 0
        self._last_poll_was_empty = False
        self._poll_retry_seconds = POLL_RETRY_SECONDS
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def allowed_concurrency(self) -> int:
        """Batches in flight at a time at this moment: few at first, more each second while messages come (S33).

        Fewer after throttles and, without partial responses, after function errors (S12).
        """
        with self._lock:
            return self._scaling.allowed(self._clock.now())

    # Step by step

    def poll_once(self) -> Invocation | None:
        """One step: poll without waiting, and invoke the function if a batch is due.

        Returns:
            The invocation (a throttled attempt too), or None if no batch is due now: the queue has nothing to
            deliver, a window is open, or a throttled batch waits for its next attempt.

        Raises:
            Exception: Whatever the client raised; the running mode retries instead.
        """
        batch = self._next_batch(wait_seconds=0)
        return None if batch is None else self._process(batch)

    def drain(self, *, max_invocations: int = 10_000) -> list[Invocation]:
        """Poll until nothing more is due at this moment, and return the invocations.

        Failed messages are not waited for: they come back when their visibility ends.

        Raises:
            RuntimeError: ``max_invocations`` did not suffice; maybe the handler feeds its own queue.
        """
        invocations: list[Invocation] = []
        while (invocation := self.poll_once()) is not None:
            invocations.append(invocation)
            if len(invocations) >= max_invocations:
                raise RuntimeError(
                    f"{self.queue.name} was not drained by {max_invocations} invocations; the queue of a handler "
                    "that sends to it never is; otherwise give more with max_invocations="
                )
        return invocations

    # Running

    @property
    def idle(self) -> bool:
        """Whether the last poll brought nothing and nothing is gathered, waiting or running.

        ``source.run(until=lambda: source.idle)`` works off a queue. Messages that failed are invisible for now and
        not waited for.
        """
        with self._lock:
            return self._last_poll_was_empty and not (len(self._batcher) or self._waiting or self._running)

    def run(self, until: Callable[[], bool] | None = None) -> None:
        """Poll and invoke until :meth:`stop` is called, or until ``until()``, asked between polls, is true.

        It stops in order: no more polls; running invocations end and are settled; what was gathered but never
        delivered is made visible again (on AWS it waits for its visibility). An error of the client is logged and the
        poll tried again.
        """
        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="lambda") if self.concurrency > 1 else None
        try:
            while not (self._stopping.is_set() or (until is not None and until())):
                batch = self._next_batch_patiently()
                if batch is None:
                    continue
                if pool is None:
                    self._process_safely(batch)
                else:
                    pool.submit(self._process_safely, batch)
                    self._wait_for_slot()
        finally:
            if pool is not None:
                pool.shutdown(wait=True)
            self._release_undelivered()

    def start(self) -> None:
        """Run in a thread of its own until :meth:`stop`."""
        if self._thread is not None:
            raise RuntimeError(f"the event source of {self.queue.name} is running already")
        self._stopping.clear()
        self._thread = threading.Thread(target=self.run, name=f"event-source-{self.queue.name}", daemon=True)
        self._thread.start()

    def stop(self, *, wait: bool = True) -> None:
        """Stop :meth:`run`, and wait for its end if it has a thread of its own.

        Call it from any thread, and more than once; in a signal handler set a flag for ``until`` instead.
        """
        self._stopping.set()
        thread = self._thread
        if wait and thread is not None and thread is not threading.current_thread():
            thread.join()
            self._thread = None

    def close(self) -> None:
        """Stop, and end the function's environments."""
        self.stop()
        self.function.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Polling

    def _next_batch(self, *, wait_seconds: int) -> Batch | None:
        """The batch to deliver now, its groups claimed; polls if none was due already."""
        batch = self._due_batch()
        while batch is None and self._batcher.room:
            asked = min(self._batcher.room, MAX_BATCH_ENTRIES)
            received = self._receive(asked, wait_seconds)
            batch = self._due_batch()
            if len(received) < asked:
                break
            # The queue may have more and the batch has room: above ten it takes several receives (S32).
            wait_seconds = 0
        return batch

    def _next_batch_patiently(self) -> Batch | None:
        """The batch to deliver now, or None; an unreachable endpoint is waited for, because it may be restarting."""
        wait_seconds = self._wait_seconds()
        if 0 < wait_seconds < 1:
            # SQS waits whole seconds. The rest is waited here, where stop() is noticed and arrivals are not.
            self._stopping.wait(wait_seconds)
        try:
            batch = self._next_batch(wait_seconds=int(wait_seconds))
        except Exception:
            logger.exception(
                "cannot receive from %s; next attempt in %.1f seconds",
                self.queue.name,
                self._poll_retry_seconds,
                extra={"action": "event_source_poll_failed", "queue_name": self.queue.name},
            )
            self._stopping.wait(self._poll_retry_seconds)
            self._poll_retry_seconds = min(2 * self._poll_retry_seconds, MAX_POLL_RETRY_SECONDS)
            return None
        self._poll_retry_seconds = POLL_RETRY_SECONDS
        return batch

    def _receive(self, max_messages: int, wait_seconds: int) -> list[Received]:
        """Poll once and gather what may reach the function; returns all that was received."""
        own = self.visibility_timeout_seconds == self.queue.visibility_timeout_seconds
        with self._lock:
            quiet = self._running == 0
        received = self.queue.receive(
            max_messages,
            wait_seconds=wait_seconds,
            visibility_timeout_seconds=None if own else self.visibility_timeout_seconds,
        )
        with self._lock:
            self.statistics.polls += 1
            self.statistics.received += len(received)
            # A poll beside a running batch may be empty only because that batch holds its FIFO groups.
            self._last_poll_was_empty = quiet and not received
            self._scaling.polled(found=bool(received), now=self._clock.now())
        admitted = self._gate.admit(received)
        if admitted:
            self._batcher.add(admitted, self._clock.now(), is_slow=self._delivery.window_is_slow)
        return received

    def _due_batch(self) -> Batch | None:
        now = self._clock.now()
        with self._lock:
            self._drop_expired(now)
            batch = next((batch for batch in self._waiting if batch.not_before <= now), None)
            if batch is not None:
                # Throttled or duplicated: it has held its groups all the while.
                self._waiting.remove(batch)
            else:
                batch = self._batcher.take(now, self._busy_groups)
            if batch is not None:
                self._busy_groups |= batch.groups
                self._running += 1
            return batch

    def _drop_expired(self, now: float) -> None:
        """Forget what SQS will deliver again: throttled past its visibility, Lambda drops a batch (S19)."""
        expired = len(self._batcher.drop_expired(now))
        for batch in [batch for batch in self._waiting if batch.expires_at <= now]:
            self._waiting.remove(batch)
            self._busy_groups -= batch.groups
            expired += len(batch.received)
        self.statistics.expired += expired

    def _wait_seconds(self) -> float:
        """Seconds that the next poll may wait: not past a window's end, nor a throttled batch's next attempt."""
        now = self._clock.now()
        with self._lock:
            left = [batch.not_before - now for batch in self._waiting]
        if len(self._batcher):
            left.append(self._batcher.window_left_seconds(now))
        return max(0.0, min([POLL_WAIT_SECONDS, *left]))

    def _wait_for_slot(self) -> None:
        with self._settled:
            while self._running >= self._scaling.allowed(self._clock.now()) and not self._stopping.is_set():
                self._settled.wait(POLL_WAIT_SECONDS)

    def _release_undelivered(self) -> None:
        with self._lock:
            undelivered = self._batcher.take_all()
            while self._waiting:
                batch = self._waiting.popleft()
                self._busy_groups -= batch.groups
                undelivered += [] if batch.duplicate else batch.received
        try:
            self.queue.release(undelivered)
        except Exception:
            # The endpoint may be gone already; then their visibility brings them back.
            logger.exception("could not release %d messages to %s", len(undelivered), self.queue.name)

    # Delivering

    def _process_safely(self, batch: Batch) -> None:
        try:
            self._process(batch)
        except Exception:
            # A failing delete means that messages come back; it must not end the run.
            logger.exception("could not settle a batch of %s", self.queue.name)

    def _process(self, batch: Batch) -> Invocation:
        """Deliver a batch, or refuse it and keep it for later."""
        again: Batch | None = None
        try:
            if self._delivery.throttled() or self._over_reserved_concurrency():
                invocation = self._delivery.refuse(batch)
                backoff = min(THROTTLE_BACKOFF_SECONDS * 2 ** (batch.attempt - 1), MAX_THROTTLE_BACKOFF_SECONDS)
                again = replace(batch, attempt=batch.attempt + 1, not_before=self._clock.now() + backoff)
            else:
                size = len(batch.received)
                later = self._delivery.duplicates(batch)
                with self._lock:
                    self.statistics.duplicates += len(batch.received) - size + len(later)
                invocation = self._delivery.deliver(batch)
                again = Batch(received=later, duplicate=True) if later else None
        finally:
            with self._settled:
                self._running -= 1
                if again is not None:
                    self._waiting.append(again)
                self._busy_groups -= batch.groups if again is None else frozenset()
                self._settled.notify_all()
        with self._lock:
            self.statistics.count(invocation)
            self._adjust_concurrency(invocation)
        self._report(invocation)
        return invocation

    def _report(self, invocation: Invocation) -> None:
        if self._on_invocation is None:
            return
        try:
            self._on_invocation(invocation)
        except Exception:
            # A mistake of an observer must not end the run.
            logger.exception("on_invocation failed for %s", invocation.request_id)

    def _over_reserved_concurrency(self) -> bool:
        with self._lock:
            return self.settings.reserved_concurrency is not None and self._running > self.settings.reserved_concurrency

    def _adjust_concurrency(self, invocation: Invocation) -> None:
        """Fewer batches at a time after a failed invocation; with partial responses only after throttles (S12)."""
        failed = invocation.status is not InvocationStatus.SUCCEEDED
        if failed and (not self.settings.report_batch_item_failures or invocation.status is InvocationStatus.THROTTLED):
            self._scaling.failed(self._clock.now())
        else:
            self._scaling.succeeded()

    def _function(self, handler: Handler | LambdaFunction, given: dict[str, Any]) -> LambdaFunction:
        if callable(handler):
            region = self.queue.arn.split(":")[3]
            return InProcessFunction(
                handler,
                FunctionConfiguration(**given, region=region),
                clock=self._clock,
                environments=self.settings.most_batches or 1,
            )
        if given:
            raise ConfigurationError(
                f"{', '.join(given)}: the function has its own configuration; these are for a callable only"
            )
        return handler
