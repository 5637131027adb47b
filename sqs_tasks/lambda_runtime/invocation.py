"""One invocation: jobs run to their outcomes, messages settled, and what stays in the queue known at every moment.

Only what is known to be done is left out of the answer. Whatever else happens, a message that nobody spoke for stays.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Protocol

from sqs_tasks.executor import Executor
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.hooks import Hook
from sqs_tasks.lambda_runtime.deadline import Deadline, OutOfTime
from sqs_tasks.lambda_runtime.durations import ObservedDurations
from sqs_tasks.lanes import Lane, plan, run_lane
from sqs_tasks.limits import MAX_BATCH_ENTRIES
from sqs_tasks.message import Job, ReceivedMessage
from sqs_tasks.middleware import Middleware
from sqs_tasks.outcome import NotStarted, Outcome, Rejected, Retried, Succeeded
from sqs_tasks.registry import RegisteredTask
from sqs_tasks.settlement import LEAVE, RETRIES, Delete, Hide, Settlement, Unsettled, Verdict

logger = logging.getLogger(__name__)

#: In Lambda nothing that a task raises ends anything but its own job: SystemExit and KeyboardInterrupt too, and what
#: libraries derive from BaseException for themselves (S53).
LAMBDA_FAILURES: tuple[type[BaseException], ...] = (BaseException,)

#: Calls about visibilities that may fail as a whole before no more are made in an invocation.
MAX_LOST_CALLS = 3

#: The name of a task that is not registered, where names are counted: messages must not be able to make new metrics.
UNKNOWN_TASK = "(unknown)"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """What became of one message in an invocation; what telemetry is made of. It holds no argument and no payload.

    Attributes:
        queue_name: The queue's name in code; its name in SQS when it is not registered here.
        task_name: The task's registered name, or ``(unknown)``.
        message: The message.
        outcome: What became of its job.
        verdict: What becomes of the message.
        duration_seconds: How long it ran; None when it did not. A batch processor's jobs each have the call's.
        queue_delay_seconds: How long it had waited since it was sent, retries included; None when that is not known.
    """

    queue_name: str
    task_name: str
    message: ReceivedMessage
    outcome: Outcome
    verdict: Verdict
    duration_seconds: float | None
    queue_delay_seconds: float | None

    @property
    def is_done(self) -> bool:
        """Whether the message leaves its queue."""
        return isinstance(self.verdict, Delete)


class AnswerCheck(Protocol):
    """Finds out whether answers are heeded: :class:`~sqs_tasks.lambda_runtime.response_check.ResponseCheck`."""

    is_settled: bool

    def failed(self, hidden: Sequence[tuple[ReceivedMessage, float]]) -> None:
        """These were hidden until these moments, and are in the answer."""

    def arrived(self, messages: Sequence[ReceivedMessage]) -> None:
        """These came in."""

    def ask(self, settlement: Settlement) -> None:
        """Ask SQS, if that can tell anything now."""


@dataclass(frozen=True, kw_only=True)
class InvocationOptions:
    """How a handler runs its invocations; see :class:`~sqs_tasks.aws_lambda.SQSEventHandler`."""

    margin_seconds: float | None
    concurrency: int
    eager_acknowledgement: bool
    middleware: tuple[Middleware, ...]
    on_start: Hook[[Sequence[ReceivedMessage], str]]
    on_settled: Hook[[JobReport]]
    on_responses_ignored: Hook[[str]]
    durations: ObservedDurations


class Invocation:
    """One invocation; nothing of it outlives it (S28).

    With ``concurrency`` above 1 lanes run in threads, which add to ``done`` and to the hidden messages; the thread
    that called the handler waits for them and reads.

    Args:
        options: The handler's.
        context: Lambda's context, or None.

    Attributes:
        done: Ids of the messages that leave their queue.
        deadline: When it ends.
        request_id: Lambda's id of it.
    """

    def __init__(self, options: InvocationOptions, context: Any) -> None:
        self.options = options
        self.deadline = Deadline(context, options.margin_seconds)
        request_id = getattr(context, "aws_request_id", None)
        self.request_id = request_id if isinstance(request_id, str) else None
        self.done: set[str] = set()
        self.stopped: NotStarted | None = None
        self.anything_started = False
        self.is_over = False

    def run(
        self,
        queue: GenericQueue,
        messages: Sequence[ReceivedMessage],
        *,
        fifo: bool,
        queue_url: Callable[[], str],
        check: AnswerCheck | None,
    ) -> AnswerCheck | None:
        """Run the messages of one queue and settle them.

        Args:
            queue: The queue.
            messages: Its messages.
            fifo: Whether each message group keeps its order.
            queue_url: Gives the queue's URL.
            check: What is known of the queue's mapping; None until a message has failed.

        Returns:
            The same, or a new one when a message failed for the first time.
        """
        run = QueueRun(self, queue, queue.settlement(queue_url=queue_url))
        run.run(messages, fifo=fifo)
        if check is not None and not check.is_settled:
            check.arrived(messages)
            run.guarded(lambda: check.ask(run.settlement))
        if run.hidden and (check is None or not check.is_settled):
            if check is None:
                # Imported with the first failure, which has paid for boto3 as well.
                from sqs_tasks.lambda_runtime.response_check import ResponseCheck

                check = ResponseCheck(queue.name, self.options.on_responses_ignored.emit)
            check.failed(run.hidden)
        return check

    def leave(self, messages: Sequence[ReceivedMessage], queue_name: str, reason: str) -> None:
        """Report messages that nothing can be done with here; they stay as they are."""
        for message in messages:
            self.report(queue_name, UNKNOWN_TASK, message, NotStarted(reason=reason), LEAVE, None)

    def report(
        self,
        queue_name: str,
        task_name: str,
        message: ReceivedMessage,
        outcome: Outcome,
        verdict: Verdict,
        seconds: float | None,
    ) -> None:
        """Tell the hooks, if there are any, what became of a message."""
        if not self.options.on_settled:
            return
        sent_at = message.sent_at
        waited = None if sent_at is None else max(time.time() - sent_at.timestamp() - (seconds or 0.0), 0.0)
        self.options.on_settled.emit(
            JobReport(
                queue_name=queue_name,
                task_name=task_name,
                message=message,
                outcome=outcome,
                verdict=verdict,
                duration_seconds=seconds,
                queue_delay_seconds=waited,
            )
        )


class QueueRun:
    """The messages of one queue in one invocation.

    Args:
        invocation: The invocation.
        queue: The queue.
        settlement: What settles its messages.
    """

    def __init__(self, invocation: Invocation, queue: GenericQueue, settlement: Settlement) -> None:
        self.invocation = invocation
        self.options = invocation.options
        self.deadline = invocation.deadline
        self.queue = queue
        self.settlement = settlement
        executor = queue.executor(
            run_coroutine=self._run_coroutine,
            interrupter=self.deadline.interrupter,
            failures=LAMBDA_FAILURES,
            middleware=self.options.middleware,
        )
        parts = vars(executor)
        if queue.settings.readers:
            parts = {**parts, "decode": self._decode_foreign(executor.decode)}
        self.executor = _WatchedExecutor(**parts, run=self)
        #: Messages to be hidden, with the moment at which each shall be back, by the monotonic clock.
        self._hides: list[tuple[ReceivedMessage, float]] = []
        self._lock = threading.Lock()
        #: Those of which SQS said that they are.
        self.hidden: list[tuple[ReceivedMessage, float]] = []
        #: Calls about visibilities that failed as a whole.
        self._lost_calls = 0
        #: Seconds of runs that are not reported yet, by message id.
        self.seconds: dict[str, float] = {}
        #: Task names by message id, where a message's attributes do not say them.
        self._foreign_names: dict[str, str] = {}

    def run(self, messages: Sequence[ReceivedMessage], *, fifo: bool) -> None:
        """Run all messages; whatever happens, what is done is in ``done`` and the rest keeps a visibility."""
        try:
            lanes = plan(messages, self.executor, fifo=fifo)
            threads = min(self.options.concurrency, len(lanes))
            if threads > 1:
                self._run_in_threads(lanes, threads)
            else:
                for lane in lanes:
                    self._run_lane(lane)
        finally:
            self._flush()

    def start(self, messages: Sequence[ReceivedMessage]) -> None:
        """Tell the hooks that these messages run now, in this thread: several for a batch processor, else one."""
        if self.options.on_start:
            self.options.on_start.emit(messages, self.queue.name)

    # --- lanes ------------------------------------------------------------------------------------------------------

    def _run_lane(self, lane: Lane) -> None:
        """Run a lane. An error that is no task's ends this lane alone: what it left stays in the queue."""
        settled: set[str] = set()
        try:
            for message, outcome, verdict in run_lane(
                lane, self.executor, self, self._may_start, request_id=self.invocation.request_id
            ):
                if self.invocation.is_over:
                    return  # the answer is given without this thread, and says that its messages stay
                settled.add(message.message_id)
                self._settle(message, outcome, verdict)
        except BaseException as error:  # a failing logger, hook or policy; there is nobody above who could do better
            if isinstance(error, MemoryError):
                self._stop_for_memory()
            for message in lane.messages:
                if message.message_id not in settled:
                    reason = f"{type(error).__name__} outside the task"
                    self._report(message, Retried(delay_seconds=None, reason=reason, error=error), LEAVE)
            logger.exception(
                "a part of the batch was cut short; its messages stay in the queue",
                extra={"action": "batch_failed", "queue_name": self.queue.name},
            )

    def _run_in_threads(self, lanes: Sequence[Lane], count: int) -> None:
        """Run lanes side by side, each in order, and wait for them until the margin begins.

        Daemon threads: a job that does not end in time must not keep the environment from answering (S52).
        """
        waiting = iter(lanes)

        def work() -> None:
            while True:
                with self._lock:
                    lane = next(waiting, None)
                if lane is None or self.invocation.is_over:
                    return
                self._run_lane(lane)

        threads = [
            threading.Thread(target=copy_context().run, args=(work,), name=f"sqs-tasks-lane-{i}", daemon=True)
            for i in range(count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            left = self.deadline.seconds_to_work()
            thread.join(None if left == math.inf else left)
        if any(thread.is_alive() for thread in threads):
            self.invocation.is_over = True
            logger.error(
                "jobs of queue %s still run at the end of the invocation; their messages stay in the queue",
                self.queue.name,
                extra={"action": "jobs_overran", "queue_name": self.queue.name},
            )
            with self._lock:
                left_over = [message for lane in waiting for message in lane.messages]
            for message in left_over:
                outcome = NotStarted(reason="the jobs before it took all the time")
                self._settle(message, outcome, self.settlement.conclude(message, outcome))

    def _may_start(self, message: ReceivedMessage) -> NotStarted | None:
        """Whether a message may start: as long as the time that is left covers what it may take (S51)."""
        if self.invocation.stopped is not None:
            return self.invocation.stopped
        first, self.invocation.anything_started = not self.invocation.anything_started, True
        need = self._seconds_needed(message)
        if self.deadline.covers(need):
            return None
        left = self.deadline.seconds_left()
        if first:
            # No later invocation will have more time than a fresh one: better a run that may end in time.
            logger.warning(
                "%.1f s of the function's time are left and task %s may take %.1f s; it needs a longer timeout",
                left,
                message.job_name,
                need,
                extra={
                    "action": "deadline_too_short",
                    "queue_name": self.queue.name,
                    "job_name": message.job_name,
                    "message_id": message.message_id,
                },
            )
            return None
        return NotStarted(reason=f"{left:.1f} s are left, the task may take {need:.1f} s")

    def _seconds_needed(self, message: ReceivedMessage) -> float:
        task = self._task(message)
        if task is None:
            return 0.0
        return task.settings.timeout or self.options.durations.p99_seconds(self.queue.name, task.name)

    def _task(self, message: ReceivedMessage) -> RegisteredTask | None:
        try:
            return self.executor.tasks.get(self._foreign_names.get(message.message_id) or message.job_name)
        except Exception:  # noqa: BLE001 - a message's name is untrusted; the executor says what is wrong with it
            return None

    def _decode_foreign(self, decode: Callable[[ReceivedMessage], Job]) -> Callable[[ReceivedMessage], Job]:
        def decode_and_note(message: ReceivedMessage) -> Job:
            job = decode(message)
            self._foreign_names[message.message_id] = job.job_name
            return job

        return decode_and_note

    def _stop_for_memory(self) -> None:
        self.invocation.stopped = NotStarted(reason="the function ran out of memory")

    # --- settling ---------------------------------------------------------------------------------------------------

    def conclude(self, message: ReceivedMessage, outcome: Outcome, *, request_id: str | None = None) -> Verdict:
        """What becomes of a message; copying a dead letter is given up where it would cost the answer."""
        if not isinstance(outcome, Rejected):
            return self.settlement.conclude(message, outcome, request_id=request_id)
        try:
            with self.deadline.settling():
                return self.settlement.conclude(message, outcome, request_id=request_id)
        except OutOfTime:
            logger.exception(
                "the dead-letter queue took too long over message %s; it stays in its queue",
                message.message_id,
                extra={"action": "dead_letter_failed", "queue_name": self.queue.name, "message_id": message.message_id},
            )
            return LEAVE

    def _settle(self, message: ReceivedMessage, outcome: Outcome, verdict: Verdict) -> None:
        if isinstance(verdict, Delete):
            self.invocation.done.add(message.message_id)
            # A dead letter is deleted at once: should the invocation be lost, its copy would be made again.
            if self.options.eager_acknowledgement or not isinstance(outcome, Succeeded):
                self.guarded(lambda: self.settlement.delete([message]))
        elif isinstance(verdict, Hide):
            self._hide(message, verdict.seconds)
        if isinstance(getattr(outcome, "error", None), MemoryError):
            self._stop_for_memory()
        self._report(message, outcome, verdict)

    def _report(self, message: ReceivedMessage, outcome: Outcome, verdict: Verdict) -> None:
        seconds = self.seconds.pop(message.message_id, None)
        task = self._task(message)
        name = UNKNOWN_TASK if task is None else task.name
        if seconds is not None and task is not None and task.settings.timeout is None:
            self.options.durations.add(self.queue.name, name, seconds)
        self.invocation.report(self.queue.name, name, message, outcome, verdict, seconds)

    def _hide(self, message: ReceivedMessage, seconds: int) -> None:
        with self._lock:
            self._hides.append((message, time.monotonic() + seconds))
            if len(self._hides) < MAX_BATCH_ENTRIES:
                return
            hides, self._hides = self._hides, []
        self._change_visibility(hides)

    def _flush(self) -> None:
        with self._lock:
            hides, self._hides = self._hides, []
        if hides:
            self._change_visibility(hides)

    def _change_visibility(self, hides: Sequence[tuple[ReceivedMessage, float]]) -> None:
        """Hide messages for what is left of their delays: it was counted from the failure, not from this call."""
        if self._lost_calls >= MAX_LOST_CALLS:
            return
        now = time.monotonic()
        # Rounded up; less a millisecond, because a sum and a difference of floats may come out a trifle above.
        pairs = [(message, max(math.ceil(back_at - now - 0.001), 0)) for message, back_at in hides]
        unsettled: list[Unsettled] | None = None
        try:
            with self.deadline.settling():
                # Where SQS did not answer before, each further try costs time that the other jobs need.
                unsettled = self.settlement.hide(pairs, retries=0 if self._lost_calls else RETRIES)
        except BaseException:  # nothing about settling may cost the answer
            logger.exception("cannot settle", extra={"action": "settle_failed", "queue_name": self.queue.name})
        if unsettled is not None and len(unsettled) < len(hides):
            lost = {one.message.message_id for one in unsettled}
            self.hidden += [(message, back_at) for message, back_at in hides if message.message_id not in lost]
        if unsettled is None or (len(unsettled) == len(pairs) and not all(one.is_final for one in unsettled)):
            self._lost_calls += 1
            if self._lost_calls == MAX_LOST_CALLS:
                logger.error(
                    "SQS accepts no visibilities; failed messages of this invocation return when theirs end",
                    extra={"action": "hide_given_up", "queue_name": self.queue.name},
                )

    def guarded(self, call: Callable[[], object]) -> None:
        """Make a settlement call; without it messages come back later or are deleted later, but none is lost (S21)."""
        try:
            with self.deadline.settling():
                call()
        except BaseException:  # nothing about settling may cost the answer
            logger.exception("cannot settle", extra={"action": "settle_failed", "queue_name": self.queue.name})

    def _run_coroutine(self, coroutine: Any, *, timeout_seconds: float | None) -> Any:
        from sqs_tasks.event_loop import run_coroutine  # only a function with async tasks imports asyncio

        return run_coroutine(coroutine, timeout_seconds=self.deadline.limit_seconds(timeout_seconds))


@dataclass(frozen=True, kw_only=True)
class _WatchedExecutor(Executor):
    """The executor of one queue run: it says what starts, and how long it took."""

    run: QueueRun

    def execute(self, message: ReceivedMessage) -> Outcome:
        """Run the job of a message to its outcome."""
        self.run.start((message,))
        started = time.perf_counter()
        outcome = super().execute(message)
        self.run.seconds[message.message_id] = time.perf_counter() - started
        return outcome

    def execute_batch(self, messages: Sequence[ReceivedMessage]) -> list[Outcome]:
        """Run one batch processor over messages of its task."""
        self.run.start(messages)
        started = time.perf_counter()
        outcomes = super().execute_batch(messages)
        seconds = time.perf_counter() - started
        for message in messages:
            self.run.seconds[message.message_id] = seconds
        return outcomes
