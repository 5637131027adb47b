"""What a registry needs when it is deployed, in numbers and names: queues, workers, variables, rights.

It is what the CDK stack makes with nothing set by hand, as data for every other tool. Values that are known only in an
account have placeholders: ``${partition}``, ``${region}``, ``${account}`` and ``${url_suffix}``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqs_tasks.__version__ import __version__
from sqs_tasks.client import neighbour_of
from sqs_tasks.deployment.iam_policy import iam_policy
from sqs_tasks.deployment.lambda_function import QueueFunction, queue_functions
from sqs_tasks.errors import ConfigurationError

if TYPE_CHECKING:
    from sqs_tasks_cdk.manifest import Manifest, ManifestQueue
    from sqs_tasks_cdk.manifest_schedules import ManifestSchedule

#: Raised when a field changes its meaning; new fields do not raise it.
SCHEMA_VERSION: Final = 1

#: Where the JSON Schema of a plan lies.
SCHEMA_PATH: Final = Path(__file__).parent / "plan.schema.json"

#: The URL of a queue of the same account and region.
QUEUE_URL: Final = "https://sqs.${region}.${url_suffix}/${account}/"


def plan(manifest: Mapping[str, Any], *, kms_key_arn: str | None = None) -> dict[str, Any]:
    """The plan of a registry.

    Args:
        manifest: What ``env.manifest(app=...)`` returned.
        kms_key_arn: The key that the queues are encrypted with, if it is one of your own.

    Raises:
        ConfigurationError: The manifest does not say where its environment is, or the stack would refuse a queue.
    """
    from sqs_tasks_cdk.errors import StackError
    from sqs_tasks_cdk.manifest import Manifest

    if manifest.get("app") is None:
        raise ConfigurationError(
            "the manifest does not say where its environment is, so no worker could load it; write it with "
            "env.manifest(app='module:attribute')"
        )
    functions = queue_functions(manifest)
    try:
        registry = Manifest.from_dict(manifest)
        return {
            "schema_version": SCHEMA_VERSION,
            "sqs_tasks_version": __version__,
            "app": registry.app,
            "queue_prefix": registry.queue_prefix,
            "kms_key_arn": kms_key_arn,
            "queues": [_queue(registry, queue, functions.get(queue.name)) for queue in registry.queues],
            "workers": [
                _worker(registry, queue, functions.get(queue.name), manifest, kms_key_arn)
                for queue in registry.queues
                if queue.tasks
            ],
            "schedules": [one.name for queue in registry.queues for task in queue.tasks for one in task.schedules],
            "schedule_definitions": [
                _schedule(queue, one) for queue in registry.queues for task in queue.tasks for one in task.schedules
            ],
        }
    except StackError as error:
        raise ConfigurationError(str(error)) from error


def _queue(registry: Manifest, queue: ManifestQueue, function: QueueFunction | None) -> dict[str, Any]:
    from sqs_tasks_cdk import rules
    from sqs_tasks_cdk.defaults import DEAD_LETTER_RETENTION_SECONDS

    dead = queue.dead_letter_queue
    rules.check_redrive(
        queue.tasks,
        queue=queue.name,
        max_receive_count=queue.max_receive_count,
        retention_seconds=queue.message_retention_seconds,
        dead_letter=dead is not None,
    )
    slowest = rules.slowest_task_seconds(queue.tasks)
    visibility = queue.visibility_timeout_seconds
    if visibility is None and function is not None:
        visibility = function.visibility_timeout_seconds
    elif visibility is None and queue.tasks:
        visibility = rules.poller_visibility_seconds(slowest_seconds=slowest, queue=queue.name)
    listed = {one.queue_name for one in registry.queues}
    return {
        "name": queue.name,
        "queue_name": queue.queue_name,
        "queue_url": queue.queue_url,
        "fifo": queue.fifo,
        "content_based_deduplication": queue.content_based_deduplication,
        "delay_seconds": queue.delay_seconds,
        "visibility_timeout_seconds": slowest if visibility is None else visibility,
        "message_retention_seconds": queue.message_retention_seconds,
        "max_receive_count": None if dead is None else queue.max_receive_count,
        **_offload(registry, queue),
        "dead_letter_queue": None
        if dead is None
        else {
            "name": dead.name,
            "queue_name": dead.queue_name,
            "queue_url": _dead_letter_url(queue),
            "is_a_queue_of_the_registry": dead.queue_name in listed,
            "message_retention_seconds": DEAD_LETTER_RETENTION_SECONDS,
        },
    }


def _offload(registry: Manifest, queue: ManifestQueue) -> dict[str, Any]:
    """The bucket of its large bodies, and the rule that removes them; nothing where bodies stay in their messages."""
    from sqs_tasks_cdk.payload_names import bucket_name

    offload = queue.offload
    if offload is None:
        return {}
    own = bucket_name(registry.queue_prefix, account="${account}", region="${region}")
    return {
        "offload": {
            "bucket": offload.bucket or own,
            "must_be_made": offload.bucket is None,
            "prefix": offload.prefix,
            "expire_days": offload.expire_days,
        }
    }


def _dead_letter_url(queue: ManifestQueue) -> str | None:
    """Where the dead-letter queue is, if it is there already; beside its queue, unless its own URL says otherwise."""
    dead = queue.dead_letter_queue
    if dead is None or dead.queue_url is not None or queue.queue_url is None:
        return None if dead is None else dead.queue_url
    return neighbour_of(queue.queue_url, dead.queue_name)


def _schedule(queue: ManifestQueue, schedule: ManifestSchedule) -> dict[str, Any]:
    from sqs_tasks_cdk.manifest_schedules import event_age_seconds

    return {
        "name": schedule.name,
        "queue": queue.name,
        "expression": schedule.expression,
        "timezone": schedule.timezone,
        "enabled": schedule.enabled,
        "start": schedule.start,
        "end": schedule.end,
        "flexible_minutes": schedule.flexible_minutes,
        "period_seconds": schedule.period_seconds,
        "maximum_event_age_seconds": event_age_seconds(schedule),
        "request": dict(schedule.request),
    }


def _worker(
    registry: Manifest,
    queue: ManifestQueue,
    function: QueueFunction | None,
    manifest: Mapping[str, Any],
    kms_key_arn: str | None,
) -> dict[str, Any]:
    from sqs_tasks_cdk import call_graph, defaults, limits
    from sqs_tasks_cdk.environment import TASKS_VARIABLE, app_package, tasks_hash, worker_environment
    from sqs_tasks_cdk.stages import stage_variables
    from sqs_tasks_cdk.url_entries import QUEUE_URLS_VARIABLE

    app = str(registry.app)
    environment = {
        **worker_environment(app=app, service_name=app_package(app), log_level=defaults.DEFAULT_LOG_LEVEL, user=None),
        **stage_variables(registry),
        **_bucket_variable(registry, queue),
        **_table_variable(registry, queue),
        QUEUE_URLS_VARIABLE: json.dumps(dict(_urls(registry, queue)), separators=(",", ":")),
    }
    common = {
        "queue": queue.name,
        "adds_jobs_anywhere": call_graph.enqueues_anywhere(queue),
        "policy": iam_policy(
            manifest,
            role="worker",
            queues=[queue.name],
            partition="${partition}",
            region="${region}",
            account="${account}",
            kms_key_arn=kms_key_arn,
        ),
    }
    if function is not None:
        return {
            **common,
            "runs_on": "lambda",
            "handler": defaults.HANDLER,
            "timeout_seconds": function.timeout_seconds,
            "memory_mb": function.memory_mb,
            "allow_recursive_loop": function.allow_recursive_loop,
            "log_retention_days": defaults.LOG_RETENTION_DAYS,
            "event_source": {
                "batch_size": function.batch_size,
                "batching_window_seconds": 0,
                "report_batch_item_failures": True,
            },
            "environment": {**environment, TASKS_VARIABLE: tasks_hash(queue.tasks)},
        }
    return {
        **common,
        "runs_on": queue.runs_on,
        "command": ["python", "-m", "sqs_tasks", "worker", app, queue.name],
        "stop_timeout_seconds": limits.MAX_STOP_TIMEOUT_SECONDS,
        "environment": {
            **environment,
            "SQS_TASKS_CONCURRENCY": str(defaults.DEFAULT_CONCURRENCY),
            "SQS_TASKS_GRACE_SECONDS": str(limits.MAX_STOP_TIMEOUT_SECONDS - defaults.RELEASE_SECONDS),
            "SQS_TASKS_HEALTH_PORT": str(defaults.DEFAULT_HEALTH_PORT),
            "SQS_TASKS_LOG_LEVEL": defaults.DEFAULT_LOG_LEVEL.lower(),
            "SQS_TASKS_LOG_FORMAT": "json",
        },
    }


def _bucket_variable(registry: Manifest, queue: ManifestQueue) -> dict[str, str]:
    """Where a worker finds the bucket for large bodies: of its own queue, or of one that it adds jobs to."""
    from sqs_tasks_cdk import call_graph, payload_names

    named = {queue.name, *call_graph.targets(registry, queue)}
    if not any(one.offload is not None and one.offload.bucket is None for one in registry.queues if one.name in named):
        return {}
    own = payload_names.bucket_name(registry.queue_prefix, account="${account}", region="${region}")
    return {payload_names.BUCKET_VARIABLE: own}


def _table_variable(registry: Manifest, queue: ManifestQueue) -> dict[str, str]:
    """Where a worker finds the table of the store: for its own tasks, or for recorded ones that it adds jobs of."""
    from sqs_tasks_cdk import call_graph, store_names

    targets = call_graph.targets(registry, queue)
    stores = [one.store for one in registry.queues if one.store is not None and one.store.table is None]
    asked = queue.store in stores or any(
        one.store is not None and one.store.records and one.store.table is None
        for one in registry.queues
        if one.name in targets
    )
    return {store_names.TABLE_VARIABLE: store_names.table_name(registry.queue_prefix)} if asked else {}


def _urls(registry: Manifest, queue: ManifestQueue) -> Iterator[tuple[str, str]]:
    """The URLs that a worker of the queue knows: of its own queues, and of those that it adds jobs to."""
    from sqs_tasks_cdk import call_graph
    from sqs_tasks_cdk.url_entries import ANY_QUEUE, MAX_QUEUE_URLS_BYTES, entry_bytes

    anywhere = call_graph.enqueues_anywhere(queue)
    by_name = {one.name: one for one in registry.queues}
    wanted = [(queue.name, queue.queue_name, queue.queue_url)]
    if queue.dead_letter_queue is not None:
        dead = queue.dead_letter_queue
        wanted.append((dead.name, dead.queue_name, _dead_letter_url(queue)))
    for name in call_graph.targets(registry, queue):
        target = by_name[name]
        is_covered = target.queue_url is None and target.queue_name == f"{registry.queue_prefix}{target.name}"
        if not (anywhere and is_covered):
            wanted.append((name, target.queue_name, target.queue_url))
    size, told = 0, set()
    for name, queue_name, url in wanted:
        if name not in told and size + entry_bytes(name, queue_name) <= MAX_QUEUE_URLS_BYTES:
            told.add(name)
            size += entry_bytes(name, queue_name)
            yield name, url or f"{QUEUE_URL}{queue_name}"
    if anywhere:
        yield ANY_QUEUE, f"{QUEUE_URL}{registry.queue_prefix}*"
