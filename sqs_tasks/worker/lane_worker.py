"""Runs the lanes of one queue in the pools, has each message settled, and counts what was done."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Collection
from time import perf_counter

from sqs_tasks.execution import forks
from sqs_tasks.execution.event_loop import limited
from sqs_tasks.execution.executor import Executor
from sqs_tasks.execution.lanes import ConcludingAsync, Lane, run_lane, run_one, run_one_async
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.outcome import (
    NotStarted,
    Outcome,
    Postponed,
    Skipped,
    Succeeded,
    UnknownTask,
    Verdict,
)
from sqs_tasks.worker.exit_codes import exit_code_of
from sqs_tasks.worker.heartbeat import Heartbeat
from sqs_tasks.worker.lease import set_current_lease
from sqs_tasks.worker.metrics import Metrics
from sqs_tasks.worker.pool import Work
from sqs_tasks.worker.progress import Progress
from sqs_tasks.worker.settlement_buffer import SettlementBuffer
from sqs_tasks.worker.slots import QueueSlots
from sqs_tasks.worker.stop import Stop

STOPPING = NotStarted(reason="the worker is stopping")

_OUTCOME_NAMES = {
    "Succeeded": "succeeded",
    "Retried": "retried",
    "Rejected": "rejected",
    "UnknownTask": "unknown_task",
    "NotStarted": "not_started",
    "Postponed": "postponed",
    "Skipped": "skipped",
}


class LaneWorker:
    """Takes each message of a lane to its verdict, hands that to the settlement buffer, and counts it.

    The threads of the pools and the event loop call it; it keeps nothing between two lanes.

    Args:
        queue_name: The queue's name in code.
        executor: Runs the jobs.
        settlement: Says what becomes of their messages.
        heartbeat: Keeps the messages until they are settled.
        buffer: Carries the verdicts out.
        slots: Are given back when a lane is over.
        progress: Receives the jobs and lanes that are over.
        stop: The request to stop; after it no job starts.
        metrics: What is counted; None counts nothing.
    """

    def __init__(
        self,
        queue_name: str,
        *,
        executor: Executor,
        settlement: ConcludingAsync,
        heartbeat: Heartbeat,
        buffer: SettlementBuffer,
        slots: QueueSlots,
        progress: Progress,
        stop: Stop,
        metrics: Metrics | None,
    ) -> None:
        self._queue_name = queue_name
        self._executor = executor
        self.settlement = settlement
        self._heartbeat = heartbeat
        self._buffer = buffer
        self._slots = slots
        self._progress = progress
        self.stop = stop
        self._metrics = metrics
        self._task_name = executor.intake.task_name
        #: Which process this is; see :meth:`end_fork`.
        self.forks = forks.forks_so_far

    def work(self, lane: Lane, *, on_loop: bool) -> Work:
        """A lane as a pool takes it; ``on_loop`` says that its one message is for an async task on the event loop."""
        return _LaneWork(self, lane, on_loop)

    def run(self, work: _LaneWork) -> None:
        """Run a lane in this thread, each message to its verdict."""
        messages, in_order, is_batch = lane = work.lane
        if len(messages) != 1 or is_batch or in_order:
            self._run_several(work, lane)
            return
        # What nearly all lanes are, without what the others need: a no-op job costs little more than its requests.
        message = messages[0]
        set_current_lease(self._heartbeat.lease(message))
        verdict = None
        try:
            _, outcome, verdict = run_one(message, self._executor, work, work.may_start(message))
            self._settle(message, outcome, verdict, work.seconds, urgent=False)
        finally:
            set_current_lease(None)
            if verdict is None:
                self._give_up((message,))

    async def run_async(self, work: _LaneWork) -> None:
        """Run a lane of one message on the event loop, to its verdict."""
        (message,) = left = work.lane.messages
        set_current_lease(self._heartbeat.lease(message))
        try:
            settled = await run_one_async(
                message, self._executor, work, work.may_start(message), limited=limited, in_thread=asyncio.to_thread
            )
            self._settle(*settled, work.seconds, urgent=work.lane.in_order)
            left = ()
        except asyncio.CancelledError:
            if self.stop.requested:  # the grace period is over: it has ended, and others may have it at once
                self.release(work.lane)
                left = ()
            raise
        finally:
            self._give_up(left)

    def release(self, lane: Lane) -> None:
        """Give back what has not started, visible to others at once."""
        for message in lane.messages:
            verdict = self.settlement.conclude(message, STOPPING)
            self._settle(message, STOPPING, verdict, None, urgent=True)

    def lane_over(self, work: _LaneWork) -> None:
        """A lane is over, in whichever way: its slot is free."""
        if forks.forks_so_far != self.forks:
            self.end_fork(None)
        self._slots.lane_over(on_loop=work.on_loop)
        self._progress.lane_over(work.lane)

    def end_fork(self, outcome: Outcome | None) -> None:
        """End this process, which is a child that a job forked: its way out of the task must not make it a worker.

        Its parent runs the job too, and settles it.
        """
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(exit_code_of(outcome))

    def _run_several(self, work: _LaneWork, lane: Lane) -> None:
        left = {message.receipt_handle: message for message in lane.messages}
        set_current_lease(self._heartbeat.lease(lane.messages[0]) if len(left) == 1 else None)
        try:
            for settled in run_lane(lane, self._executor, work, work.may_start):
                del left[settled[0].receipt_handle]
                self._settle(*settled, work.seconds, urgent=lane.in_order)
        finally:
            set_current_lease(None)
            self._give_up(left.values())

    def _settle(
        self, message: ReceivedMessage, outcome: Outcome, verdict: Verdict, seconds: float | None, *, urgent: bool
    ) -> None:
        self._buffer.add(message, verdict, urgent=urgent)
        self._progress.job_over((message, isinstance(outcome, Succeeded)))
        metrics = self._metrics
        if metrics is not None:
            ran = None if isinstance(outcome, NotStarted | Postponed | UnknownTask | Skipped) else seconds
            metrics.job(self._queue_name, self._task_name(message), _OUTCOME_NAMES[type(outcome).__name__], ran)

    def _give_up(self, messages: Collection[ReceivedMessage]) -> None:
        """Only an exception that is no task failure leaves messages behind: they come back by themselves."""
        for message in messages:
            self._heartbeat.forget(message)


class _LaneWork:
    """A lane that a pool has, and the clock of its jobs: there is one for each lane, and a lane for nearly each job.

    =========  =====================================================  ===========================================
    it is      when                                                   and then
    =========  =====================================================  ===========================================
    waiting    the pool has no thread for it                          it runs, or is released at the stop
    running    :meth:`run` or :meth:`run_async` is in progress        it is over
    released   the stop came first                                    it is over
    over       its messages have verdicts, or something escaped       its slot is free again
    =========  =====================================================  ===========================================
    """

    __slots__ = ("_started", "_worker", "lane", "on_loop", "seconds")

    def __init__(self, worker: LaneWorker, lane: Lane, on_loop: bool) -> None:
        self._worker = worker
        self.lane = lane
        self.on_loop = on_loop
        self._started = 0.0
        #: How long the job ran that was concluded last, without the call to its dead-letter queue.
        self.seconds = 0.0

    def run(self) -> None:
        """Run it in this thread."""
        try:
            self._worker.run(self)
        finally:
            self._worker.lane_over(self)

    async def run_async(self) -> None:
        """Run it on the event loop."""
        try:
            await self._worker.run_async(self)
        finally:
            self._worker.lane_over(self)

    def release(self) -> None:
        """Give it back unrun."""
        try:
            self._worker.release(self.lane)
        finally:
            self._worker.lane_over(self)

    def may_start(self, _message: ReceivedMessage) -> NotStarted | None:
        """Why no message may start: the worker is stopping."""
        if self._worker.stop.requested:
            return STOPPING
        self._started = perf_counter()
        return None

    def may_call(self, message: ReceivedMessage, outcome: Outcome) -> bool:
        """Whether :meth:`conclude` may have to make a request."""
        return self._worker.settlement.may_call(message, outcome)

    def conclude(self, message: ReceivedMessage, outcome: Outcome) -> Verdict:
        """What becomes of a message."""
        now = perf_counter()
        worker = self._worker
        if forks.forks_so_far != worker.forks:
            worker.end_fork(outcome)
        self.seconds = now - self._started
        self._started = now  # the jobs of one call of a batch processor: the first stands for the whole of it
        return worker.settlement.conclude(message, outcome)
