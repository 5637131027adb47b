"""The registry as plain JSON data: what ``sqs_tasks_cdk``, Terraform or SAM need to build the infrastructure from.

Its writer and its reader never import each other. So a stack can be synthesised without the application's packages and
the application runs without CDK. The schema is in ``docs/manifest.md``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING, Any

from sqs_tasks.__version__ import __version__
from sqs_tasks.backoff_policies import (
    ConstantBackoff,
    ExponentialBackoff,
    LinearBackoff,
    TableBackoff,
    clamp_visibility,
)
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.queue import JobQueue
from sqs_tasks.registry import RegisteredTask
from sqs_tasks.settings import PREFIX_VARIABLE, STAGE_VARIABLE, queue_name_in

if TYPE_CHECKING:
    from sqs_tasks.offload.s3_offload import S3Offload
    from sqs_tasks.queue_environment import Environment
    from sqs_tasks.scheduling.registered_schedule import RegisteredSchedule

#: Fields that are written only where the process has the variable.
_VARIABLES = {"stage": STAGE_VARIABLE, "given_prefix": PREFIX_VARIABLE}

#: Raised when a field changes its meaning; new optional fields do not raise it.
SCHEMA_VERSION = 1


def manifest(
    env: Environment,
    queues: Iterable[GenericQueue],
    *,
    prefix: str,
    app: str | None = None,
    without_tasks: bool = False,
) -> dict[str, Any]:
    """The queues and tasks of a registry as JSON data.

    Queues that are the dead-letter queue of another are not listed for themselves: they come with the other.

    Args:
        env: The environment, for the names in SQS.
        queues: The registered queues.
        prefix: The environment's prefix.
        app: Where the environment is found, as ``module:attribute``; what a deployed function loads.
        without_tasks: Allow a registry in which nothing is registered to run, although workers load it.

    Raises:
        ConfigurationError: There is an ``app`` and no task, or two schedules come to the same name.
    """
    listed = list(queues)
    if app is not None and not without_tasks and not any(queue.tasks for queue in listed):
        raise ConfigurationError(
            f"{app} has no task (its queues: {', '.join(queue.name for queue in listed) or 'none'}): a stack made from "
            "it would have no workers, and an update would remove those that are deployed; import the modules that "
            "register your tasks where it is made, or say that it shall have none: manifest(without_tasks=True), "
            "'sqs-tasks manifest --without-tasks'"
        )
    if any(task.schedules for queue in listed for task in queue.tasks):
        from sqs_tasks.scheduling.registered_schedule import schedules_of

        list(schedules_of(listed))  # refuses two schedules of one name
    dead = {queue.settings.dead_letter_queue for queue in listed}
    return {
        "schema_version": SCHEMA_VERSION,
        "sqs_tasks_version": __version__,
        "app": app,
        "queue_prefix": prefix,
        **{field: value for field, name in _VARIABLES.items() if (value := os.environ.get(name))},
        "queues": [_queue(env, queue) for queue in listed if queue.name not in dead],
    }


def _queue(env: Environment, queue: GenericQueue) -> dict[str, Any]:
    settings, dead = queue.settings, queue.settings.dead_letter_queue
    return {
        "name": settings.name,
        "queue_name": queue.get_sqs_queue_name(),
        "queue_url": settings.queue_url,
        "kind": "job" if isinstance(queue, JobQueue) else "raw",
        "fifo": settings.fifo,
        "content_based_deduplication": bool(settings.content_based_deduplication),
        "delay_seconds": settings.delay_seconds,
        "visibility_timeout_seconds": settings.visibility_timeout_seconds,
        "message_retention_seconds": settings.message_retention_seconds,
        "max_receive_count": queue.max_receive_count,
        "dead_letter_queue": None if dead is None else _dead_letter_queue(env, dead),
        "runs_on": settings.runs_on,
        **({} if queue.payloads is None else {"offload": _offload(queue.payloads.settings)}),
        **_store(env, queue),
        **({"weight": settings.weight} if settings.weight != 1 else {}),
        **({"priority_group": settings.priority_group} if settings.priority_group else {}),
        "tasks": [_task(task, queue) for task in queue.tasks],
    }


def _offload(settings: S3Offload) -> dict[str, Any]:
    return {
        "bucket": settings.bucket,
        "prefix": settings.prefix,
        "expire_days": settings.expire_days,
        "removes": settings.remove_with_job,
    }


def _store(env: Environment, queue: GenericQueue) -> dict[str, Any]:
    """The table of its tasks, where they ask for something and it is a table of DynamoDB."""
    asking = [task.settings for task in queue.tasks if task.guards]
    if not asking or not hasattr(env.store, "table"):
        return {}
    table: str | None = getattr(env.store, "table")  # noqa: B009 - other stores have none
    return {"store": {"table": table, "records": any(task.record or task.debounce for task in asking)}}


def _dead_letter_queue(env: Environment, dead: str) -> dict[str, Any]:
    if "://" not in dead:
        return {"name": dead, "queue_name": env.get_sqs_queue_name(dead), "queue_url": None}
    # A queue that is there already: its own name stands for it in code too.
    return {"name": queue_name_in(dead), "queue_name": queue_name_in(dead), "queue_url": dead}


def _task(task: RegisteredTask, queue: GenericQueue) -> dict[str, Any]:
    settings = task.settings
    return {
        "name": settings.name,
        "aliases": list(settings.aliases),
        "timeout_seconds": settings.timeout,
        "max_attempts": settings.max_attempts,
        "max_age_seconds": settings.max_age,
        "total_backoff_seconds": _total_backoff_seconds(task, queue),
        "enqueues": None if settings.enqueues is None else list(settings.enqueues),
        **({"fair": True} if settings.fair_by else {}),
        # A copy in the queue of the function that sends it counts as a round of a loop (S36).
        **({"postpones": True} if not queue.fifo and _postpones(task, queue) else {}),
        **({"schedules": [_schedule(one) for one in task.schedules.values()]} if task.schedules else {}),
    }


def _postpones(task: RegisteredTask, queue: GenericQueue) -> bool:
    waits = any(one.schedule.overlap == "queue" for one in task.schedules.values())
    return task.settings.postpones or bool(queue.settings.readers) or waits


def _schedule(registered: RegisteredSchedule) -> dict[str, Any]:
    schedule = registered.schedule
    return {
        "name": registered.name,
        "expression": schedule.expression.expression,
        "timezone": schedule.expression.timezone,
        "enabled": schedule.enabled,
        "start": None if schedule.start is None else schedule.start.isoformat(),
        "end": None if schedule.end is None else schedule.end.isoformat(),
        "flexible_minutes": schedule.flexible_minutes,
        "late_seconds": schedule.late_seconds,
        "overlap": schedule.overlap,
        "period_seconds": schedule.expression.period_seconds(),
        "request": registered.request(),
    }


def _total_backoff_seconds(task: RegisteredTask, queue: GenericQueue) -> int | None:
    """What the waits between all attempts add up to at most; None when there is no telling.

    There is none for attempts without end, nor for a policy that is not one of ours: it may ask the clock or a dice.
    """
    policy, attempts = task.settings.backoff_policy or queue.backoff_policy, task.settings.max_attempts
    if attempts is None:
        return None
    failed = range(1, attempts)
    if type(policy) is ExponentialBackoff:
        calm, most = replace(policy, jitter=0), policy.max_visibility_timeout
        waits = [min(calm.delay_seconds(attempt) * (1 + policy.jitter), most) for attempt in failed]
    elif type(policy) in {ConstantBackoff, LinearBackoff, TableBackoff}:
        waits = [policy.delay_seconds(attempt) or 0 for attempt in failed]
    else:
        return None
    # As SQS is given them: whole seconds, and none that is shorter than one.
    return max(ceil(sum(waits)), sum(map(clamp_visibility, waits)))
