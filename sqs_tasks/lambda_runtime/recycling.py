"""The end of an execution environment whose event loop was lost: Lambda starts a new one.

A coroutine that blocks the loop cannot be ended, and goes on in its thread; pools and sessions that were bound to the
lost loop fail in every later job. What is done is deleted first, and what failed has its visibility already, so that
nothing runs again because of it: a process that exits makes the whole batch a failure for Lambda (S13).
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from sqs_tasks.execution.settlement import Settlement, Unsettled
from sqs_tasks.lambda_runtime.invocation import Invocation
from sqs_tasks.lambda_runtime.records import read_messages
from sqs_tasks.lambda_runtime.timed_settlement import TimedSettlement
from sqs_tasks.loggers import kept_logger

logger = kept_logger(__name__)

#: What Lambda sets in an execution environment, and nothing else does.
RUNTIME_VARIABLE = "AWS_LAMBDA_RUNTIME_API"

#: What the process exits with; Lambda reports it as Runtime.ExitError.
EXIT_CODE = 1


def recycle(invocation: Invocation, batches: Sequence[tuple[Settlement, Sequence[Mapping[str, Any]]]]) -> None:
    """End this process, if it is Lambda's and what is done could be deleted; else come back.

    Args:
        invocation: The invocation, whose jobs are over.
        batches: The settlement of each queue, with its records.
    """
    if RUNTIME_VARIABLE not in os.environ:
        return
    if not all(_is_deleted(invocation, settlement, records) for settlement, records in batches):
        return  # the answer has them deleted; the environment ends with a later invocation
    logger.error(
        "the event loop was lost; what is done is deleted, and this execution environment ends, so that Lambda starts "
        "a new one; look for a coroutine that blocks",
        extra={"action": "environment_recycled"},
    )
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(EXIT_CODE)


def _is_deleted(invocation: Invocation, settlement: Settlement, records: Sequence[Mapping[str, Any]]) -> bool:
    """Delete what is done of one queue; whether it is gone."""
    done = [message for message in read_messages(records) if message.message_id in invocation.done]
    left: list[Unsettled] = []
    in_time = TimedSettlement(settlement, invocation).guarded(lambda: left.extend(settlement.delete(done)))
    return in_time and all(one.is_final for one in left)
