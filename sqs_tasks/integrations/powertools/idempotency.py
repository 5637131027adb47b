"""Each job done once, by Powertools' idempotency stores: SQS delivers at least once (S56).

::

    from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer
    from sqs_tasks.integrations.powertools.idempotency import IdempotentJobs

    env = SQSEnv(middleware=[IdempotentJobs(DynamoDBPersistenceLayer(table_name="jobs"))])

The key is the job's own id, which the producer gave it: unlike SQS's message id it survives a redrive, and it is the
same in Lambda and in a container.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from aws_lambda_powertools.utilities.idempotency import IdempotencyConfig
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyItemAlreadyExistsError,
    IdempotencyItemNotFoundError,
)
from aws_lambda_powertools.utilities.idempotency.persistence.base import BasePersistenceLayer
from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import DataRecord

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.message import Job
from sqs_tasks.middleware import CallNext, ContextMiddleware
from sqs_tasks.outcome import Postpone

logger = logging.getLogger(__name__)

#: Seconds for which a job is taken to be at work when its worker died: the longest that a function can run.
LEASE_SECONDS = 900.0

#: Seconds for which a finished job is remembered; the longest that SQS keeps a message, redrives not counted.
REMEMBERED_SECONDS = 14 * 86_400

#: Seconds for which a job is put off when the store does not answer.
STORE_RETRY_SECONDS = 30.0

#: What the keys begin with, the same in every function and container.
KEY_PREFIX = "sqs_tasks"

#: Times a store is asked again that changed between two questions.
_RETRIES = 2


class IdempotentJobs(ContextMiddleware):
    """Middleware that runs a job unless it was done before, for plain and for async tasks.

    A job that is at work elsewhere is put off until that worker's lease ends, which is no attempt of the task's. A job
    that failed may be tried again at once. While the store cannot be asked, jobs are put off too: they do not run
    unprotected, and they do not use up their attempts.

    Args:
        store: A Powertools persistence layer, of DynamoDB or Redis, say.
        lease_seconds: How long a job is taken to be at work, if its worker never says that it ended. At least the
            timeout of the slowest task; a crash delays its job by as much.
        remembered_seconds: How long finished jobs are remembered.
    """

    def __init__(
        self,
        store: BasePersistenceLayer,
        *,
        lease_seconds: float = LEASE_SECONDS,
        remembered_seconds: int = REMEMBERED_SECONDS,
    ) -> None:
        super().__init__(_no_context)
        self.store = store
        self.lease_seconds = lease_seconds
        store.configure(IdempotencyConfig(expires_after_seconds=remembered_seconds), key_prefix=KEY_PREFIX)

    def __call__(self, job: Any, call_next: CallNext) -> Any:
        """Run a plain task unless its job was done.

        Raises:
            Postpone: The job is at work elsewhere, or nobody can tell.
        """
        if not self._begin(job):
            return None
        try:
            result = call_next()
        except BaseException as error:
            self._failed(job, error)
            raise
        self._done(job)
        return result

    async def call_async(self, job: Any, call_next: Callable[[], Awaitable[Any]]) -> Any:
        """Run an async task unless its job was done; the store is asked in a thread.

        Raises:
            Postpone: The job is at work elsewhere, or nobody can tell.
        """
        import asyncio  # only a process with async tasks gets here

        if not await asyncio.to_thread(self._begin, job):
            return None
        try:
            result = await call_next()
        except BaseException as error:
            # Not awaited: a cancelled task must not wait on.
            self._failed(job, error)
            raise
        await asyncio.to_thread(self._done, job)
        return result

    def _begin(self, job: Job) -> bool:
        """Whether the job is to run; it is then at work here, until :meth:`_done` or :meth:`_failed`."""
        if not hasattr(job, "job_id"):
            raise ConfigurationError(f"{job.job_name!r} is a batch processor, and a batch has no single id")
        for _ in range(_RETRIES):
            record = self._taken(job)
            if record is None:
                return True
            if record.status == "COMPLETED":
                logger.info("job %s was done before", job.job_name, extra={"action": "job_repeated", **job.log_fields})
                return False
            # DynamoDB's numbers come as Decimal.
            left = float(record.in_progress_expiry_timestamp or 0) / 1000 - time.time()
            if record.status == "INPROGRESS" and left > 0:
                raise Postpone(left, "the job is running elsewhere")
        raise Postpone(1, "the job's record changed twice while it was read")

    def _taken(self, job: Job) -> DataRecord | None:
        """The record of a job that was there before, or None when it is made now."""
        key: Any = job.job_id
        try:
            self.store.save_inprogress(data=key, remaining_time_in_millis=int(self.lease_seconds * 1000))
        except IdempotencyItemAlreadyExistsError as error:
            if error.old_data_record is not None:
                return error.old_data_record
            try:
                return self.store.get_record(data=key)
            except IdempotencyItemNotFoundError:  # it expired, or was deleted, since
                return DataRecord(idempotency_key="", status="EXPIRED")
            except Exception as failure:
                raise _away(job, failure) from failure
        except Exception as failure:
            raise _away(job, failure) from failure
        return None

    def _done(self, job: Job) -> None:
        key: Any = job.job_id
        try:
            self.store.save_success(data=key, result={})
        except Exception:  # the job is done, and running it again is what this is to prevent
            logger.exception(
                "job %s is done, but its record could not be written; it may run again",
                job.job_name,
                extra=_extra("job_not_remembered", job),
            )

    def _failed(self, job: Job, error: BaseException) -> None:
        key: Any = job.job_id
        try:
            self.store.delete_record(data=key, exception=error)  # type: ignore[arg-type]  # it is only logged
        except Exception:  # the job's own error is the one to tell; its next attempt waits for the lease
            logger.exception(
                "the lease of job %s could not be removed; its next attempt waits for it",
                job.job_name,
                extra=_extra("job_lease_stays", job),
            )


def _no_context(_job: Any) -> AbstractContextManager[None]:
    return nullcontext()


def _extra(action: str, job: Job) -> dict[str, Any]:
    return {"action": action, **job.log_fields}


def _away(job: Job, failure: Exception) -> Postpone:
    logger.error(
        "cannot find out whether job %s was done",
        job.job_name,
        exc_info=failure,
        extra=_extra("idempotency_failed", job),
    )
    return Postpone(STORE_RETRY_SECONDS, "the idempotency store cannot be reached")
