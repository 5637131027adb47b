"""A guard stands before a job and behind it; a guarded run is one run of a job between its guards."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias

from sqs_tasks.codecs import CodecRegistry
from sqs_tasks.errors import StoreUnavailableError
from sqs_tasks.hooks import Hook
from sqs_tasks.message import Job, OutgoingMessage
from sqs_tasks.outcome import Outcome
from sqs_tasks.receipts import LooksAtJob, Receipt
from sqs_tasks.store.protocol import Store

logger = logging.getLogger(__name__)

#: Seconds for which a run holds what it holds in the store, unless it is prolonged; and between two prolongations.
LEASE_SECONDS, BEAT_SECONDS = 60.0, 15.0

#: Seconds for which a job is put off that must not run while the store does not answer.
UNAVAILABLE_SECONDS = 30.0


class Clock(Protocol):
    """What is asked of an environment's client."""

    def now(self) -> float:
        """The wall clock in seconds: that of queues in memory, where there are some."""


class RememberingEnvironment(Protocol):
    """What is asked of an environment."""

    @property
    def client(self) -> Clock:
        """Whose clock it is."""

    codecs: CodecRegistry
    codec: str
    post_send: Hook[[OutgoingMessage, Receipt]]
    #: Looked at each time: tests put another in its place.
    store: Store | None

    def job(self, job_id: str) -> LooksAtJob:
        """A job by its id."""


class NotNow(NamedTuple):
    """A job that cannot begin yet: it goes on later, and this is no attempt."""

    seconds: float
    reason: str


class NotAtAll(NamedTuple):
    """A job that must not run: its message is deleted."""

    reason: str
    was_done: bool = False


Refusal: TypeAlias = NotNow | NotAtAll


class Guard(Protocol):
    """What one feature does around a job. Any thread may call it; it keeps nothing between jobs but settings."""

    def enter(self, run: GuardedRun) -> Refusal | None:
        """Why the job may not run; None lets it, and then :meth:`leave` is called."""

    def leave(self, run: GuardedRun, outcome: Outcome) -> None:
        """The run is over, or another guard refused it; never raises."""

    def beat(self, run: GuardedRun) -> None:
        """Prolong what the run holds; never raises."""

    def never_ran(self, job: Job, outcome: Outcome) -> None:
        """The job ends before any guard was asked: it is too old, for example; never raises."""


@dataclass(slots=True, kw_only=True, eq=False)
class GuardedRun:
    """One run of a job.

    Attributes:
        job: The job.
        run_id: An id that no other run has, of this job or of another.
        started_at: When it began, in seconds since the epoch.
        entered: The guards that let it pass.
        result: What the task returned.
        cancelled: Whether somebody has asked for its end.
        interrupt: Ends the task at once, where that can be done.
        progress: What the task said last, and has not been written.
        progress_at: When it was written last.
    """

    job: Job
    run_id: str
    started_at: float
    entered: list[Guard] = field(default_factory=list)
    result: Any = None
    cancelled: bool = False
    interrupt: Callable[[], None] | None = None
    progress: tuple[float, float | None, str] | None = None
    progress_at: float = 0.0
    note_progress: Callable[[GuardedRun], None] | None = None

    def beat(self) -> None:
        """Prolong what the run holds."""
        for guard in tuple(self.entered):
            guard.beat(self)

    def cancel(self) -> None:
        """Let the task know, once, that its end is asked for."""
        if not self.cancelled:
            self.cancelled = True
            if self.interrupt is not None:
                self.interrupt()


#: The guarded run in this thread or asyncio task.
GUARDED: ContextVar[GuardedRun | None] = ContextVar("sqs_tasks_guarded_run", default=None)


def note_result(result: Any) -> None:
    """Keep what the task of the guarded run returned."""
    run = GUARDED.get()
    if run is not None:
        run.result = result


class Outage:
    """Whether the store answers one feature: the first failure is logged, and the first answer after it.

    Args:
        feature: Its name, for logs.
        effect: What happens to jobs meanwhile.
    """

    def __init__(self, feature: str, effect: str) -> None:
        self._feature = feature
        self._effect = effect
        self._is_on = False

    def began(self, error: StoreUnavailableError) -> None:
        """The store did not answer."""
        if not self._is_on:
            self._is_on = True
            logger.error(
                "the store does not answer; %s: %s",
                self._effect,
                error,
                extra={"action": "store_unavailable", "feature": self._feature},
            )

    def ended(self) -> None:
        """It did."""
        if self._is_on:
            self._is_on = False
            logger.info("the store answers again", extra={"action": "store_back", "feature": self._feature})
