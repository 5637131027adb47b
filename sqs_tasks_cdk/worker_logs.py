"""The log group of a worker: made here, or one that exists already."""

from __future__ import annotations

from typing import Any, Final

from aws_cdk import Annotations, ArnFormat, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.settings import names_in

#: What CloudWatch Logs does with the key of a log group.
_KEY_ACTIONS: Final = ("kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*")


def worker_log_group(scope: Construct, settings: Any) -> logs.ILogGroup:
    """The log group in ``settings``, or a new one with the id ``Logs``, which is part of logical ids.

    Raises:
        StackError: An existing one together with settings of a new one.
    """
    existing: logs.ILogGroup | None = settings.get("log_group")
    of_new = names_in(settings, ("log_retention", "log_removal_policy", "log_encryption_key"))
    if existing is not None:
        if of_new:
            raise StackError(
                f"an existing log group (log_group=) cannot be given {', '.join(of_new)}; leave them out, or leave "
                "log_group= out to have one made"
            )
        return existing
    key = settings.get("log_encryption_key")
    if key is not None:
        _let_logs_use(scope, key)
    return logs.LogGroup(
        scope,
        "Logs",
        retention=settings.get("log_retention") or logs.RetentionDays.ONE_MONTH,
        removal_policy=settings.get("log_removal_policy") or RemovalPolicy.DESTROY,
        encryption_key=key,
    )


def _let_logs_use(scope: Construct, key: kms.IKey) -> None:
    """Let CloudWatch Logs use the key for the log groups of this account: it is refused as their key otherwise."""
    stack = Stack.of(scope)
    groups = stack.format_arn(
        service="logs", resource="log-group", resource_name="*", arn_format=ArnFormat.COLON_RESOURCE_NAME
    )
    added = key.add_to_resource_policy(
        iam.PolicyStatement(
            actions=list(_KEY_ACTIONS),
            resources=["*"],
            principals=[iam.ServicePrincipal(f"logs.{stack.region}.amazonaws.com")],
            conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": groups}},
        )
    )
    if not added.statement_added:
        Annotations.of(scope).add_warning_v2(
            "sqs-tasks:log-key",
            f"The key {key.node.path!r} is not made in this app, so its policy cannot be changed here. It must allow "
            f"logs.<region>.amazonaws.com the actions {', '.join(_KEY_ACTIONS)}, or the log group cannot be made.",
        )
