"""Rules R1 to R9 over a template (``docs/rules.md``).

The arithmetic is that of :mod:`sqs_tasks_cdk.rules`, which the constructs use; here it is asked in CloudFormation's
words. What a template leaves open passes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from sqs_tasks_cdk import limits, rules
from sqs_tasks_cdk.errors import RuleError
from sqs_tasks_cdk.template_rules import values
from sqs_tasks_cdk.template_rules.finding import Finding, Severity
from sqs_tasks_cdk.template_rules.rights import missing_actions
from sqs_tasks_cdk.template_rules.template import EventSource, Function, Queue, Template

#: What Lambda does on a queue in the function's name, and tries when the mapping is made.
_POLLING: Final = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")

#: The constructs' words in the texts of rules, and CloudFormation's.
_WORDS: Final = {
    "max_batching_window=Duration.seconds(1)": "MaximumBatchingWindowInSeconds: 1",
    "batch_size=": "BatchSize: ",
    "max_batching_window": "MaximumBatchingWindowInSeconds",
    "batch_size": "BatchSize",
    "max_concurrency": "ScalingConfig.MaximumConcurrency",
    "provisioned_pollers": "ProvisionedPollerConfig",
    "reserved_concurrent_executions": "ReservedConcurrentExecutions",
    "retention_period": "MessageRetentionPeriod",
    " with concurrency=1": " that runs one job at a time",
}


def check(document: Mapping[str, Any]) -> list[Finding]:
    """What the rules say of a template: errors first, each in the order of the template.

    Args:
        document: The template as plain data; short forms of functions (``!Ref``) in their long form.
    """
    template = Template(document)
    found = [
        *(one for queue in template.queues.values() for one in _of_queue(template, queue)),
        *(one for function in template.functions.values() for one in _of_function(template, function)),
        *(one for source in template.event_sources() for one in _of_event_source(template, source)),
    ]
    return sorted(found, key=lambda one: one.severity != "error")


def _of_queue(template: Template, queue: Queue) -> Iterator[Finding]:
    visibility, name = queue.visibility_seconds, queue.name
    if visibility is not None and not 0 <= visibility <= limits.MAX_VISIBILITY_SECONDS:
        yield _error(
            "R2-range",
            queue.id,
            f"VisibilityTimeout is {visibility} s; SQS allows 0 to {limits.MAX_VISIBILITY_SECONDS} s",
        )
    if name is not None and len(name) > limits.MAX_QUEUE_NAME_CHARS:
        yield _error(
            "R7-queue-name",
            queue.id,
            f"QueueName has {len(name)} characters; SQS allows {limits.MAX_QUEUE_NAME_CHARS}, '.fifo' included; "
            "shorten it",
        )
    if (
        name is not None
        and values.flag(queue.properties, "FifoQueue") is not None
        and queue.fifo != name.endswith(".fifo")
    ):
        kind, must = ("FIFO", "must") if queue.fifo else ("standard", "must not")
        yield _error("R7-fifo-name", queue.id, f"QueueName {name!r} {must} end with '.fifo' for a {kind} queue")
    yield from _of_redrive(template, queue)
    sources = (values.mapping(queue.properties, "RedriveAllowPolicy") or {}).get("sourceQueueArns")
    if isinstance(sources, list) and len(sources) > limits.MAX_REDRIVE_SOURCES:
        yield _error(
            "R8-sources",
            queue.id,
            f"RedriveAllowPolicy names {len(sources)} queues; SQS allows {limits.MAX_REDRIVE_SOURCES}; use "
            "redrivePermission: allowAll, or a dead-letter queue for each few queues",
        )


def _of_redrive(template: Template, queue: Queue) -> Iterator[Finding]:
    redrive = queue.redrive
    if redrive is None:
        return
    receives = values.number(redrive, "maxReceiveCount")
    if receives is not None and not 1 <= receives <= limits.MAX_RECEIVE_COUNT:
        yield _error(
            "R3-receives", queue.id, f"maxReceiveCount is {receives}; SQS allows 1 to {limits.MAX_RECEIVE_COUNT}"
        )
    dead = template.queue(redrive.get("deadLetterTargetArn"))
    if dead is None:
        return
    kinds = [values.flag(one.properties, "FifoQueue") for one in (queue, dead)]
    if None not in kinds and kinds[0] != kinds[1]:
        yield _error(
            "R3-dead-letter-type",
            queue.id,
            f"the queue is a {_kind(queue)} queue and its dead-letter queue {dead.id} a {_kind(dead)} queue; SQS needs "
            "both of one type",
        )
    kept, kept_dead = queue.retention_seconds, dead.retention_seconds
    if not queue.fifo and kept is not None and kept_dead is not None:
        yield from _asked(
            "R3-dead-letter-retention",
            queue.id,
            lambda: rules.check_dead_letter_retention(
                queue=queue.id, dead_letter_queue=dead.id, source_seconds=kept, dead_letter_seconds=kept_dead
            ),
        )
    if _is_refused(template, dead, queue):
        yield _error(
            "R8-not-admitted",
            queue.id,
            f"the RedriveAllowPolicy of dead-letter queue {dead.id} does not admit this queue, so SQS would refuse it; "
            "add its ARN to sourceQueueArns",
        )


def _is_refused(template: Template, dead: Queue, source: Queue) -> bool:
    policy = values.mapping(dead.properties, "RedriveAllowPolicy") or {}
    permission, arns = policy.get("redrivePermission"), policy.get("sourceQueueArns")
    if permission == "denyAll":
        return True
    if permission != "byQueue" or not isinstance(arns, list):
        return False
    known = [template.queue(arn) for arn in arns]
    names = [values.last_part(arn) for arn in arns]
    return source not in known and all(
        one is not None or (name is not None and source.name is not None)
        for one, name in zip(known, names, strict=True)
    )


def _of_function(template: Template, function: Function) -> Iterator[Finding]:
    name = values.text(function.properties, "FunctionName")
    if name is not None and not name.startswith("arn:") and len(name) > limits.MAX_FUNCTION_NAME_CHARS:
        yield _error(
            "R7-function-name",
            function.id,
            f"FunctionName has {len(name)} characters; Lambda allows {limits.MAX_FUNCTION_NAME_CHARS}; shorten it",
        )
    seconds = function.timeout_seconds
    is_managed = values.is_given(function.properties, "CapacityProviderConfig")
    most = limits.MAX_MANAGED_FUNCTION_SECONDS if is_managed else limits.MAX_EXTENDED_FUNCTION_SECONDS
    if seconds is not None and not 1 <= seconds <= most:
        yield _error("R1-timeout", function.id, f"Timeout is {seconds} s; a Lambda function runs for 1 to {most} s")
    sources = [one for one in template.event_sources() if one.function is function]
    if not sources:
        return
    if not values.is_given(function.properties, "Timeout"):
        yield _warning(
            "R1-default-timeout",
            function.id,
            "Timeout is left out, which is 3 s for a whole batch of messages; set it to what a batch takes at most",
        )
    reserved = values.number(function.properties, "ReservedConcurrentExecutions")
    if reserved is not None:
        yield from _of_reserved(function, sources, reserved)


def _of_reserved(function: Function, sources: list[EventSource], reserved: int) -> Iterator[Finding]:
    labels = [one.queue_label for one in sources]
    yield from _asked(
        "R4-reserved",
        function.id,
        lambda: rules.check_reserved(queues=labels, maxima=[one.max_concurrency for one in sources], reserved=reserved),
    )
    for source in sources:
        bounds = ("ScalingConfig", "ProvisionedPollerConfig")
        if not source.is_fifo and not any(values.is_given(source.properties, name) for name in bounds):
            yield _warning(
                "R4-throttled",
                function.id,
                f"ReservedConcurrentExecutions is {reserved} and the mapping from queue {source.queue_label} has no "
                "ScalingConfig.MaximumConcurrency; Lambda receives more than that, and each throttled batch is a "
                "delivery of messages that did not run; set MaximumConcurrency to that number or less",
            )


def _of_event_source(template: Template, source: EventSource) -> Iterator[Finding]:
    yield from _of_batches(source)
    responses = source.properties.get("FunctionResponseTypes")
    if not values.is_function(responses) and "ReportBatchItemFailures" not in (responses or ()):
        is_ours = source.function is not None and source.function.is_ours
        yield (_error if is_ours else _warning)(
            "R4-partial-responses",
            source.id,
            "FunctionResponseTypes is without ReportBatchItemFailures: the answer that names the failed messages is "
            "ignored, and Lambda deletes them; add it"
            if is_ours
            else "FunctionResponseTypes is without ReportBatchItemFailures, so that one failure takes the whole batch "
            "back; add it, and answer the failures",
        )
    if values.is_import(source.properties.get("EventSourceArn")) or values.is_import(source.properties.get("Queue")):
        yield _warning(
            "R9-export",
            source.id,
            "the queue is an export of another stack, and CloudFormation changes nothing that is exported and in use; "
            "put the ARN together from the queue's name, or pass it by a parameter",
        )
    if source.queue is not None:
        yield from _of_polled_queue(template, source, source.queue)


def _of_batches(source: EventSource) -> Iterator[Finding]:
    properties = source.properties
    size = values.number(properties, "BatchSize", default=10)
    window = source.window_seconds
    pollers = values.mapping(properties, "ProvisionedPollerConfig")
    function = source.function
    if size is not None and window is not None:
        yield from _asked(
            "R4-mapping",
            source.id,
            lambda: rules.check_mapping(
                queue=source.queue_label,
                fifo=source.is_fifo,
                batch_size=size,
                window_seconds=window,
                max_concurrency=source.max_concurrency,
                provisioned_pollers=pollers is not None,
                reserved_concurrency=None
                if function is None
                else values.number(function.properties, "ReservedConcurrentExecutions"),
            ),
        )
    if pollers is not None:
        minimum = values.number(pollers, "MinimumPollers", default=limits.MIN_POLLERS)
        maximum = values.number(pollers, "MaximumPollers", default=limits.MAX_MINIMUM_POLLERS)
        if minimum is not None and maximum is not None:
            yield from _asked(
                "R4-pollers",
                source.id,
                lambda: rules.check_pollers(queue=source.queue_label, minimum=minimum, maximum=maximum),
            )


def _of_polled_queue(template: Template, source: EventSource, queue: Queue) -> Iterator[Finding]:
    if not values.is_given(queue.properties, "RedrivePolicy"):
        yield _warning(
            "R3-no-dead-letter-queue",
            queue.id,
            "there is no RedrivePolicy, so a message that always fails comes back until it expires; add a dead-letter "
            "queue",
        )
    receives = values.number(queue.redrive or {}, "maxReceiveCount")
    if receives is not None and 1 <= receives < limits.MIN_LAMBDA_RECEIVE_COUNT:
        yield _warning(
            "R3-few-receives",
            queue.id,
            f"maxReceiveCount is {receives}, and a throttled batch is a delivery too; Lambda's documentation asks for "
            f"{limits.MIN_LAMBDA_RECEIVE_COUNT} or more",
        )
    function = source.function
    if function is None:
        return
    yield from _of_visibility(source, queue, function)
    missing = missing_actions(template, function, queue, _POLLING)
    if missing:
        yield _error(
            "R5-rights",
            function.id,
            f"its role lacks {', '.join(missing)} on queue {queue.id}, so Lambda would refuse the mapping; add them",
        )
    elif function.properties.get("RecursiveLoop") == "Allow" and missing_actions(
        template, function, queue, ("sqs:SendMessage",)
    ):
        yield _warning(
            "R6-loop",
            function.id,
            f"RecursiveLoop is Allow, but its role may send nothing to queue {queue.id}; a loop could only be a "
            "mistake, which Lambda would otherwise stop after 16 rounds; leave it out",
        )


def _of_visibility(source: EventSource, queue: Queue, function: Function) -> Iterator[Finding]:
    visibility, seconds, window = queue.visibility_seconds, function.timeout_seconds, source.window_seconds
    if visibility is None or seconds is None:
        return
    wanted = rules.VISIBILITY_FACTOR * seconds + (window or 0)
    is_default = not values.is_given(queue.properties, "VisibilityTimeout")
    of_queue = f"VisibilityTimeout is {'left out, which is ' if is_default else ''}{visibility} s"
    if visibility < seconds:
        yield _error(
            "R2-visibility",
            queue.id,
            f"{of_queue}, but function {function.id} may take {seconds} s and SQS would deliver messages again "
            f"meanwhile; set it to {wanted}",
        )
    elif visibility < wanted:
        yield _warning(
            "R2-headroom",
            queue.id,
            f"{of_queue}, and function {function.id} has a Timeout of {seconds} s; {rules.VISIBILITY_FACTOR} timeouts "
            f"and the batching window ({wanted} s) leave room for throttled batches",
        )


def _asked(finding_id: str, resource: str, ask: Callable[[], None]) -> Iterator[Finding]:
    """What a rule of the constructs says, in CloudFormation's words."""
    try:
        ask()
    except RuleError as error:
        text = re.sub(r" \[R\d\]$", "", str(error))
        for ours, theirs in _WORDS.items():
            text = text.replace(ours, theirs)
        yield _error(finding_id, resource, text)


def _error(finding_id: str, resource: str, text: str) -> Finding:
    return _finding(finding_id, "error", resource, text)


def _warning(finding_id: str, resource: str, text: str) -> Finding:
    return _finding(finding_id, "warning", resource, text)


def _finding(finding_id: str, severity: Severity, resource: str, text: str) -> Finding:
    return Finding(id=finding_id, severity=severity, resource=resource, text=text)


def _kind(queue: Queue) -> str:
    return "FIFO" if queue.fifo else "standard"
