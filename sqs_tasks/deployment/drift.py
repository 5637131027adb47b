"""Differences between the registry and what is deployed: queues, dead-letter queues, mappings and functions.

It finds a timeout that was changed in the console, and a deploy that was forgotten. Nothing is changed.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sqs_tasks import limits
from sqs_tasks.app_path import APP_VARIABLE
from sqs_tasks.client import error_code, is_queue_missing
from sqs_tasks.deployment.deployed_stacks import DeployedStacks
from sqs_tasks.deployment.difference import Difference
from sqs_tasks.deployment.schedule_drift import queues_of_schedules, schedule_differences
from sqs_tasks.protocols import SQSClient
from sqs_tasks.scheduling.eventbridge import SchedulerClient

#: What the mapping must say, or Lambda ignores the answer and deletes failed messages with the others (S9).
PARTIAL_FAILURES: Final = "ReportBatchItemFailures"

#: Where the stack leaves which tasks it was made for; see :func:`tasks_hash`.
TASKS_VARIABLE: Final = "SQS_TASKS_TASKS_HASH"


class LambdaClient(Protocol):
    """What is asked of Lambda."""

    def list_event_source_mappings(self, **kwargs: Any) -> Any:
        """The mappings of a queue, a page of them."""

    def get_function_configuration(self, **kwargs: Any) -> Any:
        """A function's settings."""


def differences(
    manifest: Mapping[str, Any],
    *,
    sqs: SQSClient,
    lambda_client: LambdaClient,
    stacks: DeployedStacks | None = None,
    scheduler: SchedulerClient | None = None,
) -> list[Difference]:
    """Compare a registry with what is deployed.

    Args:
        manifest: What ``env.manifest()`` returned.
        sqs: A client of SQS.
        lambda_client: A client of Lambda.
        stacks: Stacks in which to find queues that are no longer registered, and functions whose code is
            not the one that was deployed.
        scheduler: A client of EventBridge Scheduler, for the schedules of the stacks.
    """
    aws = _Aws(sqs=sqs, lambda_client=lambda_client, stacks=stacks)
    found: list[Difference] = []
    for queue in manifest["queues"]:
        found.extend(_of_queue(queue, app=manifest["app"], aws=aws))
    if stacks is not None:
        ours = set() if scheduler is None else queues_of_schedules(scheduler, stacks)
        found.extend(_unregistered(manifest, stacks, ours))
        if scheduler is not None:
            found.extend(schedule_differences(manifest, scheduler=scheduler, stacks=stacks))
    return found


def tasks_hash(tasks: Sequence[Mapping[str, Any]]) -> str:
    """Which tasks a worker must know: a hash of their names and aliases, as ``sqs_tasks_cdk`` makes it too."""
    names = sorted([task["name"], *sorted(task["aliases"])] for task in tasks)
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Aws:
    """Where the answers come from."""

    sqs: SQSClient
    lambda_client: LambdaClient
    stacks: DeployedStacks | None


def _of_queue(queue: Mapping[str, Any], *, app: str | None, aws: _Aws) -> Iterator[Difference]:
    name = queue["queue_name"]
    resource = f"queue {name}"
    deployed = _attributes(aws.sqs, queue)
    if deployed is None:
        yield Difference(resource=resource, field="exists", registered=True, deployed=False)
        return
    expected = {
        "DelaySeconds": queue["delay_seconds"],
        "MessageRetentionPeriod": queue["message_retention_seconds"],
        "VisibilityTimeout": queue["visibility_timeout_seconds"],
    }
    for field, value in expected.items():
        if value is not None and int(deployed.get(field, -1)) != value:
            yield Difference(resource=resource, field=field, registered=value, deployed=int(deployed.get(field, -1)))
    if queue["fifo"]:
        content_based = deployed.get("ContentBasedDeduplication") == "true"
        if content_based != queue["content_based_deduplication"]:
            yield Difference(
                resource=resource,
                field="ContentBasedDeduplication",
                registered=queue["content_based_deduplication"],
                deployed=content_based,
            )
    yield from _of_redrive(queue, deployed, aws.sqs)
    if queue["runs_on"] == "lambda" and queue["tasks"]:
        yield from _of_mappings(queue, deployed, app=app, aws=aws)


def _of_redrive(queue: Mapping[str, Any], deployed: Mapping[str, str], sqs: SQSClient) -> Iterator[Difference]:
    resource = f"queue {queue['queue_name']}"
    policy = json.loads(deployed.get("RedrivePolicy") or "{}")
    dead = queue["dead_letter_queue"]
    registered = None if dead is None else dead["queue_name"]
    target = policy.get("deadLetterTargetArn")
    actual = None if target is None else target.rpartition(":")[2]
    if actual != registered:
        yield Difference(
            resource=resource, field="RedrivePolicy.deadLetterTargetArn", registered=registered, deployed=actual
        )
    if dead is None:
        return
    receives = None if target is None else int(policy["maxReceiveCount"])
    if receives != queue["max_receive_count"]:
        yield Difference(
            resource=resource,
            field="RedrivePolicy.maxReceiveCount",
            registered=queue["max_receive_count"],
            deployed=receives,
        )
    attributes = _attributes(sqs, dead)
    if attributes is None:
        yield Difference(resource=f"queue {dead['queue_name']}", field="exists", registered=True, deployed=False)
        return
    retention = int(attributes["MessageRetentionPeriod"])
    # A message's age counts from its first send, so a dead-letter queue that keeps less could drop it on arrival (S44).
    if retention < queue["message_retention_seconds"]:
        yield Difference(
            resource=f"queue {dead['queue_name']}",
            field="MessageRetentionPeriod",
            registered=f"at least {queue['message_retention_seconds']}",
            deployed=retention,
        )


def _of_mappings(
    queue: Mapping[str, Any], deployed: Mapping[str, str], *, app: str | None, aws: _Aws
) -> Iterator[Difference]:
    name = queue["queue_name"]
    mappings = list(_pages(aws.lambda_client.list_event_source_mappings, "EventSourceMappings", deployed["QueueArn"]))
    if not mappings:
        yield Difference(resource=f"queue {name}", field="EventSourceMapping", registered=True, deployed=False)
    for mapping in mappings:
        resource = f"mapping of {name}"
        types = mapping.get("FunctionResponseTypes") or []
        if PARTIAL_FAILURES not in types:
            yield Difference(
                resource=resource, field="FunctionResponseTypes", registered=[PARTIAL_FAILURES], deployed=list(types)
            )
        state = mapping.get("State", "Enabled")
        if state not in {"Enabled", "Enabling", "Creating", "Updating"}:
            yield Difference(resource=resource, field="State", registered="Enabled", deployed=state)
        yield from _of_function(queue, deployed, mapping, app=app, aws=aws)


def _of_function(
    queue: Mapping[str, Any],
    deployed: Mapping[str, str],
    mapping: Mapping[str, Any],
    *,
    app: str | None,
    aws: _Aws,
) -> Iterator[Difference]:
    arn = mapping["FunctionArn"]
    function = _configuration(aws.lambda_client, arn)
    if function is None:
        yield Difference(resource=f"function {arn.split(':', 6)[-1]}", field="exists", registered=True, deployed=False)
        return
    resource = f"function {function['FunctionName']}"
    variables = function.get("Environment", {}).get("Variables", {})
    if app is not None and variables.get(APP_VARIABLE) != app:
        yield Difference(resource=resource, field=APP_VARIABLE, registered=app, deployed=variables.get(APP_VARIABLE))
    yield from _of_tasks(queue, resource, variables)
    timeout, visibility = int(function["Timeout"]), int(deployed["VisibilityTimeout"])
    slowest = max((math.ceil(task["timeout_seconds"] or 0) for task in queue["tasks"]), default=0)
    if timeout <= slowest:
        yield Difference(
            resource=resource, field="Timeout", registered=f"more than {slowest} (its slowest task)", deployed=timeout
        )
    window = int(mapping.get("MaximumBatchingWindowInSeconds") or 0)
    # Raising a function's timeout afterwards is not checked by Lambda (S18); one set by hand need only hold one run.
    by_hand = queue["visibility_timeout_seconds"] is not None
    least = timeout if by_hand else limits.VISIBILITY_FACTOR * timeout + window
    if visibility < least:
        reason = "the function timeout" if by_hand else f"{limits.VISIBILITY_FACTOR} x {timeout} + {window}"
        yield Difference(
            resource=f"queue {queue['queue_name']}",
            field="VisibilityTimeout",
            registered=f"at least {least} ({reason})",
            deployed=visibility,
        )
    yield from _of_code(resource, arn, function, aws)


def _of_tasks(queue: Mapping[str, Any], resource: str, variables: Mapping[str, str]) -> Iterator[Difference]:
    """The tasks that the function was deployed for; a job of another one is unknown there."""
    registered = tasks_hash(queue["tasks"])
    if variables.get(TASKS_VARIABLE, registered) != registered:
        names = ", ".join(task["name"] for task in queue["tasks"])
        yield Difference(
            resource=resource, field="tasks", registered=names, deployed="others; this registry is not deployed"
        )


#: Colons in the ARN of an alias or a version; a function's own has one less.
_QUALIFIED_COLONS: Final = 7


def _of_code(resource: str, arn: str, function: Mapping[str, Any], aws: _Aws) -> Iterator[Difference]:
    """The function's code against what its stack deployed, and the code behind an alias against the newest."""
    deployed = function.get("CodeSha256")
    bundle = None if aws.stacks is None else aws.stacks.code_sha256(arn)
    if bundle is not None and deployed != bundle:
        yield Difference(resource=resource, field="CodeSha256", registered=bundle, deployed=deployed)
    if arn.count(":") != _QUALIFIED_COLONS:
        return
    unqualified, _, qualifier = arn.rpartition(":")
    latest = (_configuration(aws.lambda_client, unqualified) or {}).get("CodeSha256")
    if deployed != latest:
        yield Difference(resource=resource, field=f"code of {qualifier}", registered=latest, deployed=deployed)


def _configuration(lambda_client: LambdaClient, arn: str) -> Mapping[str, Any] | None:
    """A function's settings, or None when there is no such function."""
    try:
        return dict(lambda_client.get_function_configuration(FunctionName=arn))
    except Exception as error:
        if error_code(error) == "ResourceNotFoundException":
            return None
        raise


def _unregistered(manifest: Mapping[str, Any], stacks: DeployedStacks, ours: set[str]) -> Iterator[Difference]:
    """The queues of the stacks that are not in the registry; ``ours`` are known to belong to something else of it."""
    registered = ours | {queue["queue_name"] for queue in manifest["queues"]}
    registered |= {
        queue["dead_letter_queue"]["queue_name"]
        for queue in manifest["queues"]
        if queue["dead_letter_queue"] is not None
    }
    for resource in stacks.resources("AWS::SQS::Queue"):
        name = resource.physical_id.rpartition("/")[2]
        if name not in registered:
            yield Difference(resource=f"queue {name}", field="exists", registered=False, deployed=True)


def _attributes(sqs: SQSClient, queue: Mapping[str, Any]) -> dict[str, str] | None:
    """All attributes of a queue or dead-letter queue of the manifest, or None when there is no such queue."""
    try:
        url = queue.get("queue_url") or sqs.get_queue_url(QueueName=queue["queue_name"])["QueueUrl"]
        return dict(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"])
    except Exception as error:
        if is_queue_missing(error):
            return None
        raise


def _pages(call: Any, field: str, arn: str) -> Iterator[Mapping[str, Any]]:
    marker: dict[str, str] = {}
    while True:
        page = call(EventSourceArn=arn, **marker)
        yield from page[field]
        if not page.get("NextMarker"):
            return
        marker = {"Marker": page["NextMarker"]}
