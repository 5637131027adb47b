"""Running jobs in child processes: the executor of a worker with ``--isolate process``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from sqs_tasks.backoff_policies import visibility_seconds
from sqs_tasks.errors import JobCrashedError, SQSTasksError, TaskTimeoutError, described
from sqs_tasks.execution.executor import Executor
from sqs_tasks.execution.main_thread_alarm import TIMEOUT_TEXT
from sqs_tasks.message import Job, JobBatch, ReceivedMessage
from sqs_tasks.outcome import NotStarted, Outcome, Retried
from sqs_tasks.registry import RegisteredTask
from sqs_tasks.worker.children.child import ChildNotStartedError, Loss, LostJob
from sqs_tasks.worker.children.child_pool import ChildPool
from sqs_tasks.worker.lease import current_lease

logger = logging.getLogger(__name__)

#: Seconds after which a job comes back for which no child could be started.
NOT_STARTED_SECONDS = 5

#: Called with queue, task and cause of each job that was lost with its process.
CountLost = Callable[[str, str, str], None]


@dataclass(kw_only=True, slots=True)
class IsolatedExecutor(Executor):
    """Has children run the jobs of one queue. Middleware and the hooks of a job are called there.

    A job whose process died has failed; that is told here, where ``post_task`` is called for it.

    Attributes:
        children: The children.
        count_lost: Counts the jobs whose process died.
    """

    children: ChildPool
    count_lost: CountLost

    @classmethod
    def of(cls, executor: Executor, children: ChildPool, count_lost: CountLost) -> Self:
        """The same executor, whose jobs run in children."""
        same: dict[str, Any] = {one.name: getattr(executor, one.name) for one in fields(Executor)}
        return cls(**same, children=children, count_lost=count_lost)

    def execute(self, message: ReceivedMessage) -> Outcome:
        """Have the job of a message run to its outcome."""
        return self._run_in_child([message], is_batch=False)[0]

    def execute_batch(self, messages: Sequence[ReceivedMessage]) -> list[Outcome]:
        """Have one batch processor run over messages of its task."""
        return list(self._run_in_child(messages, is_batch=True))

    def _run_in_child(self, messages: Sequence[ReceivedMessage], *, is_batch: bool) -> Sequence[Outcome]:
        try:
            with self.children.child(self._memory_mib(messages[0].job_name)) as child:
                pid = child.pid
                result = child.run(
                    self.intake.queue_name,
                    messages,
                    is_batch=is_batch,
                    lease=current_lease(),
                    memory_mib_of=self._memory_mib,
                )
        except ChildNotStartedError as error:
            reason = f"its process could not be started ({error})"
            delay = 0 if self.children.is_stopping else NOT_STARTED_SECONDS
            return [NotStarted(reason=reason, delay_seconds=delay)] * len(messages)
        if not isinstance(result, LostJob):
            return result
        if result.loss is Loss.STOP:
            return [NotStarted(reason="the worker is stopping")] * len(messages)
        return self._of_lost(messages, result, pid, is_batch=is_batch)

    def _memory_mib(self, job_name: str) -> int | None:
        task = self.intake.tasks.get(job_name)
        return None if task is None else task.settings.memory_mib

    def _of_lost(
        self, messages: Sequence[ReceivedMessage], lost: LostJob, pid: int, *, is_batch: bool
    ) -> Sequence[Outcome]:
        """The outcomes of jobs whose process died: that is a failure as any other, and counts as an attempt."""
        error = _error_of(lost)
        names = list(lost.names) if len(lost.names) == len(messages) else [("", "")] * len(messages)
        jobs = [
            _job_of(message, name, job_id, self.intake.queue_name)
            for message, (name, job_id) in zip(messages, names, strict=True)
        ]
        for job in jobs:
            logger.error(
                "process %d ended (%s) while it ran job %s",
                pid,
                lost.cause,
                job.job_name,
                extra={"action": "job_process_ended", "cause": lost.cause, "pid": pid, **job.log_fields},
            )
            self.count_lost(self.intake.queue_name, self.intake.task_name(job.message), lost.loss.value)
        task = self.intake.tasks.get(jobs[0].job_name)
        if task is not None and is_batch and len(jobs) > 1 and task.settings.isolate_failures:
            from sqs_tasks.execution.isolation import is_worth_it

            batch = JobBatch(jobs=tuple(jobs), job_name=task.name, queue_name=self.intake.queue_name)
            if lost.loss is Loss.CRASH and is_worth_it(error, batch):
                return [self._run_in_child([message], is_batch=True)[0] for message in messages]
        return [self._failed(job, task, error, lost.seconds) for job in jobs]

    def _failed(self, job: Job, task: RegisteredTask | None, error: SQSTasksError, seconds: float) -> Outcome:
        if task is None:  # it died before it had read the message, or knew the task
            outcome: Outcome = Retried(
                delay_seconds=visibility_seconds(self.intake.backoff_policy, job.message),
                reason=described(error),
                error=error,
            )
        else:
            from sqs_tasks.execution.failures import outcome_of

            outcome = outcome_of(error, job, task, seconds, self.intake)
        self.post_task.emit(job, outcome)
        return outcome


def _error_of(lost: LostJob) -> SQSTasksError:
    if lost.loss is Loss.TIMEOUT:
        return TaskTimeoutError(
            f"{TIMEOUT_TEXT.format(lost.limit)} and went on when it was interrupted; its process was killed"
        )
    if lost.loss is Loss.MEMORY:
        return JobCrashedError(
            f"its process had {lost.peak_mib} MiB, more than memory_mib={lost.limit:g}, and was killed"
        )
    hint = ", which the system sends when it has no memory left" if lost.cause == "SIGKILL" else ""
    return JobCrashedError(f"its process ended: {lost.cause}{hint}")


def _job_of(message: ReceivedMessage, job_name: str, job_id: str, queue_name: str) -> Job:
    """A job as far as it is known here: its arguments were read in the child, which is gone."""
    if job_name and not message.job_name:
        message.named(job_name, job_id)
    return Job(
        job_name or message.job_name,
        {},
        {},
        queue_name,
        message,
        job_id or message.job_id,
        not_before=message.not_before,
    )
