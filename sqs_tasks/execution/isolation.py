"""``isolate_failures``: a batch that failed as a whole runs again one by one, so that one bad job fails alone."""

from __future__ import annotations

from sqs_tasks.errors import TaskTimeoutError, described
from sqs_tasks.loggers import kept_logger
from sqs_tasks.message import JobBatch
from sqs_tasks.outcome import Postpone, Reject, Retry

logger = kept_logger(__name__)


def is_worth_it(error: BaseException, call: JobBatch) -> bool:
    """Whether another run of each job alone may tell the bad one from the others; it is logged then.

    What steers jobs was meant for all of them, and a batch that ran out of time or memory would use up more.
    """
    if not isinstance(error, Exception) or isinstance(
        error, (Retry, Reject, Postpone, TaskTimeoutError, TimeoutError, MemoryError)
    ):
        return False
    logger.warning(
        "a batch of %d jobs %s failed (%s); each runs again alone",
        len(call.jobs),
        call.job_name,
        described(error),
        extra={
            "action": "batch_isolated",
            "job_name": call.job_name,
            "queue_name": call.queue_name,
            "jobs": len(call.jobs),
        },
    )
    return True
