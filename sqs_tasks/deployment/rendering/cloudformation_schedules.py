"""Schedules in a CloudFormation template."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sqs_tasks.deployment.iam_policy import KEY_ACTIONS
from sqs_tasks.deployment.rendering.cloudformation_queues import locked_queue
from sqs_tasks.deployment.rendering.cloudformation_values import attribute, document, function_of, trust, value
from sqs_tasks.deployment.rendering.ids import camel, ids
from sqs_tasks.deployment.rendering.parts import Parts
from sqs_tasks.deployment.rendering.placeholders import Words
from sqs_tasks.deployment.rendering.yaml_text import Entry
from sqs_tasks.scheduling.eventbridge import MAX_RETRY_ATTEMPTS


def schedule_entries(parts: Parts, words: Words, *, now: datetime) -> Iterator[Entry]:
    """The schedules with their group, their role, and the queue for what could not be sent."""
    from sqs_tasks_cdk.defaults import DEAD_LETTER_RETENTION_SECONDS

    key = parts.kms_key_arn
    yield Entry(
        id="ScheduleGroup",
        body={"Type": "AWS::Scheduler::ScheduleGroup"},
        comment="The schedules of tasks: their group, the queue for what could not be sent, the role they send with.",
    )
    yield from locked_queue("Undelivered", {"MessageRetentionPeriod": DEAD_LETTER_RETENTION_SECONDS}, kms_key_arn=key)
    targets = [attribute("UndeliveredQueue", "Arn"), *(value(words, arn) for arn in parts.schedule_targets)]
    sending: list[Mapping[str, Any]] = [
        {"Sid": "SendRuns", "Effect": "Allow", "Action": ["sqs:SendMessage"], "Resource": targets}
    ]
    if key is not None:
        actions = list(KEY_ACTIONS["scheduler"])
        sending.append({"Sid": "UseTheKey", "Effect": "Allow", "Action": actions, "Resource": [key]})
    group = {"aws:SourceAccount": {"Ref": "AWS::AccountId"}, "aws:SourceArn": attribute("ScheduleGroup", "Arn")}
    yield Entry(
        id="ScheduleSenderRole",
        body={
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": trust("scheduler.amazonaws.com", {"StringEquals": group}),
                "Policies": [{"PolicyName": "Schedules", "PolicyDocument": document(sending)}],
            },
        },
    )
    made = ids([one["name"] for one in parts.schedules], camel, what="schedules")
    for schedule in parts.schedules:
        request = _input(schedule, words, url=parts.queue_urls[schedule["queue"]])
        yield Entry(id=f"{made[schedule['name']]}Schedule", body=_schedule(schedule, request=request, now=now))


def _schedule(schedule: Mapping[str, Any], *, request: Any, now: datetime) -> dict[str, Any]:
    from sqs_tasks_cdk.manifest_schedules import start_date, utc

    start = start_date(
        start=schedule["start"],
        expression=schedule["expression"],
        period_seconds=schedule["period_seconds"],
        now=now,
    )
    flexible = schedule["flexible_minutes"]
    window = {"Mode": "OFF"} if flexible is None else {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": flexible}
    return {
        "Type": "AWS::Scheduler::Schedule",
        "Properties": {
            "Name": schedule["name"],
            "GroupName": {"Ref": "ScheduleGroup"},
            "Description": f"Adds jobs to queue {schedule['queue']}",
            "State": "ENABLED" if schedule["enabled"] else "DISABLED",
            "ScheduleExpression": schedule["expression"],
            "ScheduleExpressionTimezone": schedule["timezone"],
            **({} if start is None else {"StartDate": start}),
            **({} if schedule["end"] is None else {"EndDate": utc(schedule["end"])}),
            "FlexibleTimeWindow": window,
            "Target": {
                "Arn": {"Fn::Sub": "arn:${AWS::Partition}:scheduler:::aws-sdk:sqs:sendMessage"},
                "RoleArn": attribute("ScheduleSenderRole", "Arn"),
                "Input": request,
                "RetryPolicy": {
                    "MaximumEventAgeInSeconds": schedule["maximum_event_age_seconds"],
                    "MaximumRetryAttempts": MAX_RETRY_ATTEMPTS,
                },
                "DeadLetterConfig": {"Arn": attribute("UndeliveredQueue", "Arn")},
            },
        },
    }


def _input(schedule: Mapping[str, Any], words: Words, *, url: str) -> Any:
    """The request that is sent. What the application wrote is no placeholder, whatever it looks like."""
    request = words.escape(json.dumps(schedule["request"], separators=(",", ":")))
    return function_of(f'{{"QueueUrl":{words.fill(json.dumps(url))},{request[1:]}')
