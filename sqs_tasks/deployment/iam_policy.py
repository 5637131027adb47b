"""The least rights for a producer, a worker or an operator, as an IAM policy, for those without the CDK.

What the CDK constructs grant is the same, by the same rules (C4, R5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

from sqs_tasks.client import account_of, neighbour_of, region_of
from sqs_tasks.errors import ConfigurationError

#: Who a policy is for.
Role = Literal["producer", "worker", "redrive", "scheduler"]

#: What a producer does on a queue. The URL is looked up once, unless the environment has it.
SEND_ACTIONS = ("sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl")

#: What a worker does on its queue.
CONSUME_ACTIONS = (
    "sqs:ReceiveMessage",
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:GetQueueUrl",
)

#: What an operator does on a dead-letter queue to move its messages back.
REDRIVE_ACTIONS = (
    "sqs:StartMessageMoveTask",
    "sqs:CancelMessageMoveTask",
    "sqs:ListMessageMoveTasks",
    "sqs:ReceiveMessage",
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:GetQueueUrl",
)

#: What SQS does with a KMS key, in the name of the sender or the receiver.
KEY_ACTIONS: Mapping[Role, tuple[str, ...]] = {
    "producer": ("kms:GenerateDataKey", "kms:Decrypt"),
    "worker": ("kms:GenerateDataKey", "kms:Decrypt"),
    "redrive": ("kms:GenerateDataKey", "kms:Decrypt"),
    "scheduler": ("kms:GenerateDataKey", "kms:Decrypt"),
}

#: What a producer does in a schedule group with jobs that are due later than SQS can hold them back.
DELAY_ACTIONS = ("scheduler:CreateSchedule", "scheduler:DeleteSchedule")


def iam_policy(
    manifest: Mapping[str, Any],
    *,
    role: Role,
    queues: Sequence[str] = (),
    partition: str = "aws",
    region: str = "*",
    account: str = "*",
    kms_key_arn: str | None = None,
    schedule_group: str | None = None,
    scheduler_role_arn: str | None = None,
) -> dict[str, Any]:
    """The policy document for queues of a registry.

    A worker gets its queues, to which it also sends the copies by which jobs go on that were put off (not FIFO ones),
    their dead-letter queues to send to, and the queues that its tasks declare in
    ``enqueues``: all of the registry if one declares nothing.

    Args:
        manifest: What ``env.manifest()`` returned.
        role: Who it is for.
        queues: Names in code; all of the registry when empty.
        partition: ``aws``, ``aws-cn`` or ``aws-us-gov``.
        region: The queues' region; ``*`` for any. The URL of a queue wins over it.
        account: The queues' account; ``*`` for any. The URL of a queue wins over it.
        kms_key_arn: The key that the queues are encrypted with, if it is one of your own.
        schedule_group: For a producer or worker that sends jobs which are due later: the group that holds them.
        scheduler_role_arn: With it, the role that EventBridge Scheduler sends them with.

    Raises:
        ConfigurationError: No such queue, nothing that could be redriven, or a group without a role.
    """
    by_name = {queue["name"]: queue for queue in manifest["queues"]}
    for name in queues:
        if name not in by_name:
            raise ConfigurationError(f"no queue is named {name!r}; registered are {', '.join(map(repr, by_name))}")
    chosen = [by_name[name] for name in queues] or list(by_name.values())

    def arn(queue: Mapping[str, Any]) -> str:
        return queue_arn(
            queue["queue_name"], queue.get("queue_url"), partition=partition, region=region, account=account
        )

    statements: list[dict[str, Any]] = []

    def allow(sid: str, actions: Sequence[str], targets: Sequence[Mapping[str, Any]]) -> None:
        if targets:
            resources = list(dict.fromkeys(arn(queue) for queue in targets))
            statements.append({"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": resources})

    own = chosen
    dead = [_dead_letter_queue(queue) for queue in chosen if queue["dead_letter_queue"] is not None]
    payloads = partial(_payload_statements, manifest, partition=partition, region=region, account=account)
    stores = partial(_store_statements, manifest, partition=partition, region=region, account=account)
    if role == "producer":
        allow("AddJobs", SEND_ACTIONS, own)
        statements += [*payloads(own), *stores(own)]
    elif role == "worker":
        allow("WorkQueues", CONSUME_ACTIONS, own)
        allow("SendOn", ("sqs:SendMessage",), [queue for queue in own if not queue["fifo"]])
        targets = _targets(chosen, by_name)
        allow("SendFurther", SEND_ACTIONS, [*dead, *targets])
        statements += [*payloads(own, works=True), *payloads(targets), *stores(own, works=True), *stores(targets)]
    elif role == "scheduler":
        allow("SendRuns", ("sqs:SendMessage",), own)
    else:
        if not dead:
            raise ConfigurationError("none of these queues has a dead-letter queue, so there is nothing to redrive")
        allow("MoveDeadLetters", REDRIVE_ACTIONS, dead)
        sources = [queue for queue in chosen if queue["dead_letter_queue"] is not None]
        allow("PutThemBack", SEND_ACTIONS, sources)
    if schedule_group is not None:
        if scheduler_role_arn is None:
            raise ConfigurationError(
                f"schedule group {schedule_group!r} is given without the role that EventBridge Scheduler sends with; "
                "whoever makes a schedule must be allowed to pass it; give --scheduler-role-arn too"
            )
        group = f"arn:{partition}:scheduler:{region}:{account}:schedule/{schedule_group}/job-*"
        statements += [
            {"Sid": "HoldJobs", "Effect": "Allow", "Action": list(DELAY_ACTIONS), "Resource": [group]},
            {
                "Sid": "PassRole",
                "Effect": "Allow",
                "Action": ["iam:PassRole"],
                "Resource": [scheduler_role_arn],
                "Condition": {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}},
            },
        ]
    if kms_key_arn is not None:
        statements.append(
            {"Sid": "UseTheKey", "Effect": "Allow", "Action": list(KEY_ACTIONS[role]), "Resource": [kms_key_arn]}
        )
    return {"Version": "2012-10-17", "Statement": statements}


def queue_arn(queue_name: str, queue_url: str | None, *, partition: str, region: str, account: str) -> str:
    """The ARN of a queue; one that is known by its URL may be in another account and region than the others."""
    url = queue_url or ""
    own_region, own_account = region_of(url) or region, account_of(url) or account
    return f"arn:{_partition_of(own_region) or partition}:sqs:{own_region}:{own_account}:{queue_name}"


def _payload_statements(
    manifest: Mapping[str, Any],
    queues: Sequence[Mapping[str, Any]],
    *,
    works: bool = False,
    partition: str,
    region: str,
    account: str,
) -> list[dict[str, Any]]:
    """What a producer, or a worker, does with the bodies that are too large for the messages of these queues."""
    from sqs_tasks_cdk import payload_names as names

    resources: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for offload in (queue["offload"] for queue in queues if queue.get("offload") is not None):
        own = names.bucket_name(manifest["queue_prefix"], account=account, region=region)
        bucket = f"arn:{partition}:s3:::{offload['bucket'] or own}"
        objects = f"{bucket}/{offload['prefix']}*"
        if works:
            more = names.REMOVE_ACTIONS if offload["removes"] else ()
            resources.setdefault(("GetBodies", (*names.GET_ACTIONS, *more)), []).append(objects)
            resources.setdefault(("FindBodies", names.LIST_ACTIONS), []).append(bucket)
        else:
            resources.setdefault(("PutBodies", names.PUT_ACTIONS), []).append(objects)
    return [
        {
            "Sid": f"{sid}{'AndRemove' * (len(actions) > 1)}",
            "Effect": "Allow",
            "Action": list(actions),
            "Resource": list(dict.fromkeys(named)),
        }
        for (sid, actions), named in resources.items()
    ]


def _store_statements(
    manifest: Mapping[str, Any],
    queues: Sequence[Mapping[str, Any]],
    *,
    works: bool = False,
    partition: str,
    region: str,
    account: str,
) -> list[dict[str, Any]]:
    """What a worker does with the table of its tasks, or a producer with that of recorded jobs."""
    from sqs_tasks_cdk import store_names as names

    stores = [queue["store"] for queue in queues if queue.get("store") is not None]
    tables = [
        names.table_arn(
            names.ManifestStore(**store),
            manifest["queue_prefix"],
            partition=partition,
            region=region,
            account=account,
        )
        for store in stores
        if works or store["records"]
    ]
    if not tables:
        return []
    sid, actions = ("RememberJobs", names.WORK_ACTIONS) if works else ("RecordJobs", names.RECORD_ACTIONS)
    return [{"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": list(dict.fromkeys(tables))}]


def _dead_letter_queue(queue: Mapping[str, Any]) -> Mapping[str, Any]:
    """The dead-letter queue of a queue: in the same account and region, unless its own URL says otherwise."""
    dead: Mapping[str, Any] = queue["dead_letter_queue"]
    if dead.get("queue_url") is None and queue.get("queue_url") is not None:
        return {**dead, "queue_url": neighbour_of(queue["queue_url"], dead["queue_name"])}
    return dead


def _partition_of(region: str) -> str | None:
    """The partition of a region; None if the region is not known."""
    if region.startswith("cn-"):
        return "aws-cn"
    if region.startswith("us-gov-"):
        return "aws-us-gov"
    return None


def _targets(chosen: Sequence[Mapping[str, Any]], by_name: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The queues that the tasks on these may add jobs to (R5)."""
    tasks = [task for queue in chosen for task in queue["tasks"]]
    if any(task["enqueues"] is None for task in tasks):
        return list(by_name.values())
    declared = {name for task in tasks for name in task["enqueues"]}
    return [queue for name, queue in by_name.items() if name in declared]
