"""How many queue URLs fit in a worker's environment, and how the variable is named that has them."""

from __future__ import annotations

from typing import Final

from sqs_tasks_cdk import limits

#: The variable that ``sqs_tasks`` reads.
QUEUE_URLS_VARIABLE: Final = "SQS_TASKS_QUEUE_URLS"

#: Its key for every queue that it does not name.
ANY_QUEUE: Final = "*"

#: Bytes of a function's 4 KB environment that queue URLs may take; the rest is the user's and Powertools'.
MAX_QUEUE_URLS_BYTES: Final = limits.MAX_FUNCTION_ENVIRONMENT_BYTES - 1_024

#: Bytes of one entry besides the two names: punctuation, ``https://sqs.<region>.amazonaws.com/<account>/``.
_ENTRY_OVERHEAD_BYTES: Final = 70


def entry_bytes(logical_name: str, queue_name: str | None) -> int:
    """How many bytes a queue takes in the variable, about; the URL is known when it is deployed."""
    return len(logical_name) + len(queue_name or logical_name) + _ENTRY_OVERHEAD_BYTES
