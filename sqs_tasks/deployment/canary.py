"""A job that runs nothing, sent to each queue and looked for in the workers' logs: a smoke test after a deploy.

It shows that the sender may send, and that the worker is fed, starts, loads the registry, and receives. A worker of an
older release does not know canaries: there it is an unknown task, and becomes a dead letter.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqs_tasks.client import error_code
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.execution.intake import CANARY_TASK
from sqs_tasks.protocols import SQSClient
from sqs_tasks.queue import JobQueue

#: Seconds between two looks into the logs. CloudWatch Logs takes some seconds to find what was written.
POLL_SECONDS = 3

#: Seconds by which the clocks of workers may be behind.
_CLOCK_SKEW_SECONDS = 60


class LogsClient(Protocol):
    """What is asked of CloudWatch Logs."""

    def filter_log_events(self, **kwargs: Any) -> Any:
        """The events of a log group that have a text, a page of them."""


class LambdaClient(Protocol):
    """What is asked of Lambda."""

    def list_event_source_mappings(self, **kwargs: Any) -> Any:
        """The mappings of a queue, a page of them."""

    def get_function_configuration(self, **kwargs: Any) -> Any:
        """A function's settings."""


@dataclass(slots=True, kw_only=True)
class Canary:
    """One canary.

    Attributes:
        queue: The queue it was sent to.
        job_id: Its id.
        log_groups: Where its worker logs.
        sent_at: When it was sent, in seconds since 1970.
        seconds: How long it took until its worker was seen to receive it; None as long as it was not.
    """

    queue: str
    job_id: str
    log_groups: Sequence[str]
    sent_at: float
    seconds: float | None = None


@dataclass(slots=True, kw_only=True)
class Canaries:
    """Sends canaries and waits for them.

    Attributes:
        sqs: A client of SQS.
        lambda_client: A client of Lambda, to find the logs of the functions that are fed by a queue.
        logs: A client of CloudWatch Logs.
        log_groups: Where services log, and functions that cannot be found.
        now: The clock, in seconds since 1970.
        sleep: Waits for so many seconds.
    """

    sqs: SQSClient
    lambda_client: LambdaClient
    logs: LogsClient
    log_groups: Sequence[str] = ()
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    _sent: list[Canary] = field(default_factory=list, init=False)

    def send(self, queue: JobQueue) -> Canary:
        """Send a canary to a queue.

        Raises:
            ConfigurationError: Nobody would see it: the queue feeds no function, and no log group was given.
        """
        groups = [*self._groups_of(queue), *self.log_groups]
        if not groups:
            raise ConfigurationError(
                f"queue {queue.name!r} feeds no function whose log could be looked into; for a service give its log "
                "group (--log-group) or its stack (--stack), or name the queues that have functions"
            )
        options = {"_group_id": CANARY_TASK, "_deduplication_id": str(uuid.uuid4())} if queue.settings.fifo else {}
        sent_at = self.now()
        receipt = queue.add_job(CANARY_TASK, **options)
        canary = Canary(queue=queue.name, job_id=str(receipt.job_id), log_groups=groups, sent_at=sent_at)
        self._sent.append(canary)
        return canary

    def wait(self, *, timeout_seconds: float) -> Iterator[Canary]:
        """The canaries as their workers are seen to receive them, until all were or the time is over."""
        deadline = self.now() + timeout_seconds
        waiting = list(self._sent)
        while True:
            for canary in [one for one in waiting if self._is_seen(one)]:
                canary.seconds = self.now() - canary.sent_at
                waiting.remove(canary)
                yield canary
            if not waiting or self.now() >= deadline:
                return
            self.sleep(POLL_SECONDS)

    def _groups_of(self, queue: JobQueue) -> Iterator[str]:
        url = queue.queue_url
        arn = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        names: dict[str, None] = {}
        marker: dict[str, str] = {}
        while True:
            page = self.lambda_client.list_event_source_mappings(EventSourceArn=arn, **marker)
            names |= dict.fromkeys(mapping["FunctionArn"] for mapping in page["EventSourceMappings"])
            if not page.get("NextMarker"):
                break
            marker = {"Marker": page["NextMarker"]}
        for name in names:
            function = self.lambda_client.get_function_configuration(FunctionName=name)
            default = f"/aws/lambda/{function['FunctionName']}"
            yield function.get("LoggingConfig", {}).get("LogGroup") or default

    def _is_seen(self, canary: Canary) -> bool:
        return any(
            "job_skipped" in message or CANARY_TASK in message
            for group in canary.log_groups
            for message in self._lines(group, canary)
        )

    def _lines(self, group: str, canary: Canary) -> Iterable[str]:
        token: dict[str, str] = {}
        while True:
            try:
                page = self.logs.filter_log_events(
                    logGroupName=group,
                    filterPattern=f'"{canary.job_id}"',
                    startTime=int((canary.sent_at - _CLOCK_SKEW_SECONDS) * 1_000),
                    **token,
                )
            except Exception as error:
                if error_code(error) == "ResourceNotFoundException":
                    return  # a function that never ran has no log group yet
                raise
            yield from (event["message"] for event in page["events"])
            if not page.get("nextToken"):
                return
            token = {"nextToken": page["nextToken"]}
