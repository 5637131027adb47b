"""The numbers of SQS and of Lambda's event sources that this library checks first, and the check of a number.

``sqs_tasks_cdk.limits`` has those that the stack needs. The two packages never import each other; one test compares
what both have, and both with botocore's service models.

Sources: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html and
https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sqs_tasks.errors import ConfigurationError

#: Entries in one SendMessageBatch, DeleteMessageBatch or ChangeMessageVisibilityBatch, and messages in one receive.
MAX_BATCH_ENTRIES = 10

#: Bytes of one message, and of one whole SendMessageBatch: UTF-8, message attributes counted (S38).
MAX_MESSAGE_BYTES = 1_048_576

#: Message attributes on one message.
MAX_MESSAGE_ATTRIBUTES = 10

#: Seconds that SendMessage can hold a message back.
MAX_DELAY_SECONDS = 900

#: Seconds from a receive during which visibility may still be extended: 12 hours (S20).
MAX_VISIBILITY_SECONDS = 43_200

#: Seconds one ReceiveMessage can wait for a message.
MAX_WAIT_SECONDS = 20

#: Seconds a queue keeps a message: one minute to fourteen days.
MIN_RETENTION_SECONDS, MAX_RETENTION_SECONDS = 60, 1_209_600

#: Seconds for which a queue keeps a message by default: four days.
DEFAULT_RETENTION_SECONDS = 345_600

#: Seconds for which something may be remembered in a store: ten years, which is a mistake if it is more.
MAX_REMEMBERED_SECONDS = 315_360_000

#: Deliveries before SQS moves a message to the dead-letter queue.
MAX_RECEIVE_COUNT = 1_000

#: Characters of a queue name, the ".fifo" suffix included (R7).
MAX_QUEUE_NAME_CHARS = 80

#: Characters of a message group id and of a deduplication id (R7).
MAX_GROUP_ID_CHARS = 128

#: Messages in flight on one queue: beyond it a standard queue answers OverLimit and a FIFO queue nothing (S37).
MAX_IN_FLIGHT_MESSAGES = 120_000

#: Deliveries that leave room for throttled batches before a message is dead-lettered: what AWS advises (S42).
MIN_LAMBDA_RECEIVE_COUNT = 5

#: Deliveries beyond a task's own attempts, for those that never ran: throttles, crashes, deploys (R3).
RECEIVE_HEADROOM = 3

#: Seconds that a function can be given on Lambda Managed Instances, which is the most of all (S40).
MAX_MANAGED_FUNCTION_SECONDS = 5_400

#: Times the timeout of a function, or of the slowest task, that the visibility timeout should be: AWS's advice (S19).
VISIBILITY_FACTOR = 6

#: Messages of one invocation without a batching window, and at all from a FIFO queue (S30, S32).
MAX_UNWINDOWED_BATCH = MAX_FIFO_BATCH = MAX_BATCH_ENTRIES

#: Messages of one invocation with a batching window of at least a second (S32).
MAX_WINDOWED_BATCH = 10_000

#: Seconds of a batching window.
MAX_BATCHING_WINDOW_SECONDS = 300

#: Concurrent invocations that one event source mapping can be held to (S34).
MIN_MAPPING_CONCURRENCY, MAX_MAPPING_CONCURRENCY = 2, 1_000

#: Pollers of a provisioned event source mapping: the least, the most that can be kept, the most in all (S35, Z2).
MIN_POLLERS, MAX_MINIMUM_POLLERS, MAX_POLLERS = 2, 200, 10_000


def check_number(
    value: Any,
    name: str,
    least: float,
    most: float | None = None,
    *,
    unit: str = "",
    whole: bool = True,
    above: bool = False,
    fix: str = "",
) -> None:
    """Refuse an option that is no number of its range.

    Args:
        value: What was given. Booleans are no numbers.
        name: The option, with what it belongs to: ``"queue 'emails': delay_seconds"``.
        least: The smallest number that is allowed.
        most: The greatest; None allows any.
        unit: What is counted, ``"seconds"`` for example.
        whole: Whether fractions are refused.
        above: Whether ``least`` itself is refused.
        fix: What to do about it; the nearest number that is allowed unless given.

    Raises:
        ConfigurationError: It is none; the text names the option, the value, the range and what to do.
    """
    # By the method and not by the class: a Decimal or a fraction is a number too.
    is_number = (isinstance(value, int) if whole else hasattr(value, "__float__")) and not isinstance(value, bool)
    if is_number and (value > least if above else value >= least) and (most is None or value <= most):
        return
    allowed = f"a {'whole ' if whole else ''}number{f' of {unit}' if unit else ''}"
    if most is None:
        allowed += f" above {least:g}" if above else f", {least:g} or more"
    else:
        allowed += f" above {least:g}, at most {most:.10g}" if above else f" from {least:g} to {most:.10g}"
    raise ConfigurationError(f"{name}={value!r} must be {allowed}; {fix or f'try {_nearest(value, least, most):.10g}'}")


def _nearest(value: Any, least: float, most: float | None) -> float:
    """A number of the range to suggest: the one that was meant, as far as it can be guessed."""
    try:
        number = round(float(value))
    except (TypeError, ValueError, OverflowError):
        number = 0
    number = max(number, math.ceil(least), 1 if least == 0 else 0)
    return number if most is None else min(number, math.floor(most))


def check_choice(value: object, label: str, allowed: Sequence[object]) -> None:
    """Refuse a value that is none of those that there are.

    Raises:
        ConfigurationError: It is none of them.
    """
    if value not in allowed:
        named = " or ".join(f'"{one}"' for one in allowed if one is not None)
        raise ConfigurationError(f"{label}={value!r} must be {named}; correct it, or leave it out")
