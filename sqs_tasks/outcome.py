"""What became of one job, and what becomes of its message: values from closed sets (docs/guarantees.md).

Users meet only two names here: raise :class:`Retry` to run a job again later, raise :class:`Reject` to send it to the
dead-letter queue at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from sqs_tasks.backoff_policies import BackoffPolicy
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.limits import check_number
from sqs_tasks.message import ReceivedMessage


class Retry(Exception):  # noqa: N818 - it steers a job, it is not an error
    """Raise in a task to run its job again later, without a traceback in the logs.

    It counts as an attempt: when ``max_attempts`` are used up, the job goes to the dead-letter queue.

    Args:
        backoff_policy: Decides the delay instead of the task's own policy.
        delay_seconds: The delay itself, from 0 seconds. FIFO queues: at most 43,200, longer ones are cut to what SQS
            still allows (S20). Standard queues: beyond that the job goes on by a copy.
        after: The earliest moment, timezone-aware; the same holds for it.
        reason: A few words for the logs.
    """

    def __init__(
        self,
        backoff_policy: BackoffPolicy | None = None,
        *,
        delay_seconds: float | None = None,
        after: datetime | None = None,
        reason: str = "",
    ) -> None:
        given = [value for value in (backoff_policy, delay_seconds, after) if value is not None]
        if len(given) > 1:
            raise ConfigurationError("Retry takes one of backoff_policy, delay_seconds and after, not several")
        if delay_seconds is not None:
            check_number(delay_seconds, "Retry: delay_seconds", 0, unit="seconds", whole=False)
        if after is not None and after.tzinfo is None:
            raise ConfigurationError(
                f"Retry(after={after!r}): must be timezone-aware; try datetime.now(timezone.utc) + timedelta(...)"
            )
        super().__init__(reason or "the task asked for a retry")
        self.backoff_policy = backoff_policy
        self.delay_seconds = delay_seconds
        self.after = after
        self.reason = reason


class Postpone(Exception):  # noqa: N818 - it steers a job, it is not an error
    """Raise in a task to run its job later, since it cannot begin now: a lock is held, a limit reached, a service down.

    It is no attempt and no failure, and can be raised as often as needed. On a standard queue the job goes on by a
    copy, which costs one SendMessage and one DeleteMessage. On a FIFO queue it keeps its place, its message is hidden,
    and SQS counts the delivery: after ``max_receive_count`` of them the job is in the dead-letter queue.

    Args:
        delay_seconds: Seconds from now; less than one is one. FIFO queues: at most 43,200.
        reason: A few words for the logs.
        after: The earliest moment instead, timezone-aware.

    Raises:
        ConfigurationError: Both or neither are given, or one that cannot be.
    """

    def __init__(self, delay_seconds: float | None = None, reason: str = "", *, after: datetime | None = None) -> None:
        if (delay_seconds is None) == (after is None):
            raise ConfigurationError(
                f"Postpone(delay_seconds={delay_seconds!r}, after={after!r}): takes one of the two; "
                "try Postpone(delay_seconds=60)"
            )
        if delay_seconds is not None:
            check_number(delay_seconds, "Postpone: delay_seconds", 0, unit="seconds", whole=False)
        if after is not None and (not isinstance(after, datetime) or after.tzinfo is None):
            raise ConfigurationError(
                f"Postpone(after={after!r}): must be a timezone-aware datetime; "
                "try datetime.now(timezone.utc) + timedelta(...)"
            )
        super().__init__(reason or "the job was put off")
        self.delay_seconds = delay_seconds
        self.after = after
        self.reason = reason

    def seconds(self, now: float) -> float:
        """Seconds from ``now``, the wall clock in seconds."""
        if self.after is not None:
            return max(self.after.timestamp() - now, 0.0)
        return self.delay_seconds or 0.0


class Reject(Exception):  # noqa: N818 - it steers a job, it is not an error
    """Raise in a task to send its job to the dead-letter queue now: trying again would not help.

    Args:
        reason: A few words for the logs and the dead letter.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or "the task rejected the job")
        self.reason = reason


class Cancelled(Exception):  # noqa: N818 - it steers a job, it is not an error
    """Raise in a task to end its job as cancelled: its message is deleted, and there is no dead letter.

    ``current_job().raise_if_cancelled()`` raises it when somebody has called ``cancel()`` for the job.

    Args:
        reason: A few words for the logs.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or "it was cancelled while it ran")
        self.reason = reason


#: sqs-workers' name for :class:`Retry`.
RetryJob = Retry


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The task returned."""


#: The one that is used: there is nothing in it.
SUCCEEDED = Succeeded()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """The task failed or asked for a retry; None leaves the delay to the queue's visibility timeout.

    With ``attempts``, those that have begun so far, the job goes on by a copy where its queue allows that: its delay is
    longer than SQS hides a message.
    """

    delay_seconds: int | None
    reason: str
    error: BaseException | None = None
    attempts: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """No further attempt can help. ``delay_seconds`` is used when there is no dead-letter queue to take it."""

    reason: str
    delay_seconds: int | None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownTask:
    """The name is not registered here, maybe because a deploy is in progress; the redrive policy decides (S48)."""

    job_name: str
    delay_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NotStarted:
    """Received and not run: shutdown, a deadline near, or an earlier message of its group failed."""

    reason: str
    delay_seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponed:
    """It goes on later, and this was no attempt: the task raised :class:`Postpone`, or the job is not due yet.

    Attributes:
        delay_seconds: Seconds until it is due.
        attempts: The attempts that have begun so far.
        reason: Why.
        is_known: Whether the message itself says when its job is due, so that it can be hidden until shortly before.
        error: What the task raised.
    """

    delay_seconds: int
    attempts: int
    reason: str
    is_known: bool = False
    error: BaseException | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """It must not run, or not to its end. Its message is deleted, without a dead letter.

    A schedule's run that came too late, a canary, a job that was done before, or one that was cancelled.
    """

    reason: str
    is_cancelled: bool = False
    #: Whether an earlier run has done it, and may have died before what follows was sent.
    was_done: bool = field(default=False, compare=False)


#: The name of a task that is not registered, where names are counted: messages must not be able to make new metrics.
UNKNOWN_TASK_NAME = "(unknown)"

Outcome: TypeAlias = Succeeded | Retried | Rejected | UnknownTask | NotStarted | Postponed | Skipped


@dataclass(frozen=True, slots=True)
class Delete:
    """The message leaves its queue: the job is done, or its copy is in the dead-letter queue."""


@dataclass(frozen=True, slots=True)
class ChangeVisibility:
    """The message comes back after these seconds."""

    seconds: int


@dataclass(frozen=True, slots=True)
class Leave:
    """The message comes back when the visibility timeout of its receive ends."""


#: What becomes of a message; settlement derives it from the outcome of its job.
Verdict: TypeAlias = Delete | ChangeVisibility | Leave

DELETE, LEAVE = Delete(), Leave()


@dataclass
class BatchProcessingResult:
    """The messages of one ``process_batch``, by whether their jobs are done; shutdown policies get it.

    Attributes:
        queue_name: The queue's name in code.
        succeeded: Messages whose tasks returned.
        failed: All others: retried, rejected, unknown, not started, skipped.
    """

    queue_name: str
    succeeded: list[ReceivedMessage] = field(default_factory=list)
    failed: list[ReceivedMessage] = field(default_factory=list)

    def update_with_message(self, message: ReceivedMessage, success: bool) -> None:
        """Add a message."""
        (self.succeeded if success else self.failed).append(message)

    def succeeded_count(self) -> int:
        """How many jobs succeeded."""
        return len(self.succeeded)

    def failed_count(self) -> int:
        """How many did not."""
        return len(self.failed)

    def total_count(self) -> int:
        """How many messages there were."""
        return len(self.succeeded) + len(self.failed)
