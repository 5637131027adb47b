"""One invocation: jobs run to their outcomes, messages settled, and what stays in the queue known at every moment.

Only what is known to be done is left out of the answer. Whatever else happens, a message that nobody spoke for stays.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

from sqs_tasks.execution.executor import Executor
from sqs_tasks.execution.lanes import Lane, plan, run_lane
from sqs_tasks.execution.runtime import Interrupter
from sqs_tasks.execution.settlement import DELETE, LEAVE, RETRIES, Delete, Hide, Settlement, Unsettled, Verdict
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.hooks import Hook
from sqs_tasks.lambda_runtime.deadline import Deadline, ObservedDurations, OutOfTime
from sqs_tasks.lambda_runtime.records import read_messages, received_before
from sqs_tasks.limits import MAX_BATCH_ENTRIES
from sqs_tasks.message import Job, JobBatch, ReceivedMessage
from sqs_tasks.middleware import Middleware
from sqs_tasks.outcome import UNKNOWN_TASK_NAME, NotStarted, Outcome, Rejected, Retried, Succeeded
from sqs_tasks.registry import RegisteredTask

logger = logging.getLogger(__name__)

#: In Lambda nothing that a task raises ends anything but its own job: SystemExit and KeyboardInterrupt too, and what
#: libraries derive from BaseException for themselves (S53).
LAMBDA_FAILURES: tuple[type[BaseException], ...] = (BaseException,)

#: Calls about visibilities that may fail as a whole before no more are made in an invocation.
MAX_LOST_CALLS = 3


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

    def arrived(self, records: Sequence[Mapping[str, Any]]) -> None:
        """These came in."""

    def ask(self, settlement: Settlement) -> None:
        """Ask SQS, if that can tell anything now."""


@dataclass(frozen=True, kw_only=True)
class InvocationOptions:
    """How a handler runs its invocations; see :class:`~sqs_tasks.aws_lambda.SQSEventHandler`."""

    margin_seconds: float | None
    concurrency: int
    eager_acknowledgement: bool
    batching_window_seconds: float
    middleware: tuple[Middleware, ...]
    on_start: Hook[[Sequence[ReceivedMessage], str]]
    on_settled: Hook[[JobReport]]
    on_responses_ignored: Hook[[str]]
    durations: ObservedDurations


class Invocation:
    """One invocation; nothing of it outlives it (S28).

    Args:
        options: The handler's.
        context: Lambda's context, or None.

    Attributes:
        done: Ids of the messages that leave their queue. Threads that run jobs add to it; the one that called the
            handler reads it.
        deadline: When it ends.
        request_id: Lambda's id of it.
        stopped: Why nothing more is started, or None.
        anything_started: Whether a job has been; the first one is, whatever time is left.
        is_over: Whether the answer is given already; what a thread has done since is not in it.
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
        records: Sequence[Mapping[str, Any]],
        *,
        fifo: bool,
        queue_url: Callable[[], str],
        max_receive_count: int | None,
        check: AnswerCheck | None,
    ) -> AnswerCheck | None:
        """Run the jobs of one queue and settle their messages.

        Args:
            queue: The queue.
            records: Its records of the event.
            fifo: Whether each message group keeps its order.
            queue_url: Gives the queue's URL.
            max_receive_count: Receives before its redrive policy moves a message; None where that is not known.
            check: What is known of the queue's mapping; None until a message has failed.

        Returns:
            The same, or a new one when a message failed for the first time.
        """
        run = QueueRun(self, queue, queue_url, max_receive_count, fifo=fifo)
        run.run(read_messages(records))
        if check is not None and not check.is_settled:
            check.arrived(records)
            run.guarded(partial(check.ask, run.settlement))
        if run.hidden and (check is None or not check.is_settled):
            if check is None:
                # Imported with the first failure, which has paid for boto3 as well.
                from sqs_tasks.lambda_runtime.response_check import ResponseCheck

                check = ResponseCheck(queue.name, self.options.on_responses_ignored.emit)
            check.failed(run.hidden)
        return check

    def leave(self, records: Sequence[Mapping[str, Any]], queue_name: str, reason: str) -> None:
        """Report messages that nothing can be done with here; they stay as they are."""
        if self.options.on_settled:
            for message in read_messages(records):
                self.report(queue_name, UNKNOWN_TASK_NAME, message, NotStarted(reason=reason), LEAVE, None)

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
        queue_url: Gives its URL.
        max_receive_count: Receives before its redrive policy moves a message; None where that is not known.
        fifo: Whether each message group keeps its order.

    Attributes:
        hidden: Messages that SQS hid, with the moment at which each is back, by the monotonic clock.
    """

    def __init__(
        self,
        invocation: Invocation,
        queue: GenericQueue,
        queue_url: Callable[[], str],
        max_receive_count: int | None,
        *,
        fifo: bool,
    ) -> None:
        self.invocation = invocation
        self.deadline = invocation.deadline
        self.queue = queue
        self._queue_url = queue_url
        self._max_receive_count = max_receive_count
        # With its next receive SQS would move the job of a FIFO queue, and with it those behind it that have come along
        # as often and never ran (S23). Moved here, it makes way for them in this very invocation.
        self._last_receive = max_receive_count if fifo else None
        self._fifo = fifo
        self._done = invocation.done
        self.hidden: list[tuple[ReceivedMessage, float]] = []
        self._options = invocation.options
        self._has_batches = self._is_watched = False
        for task in queue.tasks:
            self._has_batches = self._has_batches or task.batch_size > 0
            self._is_watched = self._is_watched or self._is_measured(task)
        self._is_reported = bool(self._options.on_settled)
        self._is_watched = self._is_watched or self._is_reported or bool(self._options.on_start)
        self.executor = self._executor(self.deadline.alarm.limit_task if self.deadline.alarm.is_mine else None)
        #: Those that are to be hidden, in the same form.
        self._hides: list[tuple[ReceivedMessage, float]] = []
        self._lock = threading.Lock()
        self._lost_calls = 0
        #: Seconds of runs that are not reported yet, by message id.
        self._seconds: dict[str, float] = {}

    @cached_property
    def settlement(self) -> Settlement:
        """What settles its messages; a batch in which all succeed needs none."""
        return self.queue.settlement(queue_url=self._queue_url)

    def run(self, messages: Iterable[ReceivedMessage]) -> None:
        """Run all messages; whatever happens, what is done is in ``done`` and the rest keeps a visibility."""
        try:
            if not self._fifo and self._options.concurrency == 1 and not self._has_batches:
                # Nothing has to be known of the later ones: a large batch takes no more memory than a small one.
                for message in messages:
                    self._run_one(message)
                return
            lanes = plan(list(messages), self.executor, fifo=self._fifo)
            threads = min(self._options.concurrency, len(lanes))
            if threads > 1:
                self.executor = self._executor(interrupter=None)  # only the main thread can be interrupted
                self._run_in_threads(lanes, threads)
            else:
                for lane in lanes:
                    self._run_lane(lane)
        finally:
            self._flush()

    # --- running ----------------------------------------------------------------------------------------------------

    def _executor(self, interrupter: Interrupter | None) -> Executor:
        return self.queue.executor(
            run_coroutine=self._run_coroutine,
            interrupter=interrupter,
            admit=self._admit,
            failures=LAMBDA_FAILURES,
            middleware=self._options.middleware,
            watch=partial(_Watched, self) if self._is_watched else None,
            last_receive=self._last_receive,
        )

    def _run_one(self, message: ReceivedMessage) -> None:
        """Run a message that needs no order. An error that is no task's ends with it: it stays in the queue."""
        try:
            outcome = self.invocation.stopped or self.executor.execute(message)
            if isinstance(outcome, Succeeded):
                verdict: Verdict = DELETE
            else:
                verdict = self.conclude(message, outcome, request_id=self.invocation.request_id)
            self._settle(message, outcome, verdict)
        except BaseException as error:  # noqa: BLE001 - it is logged there
            self._cut_short((message,), error)

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
        except BaseException as error:  # noqa: BLE001 - it is logged there
            self._cut_short([message for message in lane.messages if message.message_id not in settled], error)

    def _cut_short(self, messages: Sequence[ReceivedMessage], error: BaseException) -> None:
        """Leave messages because of a failing logger, hook or policy; nobody above could do better."""
        if isinstance(error, MemoryError):
            self._stop_for_memory()
        reason = f"{type(error).__name__} outside the task"
        try:
            for message in messages:
                self._report(message, Retried(delay_seconds=None, reason=reason, error=error), LEAVE)
            logger.error(
                "a part of the batch was cut short; its messages stay in the queue",
                exc_info=error,
                extra={"action": "batch_failed", "queue_name": self.queue.name},
            )
        except BaseException:  # noqa: BLE001, S110 - not even the log works; the other messages can still be run
            pass

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

    def _run_coroutine(self, coroutine: Any, *, timeout_seconds: float | None) -> Any:
        from sqs_tasks.execution.event_loop import run_coroutine  # only a function with async tasks imports asyncio

        return run_coroutine(coroutine, timeout_seconds=self.deadline.limit_seconds(timeout_seconds))

    def started(self, call: Job | JobBatch) -> None:
        """Call the hooks with the messages that run now, in this thread: several for a batch processor, else one."""
        if self._options.on_start:
            self._options.on_start.emit(_messages(call), self.queue.name)

    def took(self, call: Job | JobBatch, task: RegisteredTask, seconds: float) -> None:
        """Note how long a call took: for the next jobs of a task that has to be measured, and for the hooks."""
        if self._is_measured(task):
            self._options.durations.add(self.queue.name, task.name, seconds)
        if self._is_reported:
            for message in _messages(call):
                self._seconds[message.message_id] = seconds

    # --- the deadline -----------------------------------------------------------------------------------------------

    def _may_start(self, _message: ReceivedMessage) -> NotStarted | None:
        return self.invocation.stopped

    def _is_measured(self, task: RegisteredTask) -> bool:
        """Whether what a task may take is what it took: it has no timeout, or one that no invocation has the time for.

        If that one decided, each invocation would run one job and give back all others, until SQS has moved them unrun.
        """
        timeout = task.settings.timeout
        return timeout is None or timeout > self.deadline.whole_seconds

    def _admit(self, call: Job | JobBatch, task: RegisteredTask) -> NotStarted | None:
        """Whether a job may start: as long as the time that is left covers what it may take (S51)."""
        invocation = self.invocation
        timeout = task.settings.timeout
        if timeout is None or self._is_measured(task):
            need, is_bounded = self._options.durations.p99_seconds(self.queue.name, task.name), False
        else:
            need, is_bounded = timeout, not task.is_async and self.executor.interrupter is not None
        is_first, invocation.anything_started = not invocation.anything_started, True
        fits = self.deadline.covers(need, is_bounded=is_bounded)
        if is_first and (not fits or (timeout is not None and self._is_measured(task))):
            # No later invocation will have more time than a fresh one: better a run that may end in time.
            logger.warning(
                "%.1f s of the function's time are left and task %s may take %.1f s; it needs a longer timeout",
                self.deadline.seconds_left(),
                task.name,
                timeout or need,
                extra={"action": "deadline_too_short", **call.log_fields},
            )
        if fits or is_first or self._is_last_chance(call, task):
            return None
        self._stop_if_time_is_up()
        return NotStarted(reason=f"{self.deadline.seconds_left():.1f} s are left, the task may take {need:.1f} s")

    def _is_last_chance(self, call: Job | JobBatch, task: RegisteredTask) -> bool:
        """Whether a job that is given back now would be moved to the dead-letter queue by SQS, perhaps never run.

        It then starts in whatever time there is, if it can be stopped when the margin begins.
        """
        job = call.jobs[0] if isinstance(call, JobBatch) else call
        if self._max_receive_count is None or job.attempt < self._max_receive_count or self.deadline.is_over:
            return False
        return task.is_async or self.executor.interrupter is not None

    def _stop_if_time_is_up(self) -> None:
        """Let nothing more be looked at, let alone started, once the margin has begun."""
        if self.invocation.stopped is None and self.deadline.is_over:
            self.invocation.stopped = NotStarted(reason="the invocation's time is used up")

    def _task(self, message: ReceivedMessage) -> RegisteredTask | None:
        try:
            return self.executor.tasks.get(message.job_name)
        except Exception:  # noqa: BLE001 - a message's name is untrusted; the executor says what is wrong with it
            return None

    def _stop_for_memory(self) -> None:
        self.invocation.stopped = NotStarted(reason="the function ran out of memory")

    # --- settling ---------------------------------------------------------------------------------------------------

    def conclude(self, message: ReceivedMessage, outcome: Outcome, *, request_id: str | None = None) -> Verdict:
        """What becomes of a message; copying a dead letter is given up where it would cost the answer."""
        if isinstance(outcome, Succeeded):
            return DELETE
        # Messages that cannot run are not asked for their time, and each may cost a call.
        self._stop_if_time_is_up()
        message = received_before(message, self._options.batching_window_seconds)
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

    def guarded(self, call: Callable[[], object]) -> None:
        """Make a settlement call; without it messages come back later or are deleted later, but none is lost (S21)."""
        try:
            with self.deadline.settling():
                call()
        except BaseException:  # nothing about settling may cost the answer
            logger.exception("cannot settle", extra={"action": "settle_failed", "queue_name": self.queue.name})

    def _settle(self, message: ReceivedMessage, outcome: Outcome, verdict: Verdict) -> None:
        if isinstance(verdict, Delete):
            self._done.add(message.message_id)
        if self._options.eager_acknowledgement or not isinstance(outcome, Succeeded):
            self._settle_at_once(message, outcome, verdict)
        if self._is_reported:
            self._report(message, outcome, verdict)

    def _settle_at_once(self, message: ReceivedMessage, outcome: Outcome, verdict: Verdict) -> None:
        """What Lambda does not do after the invocation, or too late."""
        if isinstance(verdict, Delete):
            # A dead letter is among them: should the invocation be lost, its copy would be made again.
            self.guarded(lambda: self.settlement.delete([message]))
        elif isinstance(verdict, Hide):
            self._hide(message, verdict.seconds)
        if isinstance(getattr(outcome, "error", None), MemoryError):
            self._stop_for_memory()

    def _report(self, message: ReceivedMessage, outcome: Outcome, verdict: Verdict) -> None:
        seconds = self._seconds.pop(message.message_id, None)
        task = self._task(message)
        name = UNKNOWN_TASK_NAME if task is None else task.name
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


class _Watched:
    """The context of one call of a task, as a queue run watches it: what starts, and how long it took."""

    __slots__ = ("_call", "_run", "_started", "_task")

    def __init__(self, run: QueueRun, call: Job | JobBatch, task: RegisteredTask) -> None:
        self._run = run
        self._call = call
        self._task = task

    def __enter__(self) -> None:
        self._run.started(self._call)
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._run.took(self._call, self._task, time.perf_counter() - self._started)


def _messages(call: Job | JobBatch) -> Sequence[ReceivedMessage]:
    return [job.message for job in call.jobs] if isinstance(call, JobBatch) else (call.message,)
