"""Jobs that are due later than SQS can hold a message back: each is a schedule of its own until then."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from sqs_tasks import limits
from sqs_tasks.client import ClientProvider, error_code
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.hooks import AroundRequest, made
from sqs_tasks.message import OutgoingMessage
from sqs_tasks.receipts import MessageId, PendingMessage, Receipt
from sqs_tasks.scheduling.clients import scheduler_endpoint
from sqs_tasks.scheduling.eventbridge import (
    DEAD_LETTER_VARIABLE,
    GROUP_VARIABLE,
    ROLE_VARIABLE,
    Scheduler,
    SchedulerClient,
)
from sqs_tasks.scheduling.in_memory import IN_MEMORY
from sqs_tasks.scheduling.moments import aware
from sqs_tasks.scheduling.one_shot import one_shot_name, one_shot_request
from sqs_tasks.sending.sender import current_task, unsent_error
from sqs_tasks.sending.stream import in_order

#: Schedules that are made side by side. Each takes a request of its own.
SIDE_BY_SIDE = 16

#: Schedules that a batch collects before it makes them.
_BATCH = 4 * SIDE_BY_SIDE

#: Times a schedule that Scheduler did not take is tried again, beside botocore's own tries, and the wait before the
#: first of them in seconds (it doubles).
RETRIES, RETRY_SECONDS = 6, 0.25

#: Failures that pass.
_PASSING = frozenset({"ThrottlingException", "TooManyRequestsException", "InternalServerException", "RequestTimeout"})

#: The base classes of what botocore raises when nobody answers.
_OF_NETWORK = frozenset({"ConnectionError", "HTTPClientError"})

_CONFLICT, _MISSING = "ConflictException", "ResourceNotFoundException"


class SchedulingEnvironment(Protocol):
    """What making schedules asks of an environment."""

    client: ClientProvider
    scheduler: Scheduler | None
    around_request: AroundRequest | None


class ScheduledJobs:
    """The jobs of an environment that EventBridge Scheduler holds.

    Args:
        env: The environment.
        sleep: Waits between tries.
    """

    def __init__(self, env: SchedulingEnvironment, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._env = env
        self._sleep = sleep

    @property
    def client(self) -> SchedulerClient:
        """The client of EventBridge Scheduler."""
        sqs = self._env.client
        client: SchedulerClient = sqs.of_service(
            "scheduler", endpoint_url=scheduler_endpoint(os.environ, sqs.endpoint_url)
        )
        return client

    def place(self, why: str) -> Scheduler:
        """Where schedules are made.

        Args:
            why: What needs it, for the error.

        Raises:
            ConfigurationError: Nobody says where.
        """
        if self._env.client.is_in_memory:
            return IN_MEMORY
        place = self._env.scheduler or Scheduler.from_environment()
        if place is None:
            raise ConfigurationError(
                f"{why}; EventBridge Scheduler can, and needs a schedule group and a role: pass "
                "SQSEnv(scheduler=Scheduler(group=..., role_arn=...)), or set "
                f"{GROUP_VARIABLE} and {ROLE_VARIABLE} (and {DEAD_LETTER_VARIABLE}), as the stack does with delays=True"
            )
        return place

    def make(self, message: OutgoingMessage, queue_url: str) -> MessageId:
        """Make the schedule of a message, trying again what passes.

        Raises:
            Exception: What Scheduler or the network answered in the end.
        """
        place = self.place(f"job {message.job_name!r} is due later")
        if message.payload is not None:
            message.payload.store()
        with made(self._env.around_request, "send", message.queue_name, lambda: [message]):
            self._create(one_shot_request(message, place, queue_url=queue_url))
        job_id = message.job_id or ""
        return MessageId(job_id, job_id=job_id, run_at=message.run_at, cancel=lambda: self.cancel(job_id))

    def _create(self, request: Mapping[str, Any]) -> None:
        for attempt in range(RETRIES + 1):
            try:
                self.client.create_schedule(**request)
            except Exception as error:
                code = error_code(error)
                if code == _CONFLICT:
                    return  # an earlier try of this very job, whose answer was lost: nobody else has its id
                if attempt == RETRIES or not (code in _PASSING or _is_of_network(error)):
                    raise
                self._sleep(RETRY_SECONDS * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311 - to spread the tries
            else:
                return

    def cancel(self, job_id: str) -> bool:
        """Delete the schedule of a job; whether it was there: it is not when the job has been sent, or never waited.

        Raises:
            ConfigurationError: Nobody says where schedules are made.
        """
        place = self.place(f"job {job_id} cannot be taken back from SQS")
        try:
            self.client.delete_schedule(Name=one_shot_name(job_id), GroupName=place.group)
        except Exception as error:
            if error_code(error) != _MISSING:
                raise
            return False
        return True


class OneShots:
    """The messages of one queue that are sent by schedules.

    Args:
        queue_name: The queue's name in code, for errors.
        jobs: Makes the schedules.
        queue_url: Gives the queue's URL.
        on_sent: Called with each message that has a schedule, once it has.
    """

    def __init__(
        self,
        queue_name: str,
        *,
        jobs: ScheduledJobs,
        queue_url: Callable[[], str],
        on_sent: Callable[[OutgoingMessage, Receipt], None],
    ) -> None:
        self._queue_name = queue_name
        self._jobs = jobs
        self._queue_url = queue_url
        self._on_sent = on_sent
        self._collected: dict[tuple[int, int, int], list[tuple[OutgoingMessage, PendingMessage]]] = {}
        self._failed: dict[tuple[int, int, int], tuple[list[OutgoingMessage], list[Any]]] = {}

    def send(self, message: OutgoingMessage) -> Receipt:
        """Make the schedule of a message now."""
        receipt = self._jobs.make(message, self._queue_url())
        self._on_sent(message, receipt)
        return receipt

    def collect(self, message: OutgoingMessage) -> Receipt:
        """Make it with others of the batch that is open here, side by side."""
        job_id = message.job_id or ""
        pending = PendingMessage(job_id, run_at=message.run_at, cancel=lambda: self._jobs.cancel(job_id))
        owner = current_task()
        waiting = self._collected.setdefault(owner, [])
        waiting.append((message, pending))
        if len(waiting) >= _BATCH:
            self._flush(owner)
        return pending

    def finish(self) -> tuple[list[OutgoingMessage], list[Any]]:
        """Make what the batch that is open here has collected; what could not be made, and why."""
        owner = current_task()
        self._flush(owner)
        return self._failed.pop(owner, ([], []))

    def send_all(
        self,
        first: OutgoingMessage,
        messages: Iterator[OutgoingMessage],
        *,
        before: Callable[[OutgoingMessage], object],
    ) -> tuple[int, OutgoingMessage | None]:
        """Make the schedules of messages side by side, up to one that is for SQS.

        Args:
            first: The first message.
            messages: Those that follow it.
            before: Called with each message before its request.

        Returns:
            How many were made, and the message that is for SQS; None at the end.

        Raises:
            BatchSendError: Some could not be made; it carries their messages.
        """
        count = 0
        following: OutgoingMessage | None = None
        unsent: list[OutgoingMessage] = []
        errors: list[Any] = []

        def to_scheduler() -> Iterator[OutgoingMessage]:
            nonlocal following
            before(first)
            yield first
            for message in messages:
                if message.run_at is None:
                    following = message
                    return
                before(message)
                yield message

        for message, result in self._results(to_scheduler(), stop=lambda: bool(unsent)):
            if isinstance(result, MessageId):
                count += 1
                self._on_sent(message, result)
            else:
                unsent.append(message)
                errors.append(result)
        if unsent:
            raise unsent_error(self._queue_name, unsent, errors)
        return count, following

    def _flush(self, owner: tuple[int, int, int]) -> None:
        waiting = self._collected.pop(owner, [])
        pending = {id(message): receipt for message, receipt in waiting}
        for message, result in self._results([message for message, _ in waiting], stop=lambda: False):
            if isinstance(result, MessageId):
                self._on_sent(message, pending[id(message)])
            else:
                unsent, errors = self._failed.setdefault(owner, ([], []))
                unsent.append(message)
                errors.append(result)

    def _results(
        self, messages: Iterable[OutgoingMessage], *, stop: Callable[[], bool]
    ) -> Iterator[tuple[OutgoingMessage, MessageId | Exception]]:
        queue_url = self._queue_url()

        def make(message: OutgoingMessage) -> tuple[OutgoingMessage, MessageId | Exception]:
            try:
                return message, self._jobs.make(message, queue_url)
            except Exception as error:  # noqa: BLE001 - one of many; the caller gets all that failed together
                return message, error

        return in_order(make, messages, SIDE_BY_SIDE, stop=stop)


def _is_of_network(error: Exception) -> bool:
    """Whether nobody answered: Python's own errors, and those of botocore, which need not be installed."""
    return isinstance(error, OSError) or any(kind.__name__ in _OF_NETWORK for kind in type(error).__mro__)


def later(
    delay_seconds: float | None, run_at: datetime | None, *, fifo: bool, label: str, now: float
) -> tuple[float | None, datetime | None]:
    """How a job waits: the seconds for which SQS holds it back, or the moment at which a schedule sends it.

    Args:
        delay_seconds: What the sender asked for, or None.
        run_at: What the sender asked for instead, or None.
        fifo: Whether the queue is FIFO, where SQS holds back no single message.
        label: The queue, for errors.
        now: The time in seconds.

    Raises:
        ConfigurationError: Both are given, or one that cannot be.
    """
    if run_at is not None:
        if delay_seconds is not None:
            raise ConfigurationError(
                f"{label}: run_at={run_at!r} and delay_seconds={delay_seconds!r} are given; one of them says when the "
                "job is due; leave out the other"
            )
        due = aware(run_at, f"{label}: run_at")
        wait = due.timestamp() - now
        if wait <= 0:
            return None, None
    elif delay_seconds is not None:
        wait = delay_seconds
        if isinstance(wait, bool) or not isinstance(wait, (int, float)) or not 0 <= wait <= _LONGEST_SECONDS:
            return delay_seconds, None  # for those to refuse who know what SQS takes
        due = datetime.fromtimestamp(now, UTC) + timedelta(seconds=wait)
    else:
        return None, None
    if wait > limits.MAX_DELAY_SECONDS or (fifo and wait > 0):
        return None, due
    return wait, None


#: Seconds of the longest delay: ten years. More is a mistake, milliseconds for example.
_LONGEST_SECONDS = 10 * 366 * 86_400
