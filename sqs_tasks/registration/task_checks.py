"""The checks that few tasks need: of an age that ends jobs, and of jobs that are put off on a FIFO queue."""

from __future__ import annotations

import logging
from typing import Any

from sqs_tasks.errors import ConfigurationError

logger = logging.getLogger("sqs_tasks.settings")


def check_age(
    label: str,
    max_age: float,
    *,
    delay: float,
    first_backoff: float | None,
    is_own_policy: bool,
    fields: dict[str, str],
) -> None:
    """Refuse an age that every job, or every retry by the task's own policy, has passed before it runs.

    An age counts from the send, so that a delay and the waits between attempts are part of it. Where the policy is that
    of the queue or the environment, it is logged: the task may be one whose retries nobody needs.

    Args:
        label: The task, for the error.
        max_age: Seconds after which a job does not run any more.
        delay: Seconds for which SQS holds a job back.
        first_backoff: Seconds before the first retry, or None if nobody knows, or there is none.
        is_own_policy: Whether the backoff is the task's own.
        fields: For the log.

    Raises:
        ConfigurationError: It is such an age.
    """
    if delay >= max_age:
        raise ConfigurationError(
            f"{label}: max_age={max_age:g} counts from the send, and delay_seconds={delay} lets every job pass it "
            f"before it runs; give a max_age above {delay}, or a shorter delay"
        )
    if first_backoff is None or delay + first_backoff < max_age:
        return
    text = (
        f"{label}: max_age={max_age:g} counts from the send, and the backoff lets even the first retry come "
        f"after {delay + first_backoff:g} s, too late to run; give a greater max_age, a shorter "
        "backoff, or max_attempts=1"
    )
    if is_own_policy:
        raise ConfigurationError(text)
    logger.warning(text, extra={"action": "retries_too_late", **fields})


def check_fifo_receives(most: int | None, label: str, fields: dict[str, str]) -> None:
    """Say what a task loses that puts off jobs of a FIFO queue, and refuse it where it loses every one.

    Args:
        most: Deliveries that its queue registers, or None.
        label: The task, for the error.
        fields: For the log.

    Raises:
        ConfigurationError: Its jobs would be dead letters before they have run.
    """
    if most == 1:
        raise ConfigurationError(
            f"{label}: postpones=True with max_receive_count=1: a job of a FIFO queue keeps its place when it is put "
            "off, SQS counts the delivery, and the job would be dead-lettered unrun; raise max_receive_count, use a "
            "standard queue, or pass dead_letter_queue=None"
        )
    logger.warning(
        "%s: postpones=True on a FIFO queue: each time that a job is put off is a delivery, and after %s it is "
        "dead-lettered; register a max_receive_count above the times that you expect, or use a standard queue",
        label,
        "those that its queue allows" if most is None else f"max_receive_count={most}",
        extra={"action": "postpones_on_fifo", **fields},
    )


def no_queue_names(task_name: str, targets: Any) -> ConfigurationError:
    """The error about ``enqueues`` that are no names of queues, with those that were meant."""
    many = [targets] if isinstance(targets, str) else targets
    names = [one if isinstance(one, str) else _name_of(one) for one in many]
    return ConfigurationError(
        f"task {task_name!r}: enqueues={targets!r} must be a list of names of queues; try enqueues={names!r}"
    )


def _name_of(thing: object) -> str:
    """The name of the queue that was meant by a queue or a task."""
    return str(getattr(getattr(thing, "queue", thing), "name", "emails"))
