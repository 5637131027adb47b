"""A task queue on Amazon SQS: one registry for Lambda, containers and your laptop.

Names are loaded when they are first used, so that a Lambda function pays for what it runs and not for the rest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqs_tasks.backoff_policies import DEFAULT_BACKOFF as DEFAULT_BACKOFF
    from sqs_tasks.backoff_policies import IMMEDIATE_RETURN as IMMEDIATE_RETURN
    from sqs_tasks.backoff_policies import ConstantBackoff as ConstantBackoff
    from sqs_tasks.backoff_policies import ExponentialBackoff as ExponentialBackoff
    from sqs_tasks.backoff_policies import LinearBackoff as LinearBackoff
    from sqs_tasks.backoff_policies import TableBackoff as TableBackoff
    from sqs_tasks.batching import BatchMessages as BatchMessages
    from sqs_tasks.batching import NoBatching as NoBatching
    from sqs_tasks.deadletter_queue import DeadLetterQueue as DeadLetterQueue
    from sqs_tasks.env import SQSEnv as SQSEnv
    from sqs_tasks.errors import SQSError as SQSError
    from sqs_tasks.errors import SQSTasksError as SQSTasksError
    from sqs_tasks.local.memory import MemorySession as MemorySession
    from sqs_tasks.message import Job as Job
    from sqs_tasks.message import JobBatch as JobBatch
    from sqs_tasks.message import ReceivedMessage as ReceivedMessage
    from sqs_tasks.middleware import context_middleware as context_middleware
    from sqs_tasks.offload.s3_offload import S3Offload as S3Offload
    from sqs_tasks.outcome import BatchProcessingResult as BatchProcessingResult
    from sqs_tasks.outcome import Postpone as Postpone
    from sqs_tasks.outcome import Reject as Reject
    from sqs_tasks.outcome import Retry as Retry
    from sqs_tasks.outcome import RetryJob as RetryJob
    from sqs_tasks.processors import Processor as Processor
    from sqs_tasks.provisioning import create_fifo_queue as create_fifo_queue
    from sqs_tasks.provisioning import create_standard_queue as create_standard_queue
    from sqs_tasks.provisioning import delete_queue as delete_queue
    from sqs_tasks.queue import JobQueue as JobQueue
    from sqs_tasks.raw_queue import RawQueue as RawQueue
    from sqs_tasks.running import CurrentJob as CurrentJob
    from sqs_tasks.running import current_job as current_job
    from sqs_tasks.scheduling.cron import Cron as Cron
    from sqs_tasks.scheduling.eventbridge import Scheduler as Scheduler
    from sqs_tasks.scheduling.intervals import At as At
    from sqs_tasks.scheduling.intervals import Every as Every
    from sqs_tasks.scheduling.schedule import Schedule as Schedule
    from sqs_tasks.store.coalescing import Debounce as Debounce
    from sqs_tasks.store.coalescing import Unique as Unique
    from sqs_tasks.store.limits import ConcurrencyLimit as ConcurrencyLimit
    from sqs_tasks.store.limits import RateLimit as RateLimit
    from sqs_tasks.task import AsyncTask as AsyncTask

#: Where each public name lives.
_MODULES = {
    "DEFAULT_BACKOFF": "backoff_policies",
    "IMMEDIATE_RETURN": "backoff_policies",
    "ConstantBackoff": "backoff_policies",
    "ExponentialBackoff": "backoff_policies",
    "LinearBackoff": "backoff_policies",
    "TableBackoff": "backoff_policies",
    "S3Offload": "offload.s3_offload",
    "BatchProcessingResult": "outcome",
    "BatchMessages": "batching",
    "NoBatching": "batching",
    "CurrentJob": "running",
    "current_job": "running",
    "DeadLetterQueue": "deadletter_queue",
    "SQSEnv": "env",
    "SQSError": "errors",
    "SQSTasksError": "errors",
    "MemorySession": "local.memory",
    "Job": "message",
    "JobBatch": "message",
    "ReceivedMessage": "message",
    "context_middleware": "middleware",
    "Postpone": "outcome",
    "Reject": "outcome",
    "Retry": "outcome",
    "RetryJob": "outcome",
    "Processor": "processors",
    "create_fifo_queue": "provisioning",
    "create_standard_queue": "provisioning",
    "delete_queue": "provisioning",
    "JobQueue": "queue",
    "RawQueue": "raw_queue",
    "Cron": "scheduling.cron",
    "At": "scheduling.intervals",
    "Every": "scheduling.intervals",
    "Schedule": "scheduling.schedule",
    "Scheduler": "scheduling.eventbridge",
    "ConcurrencyLimit": "store.limits",
    "RateLimit": "store.limits",
    "Debounce": "store.coalescing",
    "Unique": "store.coalescing",
    "AsyncTask": "task",
    "__version__": "__version__",
}

__all__ = sorted(name for name in _MODULES if not name.startswith("_"))  # noqa: PLE0605 - a list of names, by sorted()


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
