"""The environment variables that a worker is configured by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.manifest import ManifestTask
from sqs_tasks_cdk.url_entries import QUEUE_URLS_VARIABLE

#: Where the worker finds its registry, as ``module:attribute``.
APP_VARIABLE: Final = "SQS_TASKS_APP"

#: The batching window of the event source mapping, in seconds.
BATCHING_WINDOW_VARIABLE: Final = "SQS_TASKS_BATCHING_WINDOW_SECONDS"

#: Which tasks the worker was deployed for, for ``sqs-tasks diff``.
TASKS_VARIABLE: Final = "SQS_TASKS_TASKS_HASH"

#: Whether a function counts its jobs by task or by queue.
METRICS_VARIABLE: Final = "SQS_TASKS_METRICS"

#: Who logs and metrics say they come from.
SERVICE_VARIABLE: Final = "POWERTOOLS_SERVICE_NAME"

#: The CloudWatch namespace of the metrics by task that workers write to their logs.
METRICS_NAMESPACE: Final = "SqsTasks"

_OURS: Final = {
    APP_VARIABLE: "app=",
    QUEUE_URLS_VARIABLE: "grant_send() and grant_consume()",
    BATCHING_WINDOW_VARIABLE: "max_batching_window=",
    TASKS_VARIABLE: "the queue's tasks=",
    METRICS_VARIABLE: "metrics=",
}


def service_name_of(app: str, *, service_name: str | None, user: Mapping[str, str] | None) -> str:
    """Who a worker's logs and metrics say they come from: as set, or the top-level package of ``app``.

    Raises:
        StackError: ``user`` sets the variable, and the argument something else.
    """
    variable = (user or {}).get(SERVICE_VARIABLE)
    if service_name is not None and variable not in (None, service_name):
        raise StackError(
            f"environment sets {SERVICE_VARIABLE} to {variable!r} and service_name= is {service_name!r}; metrics are "
            "found by this name: leave out one or the other"
        )
    return service_name or variable or app_package(app)


def worker_environment(
    *,
    app: str,
    service_name: str,
    log_level: str,
    user: Mapping[str, str] | None,
    secrets: Mapping[str, Any] | None = None,
    arguments: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The variables of a worker; ``user`` wins, except over what has an argument of its own.

    Args:
        app: Where it finds its registry.
        service_name: Who its logs and metrics say they come from.
        log_level: From which level on it logs.
        user: What was asked for.
        secrets: Variables whose values are secret.
        arguments: Further variables that have an argument, with the argument.

    Raises:
        StackError: ``user`` or ``secrets`` sets one of those.
    """
    for name, instead in {**_OURS, **(arguments or {})}.items():
        if name in {**(user or {}), **(secrets or {})}:
            raise StackError(
                f"environment sets {name}, which the worker sets itself and which would be overwritten; use {instead}"
            )
    return {
        APP_VARIABLE: app,
        SERVICE_VARIABLE: service_name,
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
