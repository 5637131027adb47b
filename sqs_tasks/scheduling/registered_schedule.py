"""A schedule of a task as it is registered: its name in EventBridge Scheduler, and the message that it sends.

The message is the wire format's, made once at registration. What differs from run to run, EventBridge Scheduler fills
in: the time of the run stands in the place of ``<aws.scheduler.scheduled-time>``, so that a run that is delivered
twice has one job id. The execution id, which differs for each attempt, would not do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from sqs_tasks.errors import ConfigurationError, MessageTooLargeError
from sqs_tasks.message import JOB_ID, SCHEDULED_FOR, WIRE_FORMAT, MessageAttribute, OutgoingMessage, string_attribute
from sqs_tasks.scheduling.schedule import Schedule

#: What EventBridge Scheduler replaces by the time of the run.
SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"

#: Characters of a schedule's name.
MAX_NAME_CHARS = 64

#: Bytes of the request that a schedule makes, as JSON.
MAX_INPUT_BYTES = 262_144

_LABEL = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z_.-]{0,63}")
_NOT_IN_NAMES = re.compile(r"[^0-9A-Za-z_.-]")
_DIGEST_CHARS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredSchedule:
    """One schedule of one task.

    Attributes:
        name: Its name in EventBridge Scheduler, unique in the registry.
        label: Its name among the schedules of its task; empty for the one of the registration itself.
        queue_name: The task's queue, by its name in code.
        job_name: The task.
        schedule: When and how it runs.
        message: What it sends, with the time of the run left open.
    """

    name: str
    label: str
    queue_name: str
    job_name: str
    schedule: Schedule
    message: OutgoingMessage

    def request(self) -> dict[str, Any]:
        """The request of SendMessage without the queue's URL, with EventBridge Scheduler's placeholder."""
        return self.message.as_request()

    def message_at(self, moment: datetime) -> OutgoingMessage:
        """The message of the run at a moment, as EventBridge Scheduler fills it in."""
        slot = slot_text(moment)

        def filled(text: str) -> str:
            return text.replace(SCHEDULED_TIME, slot)

        def filled_attribute(attribute: MessageAttribute) -> MessageAttribute:
            return {**attribute, "StringValue": filled(attribute["StringValue"])}

        message = self.message
        attributes = {
            name: filled_attribute(one) if "StringValue" in one else one for name, one in message.attributes.items()
        }
        return replace(
            message,
            body=filled(message.body),
            attributes=attributes,
            deduplication_id=None if message.deduplication_id is None else filled(message.deduplication_id),
            job_id=filled(message.job_id or ""),
        )


class WithSchedules(Protocol):
    """A registered task, as far as its schedules go."""

    @property
    def schedules(self) -> Mapping[str, RegisteredSchedule]:
        """The schedules by label."""


class WithTasks(Protocol):
    """A queue, as far as the schedules of its tasks go."""

    @property
    def tasks(self) -> Iterable[WithSchedules]:
        """The registered tasks."""


def schedules_of(queues: Iterable[WithTasks]) -> Iterator[RegisteredSchedule]:
    """All schedules of a registry, in the order of registration.

    Raises:
        ConfigurationError: Two of them come to the same name.
    """
    known: dict[str, RegisteredSchedule] = {}
    for queue in queues:
        for task in queue.tasks:
            for one in task.schedules.values():
                other = known.setdefault(one.name, one)
                if other is not one:
                    raise ConfigurationError(
                        f"schedule name {one.name!r} stands for a schedule of task {one.job_name!r} on queue "
                        f"{one.queue_name!r} and for one of task {other.job_name!r} on queue {other.queue_name!r}; "
                        "each schedule of a registry needs its own; give one of the tasks or schedules another name"
                    )
                yield one


def schedule_name(queue_name: str, job_name: str, label: str) -> str:
    """The name in EventBridge Scheduler: queue, task and label, with a digest where that is too long or has spaces."""
    whole = ".".join(part for part in (queue_name, job_name, label) if part)
    name = _NOT_IN_NAMES.sub("-", whole)
    if name == whole and len(name) <= MAX_NAME_CHARS:
        return name
    import hashlib  # most names fit

    digest = hashlib.sha256(whole.encode()).hexdigest()[:_DIGEST_CHARS]
    return f"{name[: MAX_NAME_CHARS - _DIGEST_CHARS - 1]}-{digest}"


def slot_text(moment: datetime) -> str:
    """The time of a run as EventBridge Scheduler writes it: ``2030-01-31T02:00:00Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check_label(label: object, job_name: str, known: Iterable[str]) -> None:
    """Refuse a name that EventBridge Scheduler would refuse, or that the task has given already.

    Raises:
        ConfigurationError: It is one of these.
    """
    if not isinstance(label, str) or not _LABEL.fullmatch(label):
        raise ConfigurationError(
            f"task {job_name!r}: a schedule is named {label!r}; a name is 1 to {MAX_NAME_CHARS} letters, digits, '-', "
            "'_' and '.'; try 'monday'"
        )
    if label in known:
        raise ConfigurationError(
            f"task {job_name!r} has a schedule {label!r} already; each schedule of a task needs its own name; "
            f"try '{label}-2'"
        )


def registered(
    schedule: Schedule, message: OutgoingMessage, *, queue_name: str, job_name: str, label: str, fifo: bool
) -> RegisteredSchedule:
    """The schedule of a task, from the message that carries its job.

    Raises:
        MessageTooLargeError: The request exceeds what EventBridge Scheduler can hold.
    """
    name = schedule_name(queue_name, job_name, label)
    job_id = f"{name}@{SCHEDULED_TIME}"
    message = replace(
        message,
        attributes={
            # The mark is for jobs without an id, and this one gets its id here.
            **{name: value for name, value in message.attributes.items() if name != WIRE_FORMAT},
            JOB_ID: string_attribute(job_id),
            SCHEDULED_FOR: string_attribute(SCHEDULED_TIME),
        },
        deduplication_id=job_id if fifo else None,
        job_id=job_id,
    )
    if message.size_bytes > MAX_INPUT_BYTES // 2:  # the rest is for what JSON adds by escaping
        raise MessageTooLargeError(
            f"schedule {name!r}: its job is {message.size_bytes} bytes with its attributes; EventBridge Scheduler "
            f"holds {MAX_INPUT_BYTES} with everything around it, so {MAX_INPUT_BYTES // 2} are allowed; store large "
            "data elsewhere and give its address"
        )
    return RegisteredSchedule(
        name=name, label=label, queue_name=queue_name, job_name=job_name, schedule=schedule, message=message
    )
