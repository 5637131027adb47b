"""The environment variables that a worker is configured by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Final

from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.manifest import ManifestTask
from sqs_tasks_cdk.queue_urls import QUEUE_URLS_VARIABLE

#: Where the worker finds its registry, as ``module:attribute``.
APP_VARIABLE: Final = "SQS_TASKS_APP"

#: The batching window of the event source mapping, in seconds.
BATCHING_WINDOW_VARIABLE: Final = "SQS_TASKS_BATCHING_WINDOW_SECONDS"

#: Which tasks the worker was deployed for, for ``sqs-tasks diff``.
TASKS_VARIABLE: Final = "SQS_TASKS_TASKS_HASH"

#: The CloudWatch namespace of the metrics by task that workers write to their logs.
METRICS_NAMESPACE: Final = "SqsTasks"

_OURS: Final = {
    APP_VARIABLE: "app=",
    QUEUE_URLS_VARIABLE: "grant_send() and grant_consume()",
    BATCHING_WINDOW_VARIABLE: "max_batching_window=",
    TASKS_VARIABLE: "the queue's tasks=",
}


def worker_environment(
    *, app: str, service_name: str, log_level: str, user: Mapping[str, str] | None
) -> dict[str, str]:
    """The variables of a worker; ``user`` wins, except over what has an argument of its own.

    Raises:
        StackError: ``user`` sets one of those.
    """
    for name, instead in _OURS.items():
        if name in (user or {}):
            raise StackError(f"environment sets {name}, which the worker sets itself; use {instead}")
    return {
        APP_VARIABLE: app,
        "POWERTOOLS_SERVICE_NAME": service_name,
        "POWERTOOLS_METRICS_NAMESPACE": METRICS_NAMESPACE,
        "POWERTOOLS_LOG_LEVEL": log_level,
        **(user or {}),
    }


def app_package(app: str) -> str:
    """The top-level package or module that an ``app`` lives in."""
    return app.partition(":")[0].partition(".")[0]


def tasks_hash(tasks: Sequence[ManifestTask]) -> str:
    """A hash of the tasks' names and aliases, as ``sqs_tasks`` makes it too."""
    names = sorted([task.name, *sorted(task.aliases)] for task in tasks)
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]
