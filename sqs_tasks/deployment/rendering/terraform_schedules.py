"""Schedules in a configuration of Terraform."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqs_tasks.deployment.iam_policy import KEY_ACTIONS
from sqs_tasks.deployment.rendering.ids import ids, snake
from sqs_tasks.deployment.rendering.parts import Parts
from sqs_tasks.deployment.rendering.terraform_blocks import NAMES, Blocks, document_of, prefix, statement_of, trust
from sqs_tasks.scheduling.eventbridge import MAX_RETRY_ATTEMPTS


def add_schedules(blocks: Blocks, parts: Parts, *, now: datetime) -> None:
    """Add the schedules with their group, their role, and the queue for what could not be sent."""
    from sqs_tasks_cdk.defaults import DEAD_LETTER_RETENTION_SECONDS

    blocks.add(
        "aws_scheduler_schedule_group",
        "tasks",
        {"name_prefix": prefix(f"{parts.queue_prefix}tasks")},
        "The schedules of tasks: their group, the queue for what could not be sent, the role they send with.",
    )
    blocks.add_locked_queue(
        "undelivered_schedules",
        {
            "name_prefix": prefix(f"{parts.queue_prefix}undelivered"),
            "message_retention_seconds": DEAD_LETTER_RETENTION_SECONDS,
        },
    )
    blocks.documents["schedules_trust"] = trust(
        "scheduler.amazonaws.com",
        {"test": "StringEquals", "variable": "aws:SourceAccount", "values": [NAMES["account"]]},
        {
            "test": "StringEquals",
            "variable": "aws:SourceArn",
            "values": ["${aws_scheduler_schedule_group.tasks.arn}"],
        },
    )
    targets = ["${aws_sqs_queue.undelivered_schedules.arn}", *map(blocks.words.fill, parts.schedule_targets)]
    sending = [statement_of({"Sid": "SendRuns", "Action": ["sqs:SendMessage"], "Resource": targets})]
    if parts.kms_key_arn is not None:
        key = {"Sid": "UseTheKey", "Action": KEY_ACTIONS["scheduler"], "Resource": [parts.kms_key_arn]}
        sending.append(statement_of(key))
    blocks.documents["schedules_send"] = {"statement": sending}
    blocks.add(
        "aws_iam_role",
        "schedule_sender",
        {
            "name_prefix": prefix(f"{parts.queue_prefix}schedules"),
            "assume_role_policy": document_of("schedules_trust"),
        },
    )
    blocks.add(
        "aws_iam_role_policy",
        "schedule_sender",
        {
            "name": "Schedules",
            "role": "${aws_iam_role.schedule_sender.id}",
            "policy": document_of("schedules_send"),
        },
    )
    made = ids([one["name"] for one in parts.schedules], snake, what="schedules")
    for schedule in parts.schedules:
        request = _input(blocks, schedule, url=parts.queue_urls[schedule["queue"]])
        blocks.add("aws_scheduler_schedule", made[schedule["name"]], _schedule(schedule, request=request, now=now))
    blocks.outputs["schedule_group_name"] = {
        "description": "For sqs-tasks schedules --group",
        "value": "${aws_scheduler_schedule_group.tasks.name}",
    }


def _schedule(schedule: Mapping[str, Any], *, request: str, now: datetime) -> dict[str, Any]:
    from sqs_tasks_cdk.manifest_schedules import start_date, utc

    start = start_date(
        start=schedule["start"],
        expression=schedule["expression"],
        period_seconds=schedule["period_seconds"],
        now=now,
    )
    flexible = schedule["flexible_minutes"]
    window = {"mode": "OFF"} if flexible is None else {"mode": "FLEXIBLE", "maximum_window_in_minutes": flexible}
    return {
        "name": schedule["name"],
        "group_name": "${aws_scheduler_schedule_group.tasks.name}",
        "description": f"Adds jobs to queue {schedule['queue']}",
        "state": "ENABLED" if schedule["enabled"] else "DISABLED",
        "schedule_expression": schedule["expression"],
        "schedule_expression_timezone": schedule["timezone"],
        **({} if start is None else {"start_date": start}),
        **({} if schedule["end"] is None else {"end_date": utc(schedule["end"])}),
        "flexible_time_window": window,
        "target": {
            "arn": f"arn:{NAMES['partition']}:scheduler:::aws-sdk:sqs:sendMessage",
            "role_arn": "${aws_iam_role.schedule_sender.arn}",
            "input": request,
            "retry_policy": {
                "maximum_event_age_in_seconds": schedule["maximum_event_age_seconds"],
                "maximum_retry_attempts": MAX_RETRY_ATTEMPTS,
            },
            "dead_letter_config": {"arn": "${aws_sqs_queue.undelivered_schedules.arn}"},
        },
        # A rate without a start runs as soon as it is made: the right must be there first.
        "depends_on": ["aws_iam_role_policy.schedule_sender"],
    }


def _input(blocks: Blocks, schedule: Mapping[str, Any], *, url: str) -> str:
    """The request that is sent. What the application wrote is no placeholder, whatever it looks like."""
    request = blocks.words.escape(json.dumps(schedule["request"], separators=(",", ":")))
    return f'{{"QueueUrl":{blocks.words.fill(json.dumps(url))},{request[1:]}'
