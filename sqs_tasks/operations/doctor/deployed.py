"""Mappings, functions, schedules and what is left of earlier registrations, as the comparison finds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqs_tasks.deployment.deployed_stacks import DeployedStacks
from sqs_tasks.deployment.difference import Difference
from sqs_tasks.deployment.drift import differences
from sqs_tasks.operations.doctor.finding import Finding, Severity
from sqs_tasks.protocols import SQSClient

#: By what it is about and its field: the kind, how bad it is, why it matters, and the fix.
_EXPLAINED: Mapping[tuple[str, str], tuple[str, Severity, str, str]] = {
    ("queue", "EventSourceMapping"): (
        "mapping-missing",
        "error",
        "no function is called for its messages, so its jobs never run",
        "deploy the stack, or aws lambda create-event-source-mapping",
    ),
    ("mapping", "FunctionResponseTypes"): (
        "mapping-response-types",
        "error",
        "Lambda ignores the answer, so a failed job is deleted with the others, or all run again",
        "aws lambda update-event-source-mapping --uuid UUID --function-response-types ReportBatchItemFailures",
    ),
    ("mapping", "State"): (
        "mapping-state",
        "error",
        "no job of its queue runs",
        "aws lambda update-event-source-mapping --uuid UUID --enabled",
    ),
    ("function", "exists"): (
        "function-missing",
        "error",
        "the mapping calls a function that is not there, so no job runs",
        "deploy the stack",
    ),
    ("function", "Timeout"): (
        "function-timeout",
        "error",
        "its slowest task is cut off, and its batch runs again",
        "raise the function's timeout, or lower the task's",
    ),
    ("queue", "VisibilityTimeout"): (
        "visibility-for-function",
        "error",
        "a batch that Lambda is still working on, or trying again, is delivered once more",
        "deploy the stack, or raise VisibilityTimeout",
    ),
    ("function", "tasks"): (
        "function-old",
        "error",
        "jobs of tasks that it does not know wait, and go to the dead-letter queue at last",
        "deploy the function",
    ),
    ("function", "CodeSha256"): (
        "function-changed",
        "warning",
        "what runs is not what was deployed",
        "deploy the function",
    ),
    ("function", "SQS_TASKS_APP"): (
        "function-app",
        "error",
        "it runs the tasks of another application",
        "deploy the function, or set the variable",
    ),
}


def deployed_findings(
    manifest: Mapping[str, Any],
    *,
    sqs: SQSClient,
    lambda_client: Any,
    stacks: DeployedStacks | None,
    scheduler: Any,
) -> Iterator[Finding]:
    """What differs of mappings, functions and schedules; that of queues is found where they are looked at."""
    found = differences(
        manifest,
        sqs=sqs,
        lambda_client=lambda_client,
        stacks=stacks,
        scheduler=scheduler if stacks is not None else None,
    )
    for one in found:
        finding = _explained(one)
        if finding is not None:
            yield finding


def _explained(one: Difference) -> Finding | None:
    thing = one.resource.partition(" ")[0]
    is_visibility = one.field == "VisibilityTimeout" and str(one.registered).startswith("at least")
    known = _EXPLAINED.get((thing, one.field)) if one.field != "VisibilityTimeout" or is_visibility else None
    if known is None and thing == "queue" and one.deployed is True:
        known = ("queue-not-registered", "warning", "nobody works it any more", "remove it, or register it again")
    elif known is None and thing == "schedule":
        known = (
            "schedule-differs",
            "error",
            "its task runs at other times than the code says, with other arguments, or not at all",
            "deploy the stack, or sqs-tasks schedules apply",
        )
    elif known is None and thing == "function":
        known = ("function-differs", "warning", "what runs is not what is registered", "deploy the function")
    if known is None:
        return None
    kind, severity, why, fix = known
    what = f"{one.field} is {one.deployed!r}, and {one.registered!r} is registered"
    return Finding(kind=kind, severity=severity, subject=one.resource, what=what, why=why, fix=fix)
