"""The messages of one queue in one invocation: run, concluded, settled where Lambda does not do it."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import copy_context
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from sqs_tasks.execution.executor import Executor
from sqs_tasks.execution.lanes import Lane, plan, run_lane, run_one
from sqs_tasks.execution.runtime import Interrupter
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.lambda_runtime.deadline import Admission
from sqs_tasks.lambda_runtime.invocation import Invocation
from sqs_tasks.lambda_runtime.records import read_messages
from sqs_tasks.message import FOLLOW_UPS, Job, JobBatch, ReceivedMessage
from sqs_tasks.outcome import (
    DELETE,
    LEAVE,
    SUCCEEDED,
    Delete,
    NotStarted,
    Outcome,
    Retried,
    Skipped,
    Succeeded,
    Verdict,
)
from sqs_tasks.registry import RegisteredTask

if TYPE_CHECKING:
    from sqs_tasks.execution.settlement import Settlement
    from sqs_tasks.lambda_runtime.timed_settlement import TimedSettlement

logger = logging.getLogger(__name__)

#: In Lambda nothing that a task raises ends anything but its own job: SystemExit and KeyboardInterrupt too, and what
#: libraries derive from BaseException for themselves (S53).
LAMBDA_FAILURES: tuple[type[BaseException], ...] = (BaseException,)


class AnswerCheck(Protocol):
    """Finds out whether Lambda reads answers: :class:`~sqs_tasks.lambda_runtime.response_check.ResponseCheck`."""

    is_settled: bool

    def failed(self, hidden: Sequence[tuple[ReceivedMessage, float]]) -> None:
        """These were hidden until these moments, and are in the answer."""

    def arrived(self, records: Sequence[Mapping[str, Any]]) -> None:
        """These came in."""

    def ask(self, settlement: Settlement) -> None:
        """Ask SQS, if that can tell anything now."""


def run_queue(
    invocation: Invocation,
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
        invocation: The invocation.
        queue: The queue.
        records: Its records of the event.
        fifo: Whether each message group keeps its order.
        queue_url: Gives the queue's URL.
        max_receive_count: Receives before its redrive policy moves a message; None where that is not known.
        check: What is known of the queue's mapping; None until a message has failed.

    Returns:
        The same, or a new one when a message failed for the first time.
    """
    run = QueueRun(invocation, queue, fifo=fifo, queue_url=queue_url, max_receive_count=max_receive_count)
    run.run(read_messages(records))
    if check is not None and not check.is_settled:
        check.arrived(records)
        settlement = run.settlement()
        run.timed_settlement().guarded(partial(check.ask, settlement))
    hidden = run.hidden
    if hidden and (check is None or not check.is_settled):
        if check is None:
            # Imported with the first failure, which has paid for boto3 as well.
            from sqs_tasks.lambda_runtime.response_check import ResponseCheck

            check = ResponseCheck(queue.name, invocation.options.on_responses_ignored.emit)
        check.failed(hidden)
    return check


class QueueRun:
    """Runs the messages of one queue in one invocation.

    Args:
        invocation: The invocation.
        queue: The queue.
        fifo: Whether each message group keeps its order.
        queue_url: Gives its URL.
        max_receive_count: Receives before its redrive policy moves a message; None where that is not known.
    """

    def __init__(
        self,
        invocation: Invocation,
        queue: GenericQueue,
        *,
        fifo: bool,
        queue_url: Callable[[], str],
        max_receive_count: int | None,
    ) -> None:
        self._invocation = invocation
        self._deadline = invocation.deadline
        self.options = options = invocation.options
        self.queue = queue
        self._fifo = fifo
        self._queue_url = queue_url
        self._max_receive_count = max_receive_count
        self._done = invocation.done
        self._has_batches = is_measured = False
        for task in queue.tasks:
            self._has_batches = self._has_batches or task.batch_size > 0
            is_measured = is_measured or self._deadline.is_measured(task.settings.timeout)
        self._is_reported = len(options.on_settled.callbacks) > 0
        self._is_watched = is_measured or self._is_reported or len(options.on_start.callbacks) > 0
        #: Whether a job that succeeded is done with once it is noted.
        self._is_quiet = not self._is_reported and not options.eager_acknowledgement
        alarm = self._deadline.alarm
        self._executor = self._make_executor(alarm.limit_task if alarm.is_mine else None)
        self._lock = threading.Lock()
        self._settlement: Settlement | None = None
        self._timed_settlement: TimedSettlement | None = None
        #: Seconds of runs that are not reported yet, by message id.
        self._seconds: dict[str, float] = {}

    def run(self, messages: Iterable[ReceivedMessage]) -> None:
        """Run all messages; whatever happens, what is done is in ``done`` and the rest keeps a visibility."""
        try:
            if not self._fifo and self.options.concurrency == 1 and not self._has_batches:
                # Nothing has to be known of the later ones: a large batch takes no more memory than a small one.
                for message in messages:
                    self._run_one(message)
                return
            lanes = plan(list(messages), self._executor, fifo=self._fifo)
            threads = min(self.options.concurrency, len(lanes))
            if threads > 1:
                self._executor = self._make_executor(None)  # only the main thread can be interrupted
                self._run_in_threads(lanes, threads)
            else:
                for lane in lanes:
                    self._run_lane(lane)
        finally:
            if self._timed_settlement is not None:
                self._timed_settlement.flush()

    # --- running ----------------------------------------------------------------------------------------------------

    def _make_executor(self, interrupter: Interrupter | None) -> Executor:
        return self.queue.executor(
            run_coroutine=self._run_coroutine,
            interrupter=interrupter,
            admit=Admission(
                self._deadline,
                self.options.durations,
                queue_name=self.queue.name,
                max_receive_count=self._max_receive_count,
                can_interrupt=interrupter is not None,
                stop_if_time_is_up=self._invocation.stop_if_time_is_up,
            ).admit,
            watch=partial(_Watched, self) if self._is_watched else None,
            seconds_left=self._deadline.seconds_to_work,
            # With its next receive SQS would move the job of a FIFO queue, and with it those behind it that have come
            # along as often and never ran (S23). Moved here, it makes way for them in this very invocation.
            last_receive=self._max_receive_count if self._fifo else None,
            failures=LAMBDA_FAILURES,
            middleware=self.options.middleware,
        )

    def _run_one(self, message: ReceivedMessage) -> None:
        """Run a message that needs no order. An error that is no task's ends with it: it stays in the queue."""
        try:
            _, outcome, verdict = run_one(message, self._executor, self, self._invocation.stopped)
            if outcome is SUCCEEDED and verdict is DELETE and self._is_quiet:
                self._done.add(message.message_id)
            else:
                self._settle(message, outcome, verdict)
        except BaseException as error:  # noqa: BLE001 - it is logged there
            self._cut_short((message,), error)

    def _run_lane(self, lane: Lane) -> None:
        """Run a lane. An error that is no task's ends this lane alone: what it left stays in the queue."""
        settled: set[str] = set()
        try:
            for message, outcome, verdict in run_lane(lane, self._executor, self, self._invocation.may_start):
                if self._invocation.is_over:
                    return  # the answer is given without this thread, and says that its messages stay
                settled.add(message.message_id)
                self._settle(message, outcome, verdict)
        except BaseException as error:  # noqa: BLE001 - it is logged there
            self._cut_short([message for message in lane.messages if message.message_id not in settled], error)

    def _cut_short(self, messages: Sequence[ReceivedMessage], error: BaseException) -> None:
        """Leave messages because of a failing logger, hook or policy; nobody above could do better."""
        if isinstance(error, MemoryError):
            self._invocation.stop_for_memory()
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
        running: dict[int, Lane] = {}

        def work() -> None:
            while True:
                with self._lock:
                    lane = next(waiting, None)
                if lane is None or self._invocation.is_over:
                    return
                running[id(lane)] = lane
                self._run_lane(lane)
                running.pop(id(lane), None)

        threads = [
            threading.Thread(target=copy_context().run, args=(work,), name=f"sqs-tasks-lane-{i}", daemon=True)
            for i in range(count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            left = self._deadline.seconds_to_work()
            thread.join(None if left == math.inf else left)
        if any(thread.is_alive() for thread in threads):
            with self._lock:  # nobody takes another one from here on
                left_over = [message for lane in waiting for message in lane.messages]
            for message in left_over:
                outcome = NotStarted(reason="the jobs before it took all the time")
                self._settle(message, outcome, self.conclude(message, outcome))
            self._invocation.is_over = True
            logger.error(
                "jobs of queue %s still run at the end of the invocation; their messages stay in the queue",
                self.queue.name,
                extra={"action": "jobs_overran", "queue_name": self.queue.name},
            )
            for lane in running.copy().values():
                message = next((one for one in lane.messages if one.message_id not in self._done), lane.messages[0])
                fields = message.log_fields(self.queue.name)
                logger.error(
                    "job %s still runs at the end of the invocation",
                    fields["job_name"],
                    extra={"action": "job_unfinished", **fields},
                )

    def _run_coroutine(self, coroutine: Any, *, timeout_seconds: float | None) -> Any:
        from sqs_tasks.execution.event_loop import run_coroutine  # only a function with async tasks imports asyncio

        self._invocation.has_run_coroutines = True
        limit = self._deadline.limit_seconds(timeout_seconds)
        return run_coroutine(coroutine, timeout_seconds=limit, grace_seconds=self._deadline.grace_seconds(limit))

    # --- watching ---------------------------------------------------------------------------------------------------

    def took(self, call: Job | JobBatch, task: RegisteredTask, seconds: float) -> None:
        """Note how long a call took: for the next jobs of a task that has to be measured, and for the hooks."""
        timeout = task.settings.timeout
        if timeout is None or self._deadline.is_measured(timeout):
            self.options.durations.add(self.queue.name, task.name, seconds)
        if self._is_reported:
            for message in _messages(call):
                self._seconds[message.message_id] = seconds

    # --- settling ---------------------------------------------------------------------------------------------------

    @property
    def hidden(self) -> Sequence[tuple[ReceivedMessage, float]]:
        """Messages whose visibility SQS changed, with the moment at which each is back, by the monotonic clock."""
        return () if self._timed_settlement is None else self._timed_settlement.hidden

    def settlement(self) -> Settlement:
        """What settles its messages; a batch in which all succeed needs none."""
        if self._settlement is None:
            self._settlement = self.queue.settlement(
                queue_url=self._queue_url, max_receive_count=self._max_receive_count
            )
        return self._settlement

    def timed_settlement(self) -> TimedSettlement:
        """The same, within the time of the invocation."""
        with self._lock:
            if self._timed_settlement is None:
                from sqs_tasks.lambda_runtime.timed_settlement import TimedSettlement  # for what fails

                self._timed_settlement = TimedSettlement(self.settlement(), self._invocation)
            return self._timed_settlement

    def conclude(self, message: ReceivedMessage, outcome: Outcome) -> Verdict:
        """What becomes of a message."""
        is_over = outcome is SUCCEEDED or isinstance(outcome, Skipped)
        if is_over and message.attribute(FOLLOW_UPS) is not None:
            is_over = isinstance(outcome, Skipped) and not outcome.was_done
        return DELETE if is_over else self.timed_settlement().conclude(message, outcome)

    def _settle(self, message: ReceivedMessage, outcome: Outcome, verdict: Verdict) -> None:
        if isinstance(verdict, Delete):
            self._done.add(message.message_id)
        is_deleted_by_lambda = isinstance(outcome, (Succeeded, Skipped)) and isinstance(verdict, Delete)
        if self.options.eager_acknowledgement or not is_deleted_by_lambda:
            self.timed_settlement().settle(message, outcome, verdict)
        if self._is_reported:
            self._report(message, outcome, verdict)

    def _report(self, message: ReceivedMessage, outcome: Outcome, verdict: Verdict) -> None:
        seconds = self._seconds.pop(message.message_id, None)
        name = self._executor.intake.task_name(message)
        self._invocation.report(self.queue.name, name, message, outcome, verdict, seconds)


class _Watched:
    """The context of one call of a task, as a queue run watches it: what starts, and how long it took."""

    __slots__ = ("_call", "_run", "_started", "_task")

    def __init__(self, run: QueueRun, call: Job | JobBatch, task: RegisteredTask) -> None:
        self._run = run
        self._call = call
        self._task = task

    def __enter__(self) -> None:
        run = self._run
        if run.options.on_start.callbacks:  # they are called in the thread that runs the job
            run.options.on_start.emit(_messages(self._call), run.queue.name)
        self._started = perf_counter()

    def __exit__(self, *_: object) -> None:
        self._run.took(self._call, self._task, perf_counter() - self._started)


def _messages(call: Job | JobBatch) -> Sequence[ReceivedMessage]:
    return [job.message for job in call.jobs] if isinstance(call, JobBatch) else (call.message,)
