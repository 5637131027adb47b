"""What users bring to workers: roles, log groups, keys; and what they grant to workers."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3

from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.fargate_worker import FargateWorker
from sqs_tasks_cdk.lambda_worker import LambdaWorker
from sqs_tasks_cdk.manifest import ManifestTask
from sqs_tasks_cdk.task_queue import TaskQueue
from tests.support.templates import Resources, warnings

CODE = lambda_.Code.from_inline("def handler(event, context): ...")
IMAGE = ecs.ContainerImage.from_registry("registry.example/shop:1")


def _queue(stack: Stack, name: str = "emails") -> TaskQueue:
    return TaskQueue(stack, name, tasks=[ManifestTask(name="send", timeout_seconds=30, enqueues=())])


def _function(stack: Stack, **settings: Any) -> LambdaWorker:
    return LambdaWorker(stack, "Function", task_queue=_queue(stack), app="shop.tasks:env", **{"code": CODE, **settings})


def _service(stack: Stack, **settings: Any) -> FargateWorker:
    return FargateWorker(
        stack, "Service", task_queues=[_queue(stack, "films")], app="shop.tasks:env", **{"image": IMAGE, **settings}
    )


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> Resources:
    """A function and a service with everything brought along, synthesised once."""
    stack = Stack(App(outdir=str(tmp_path_factory.mktemp("brought")), analytics_reporting=False), "Test")
    vpc, bucket, key = ec2.Vpc(stack, "Vpc", max_azs=1), s3.Bucket(stack, "Bucket"), kms.Key(stack, "Key")
    own = {
        "Own": iam.PolicyDocument(statements=[iam.PolicyStatement(actions=["s3:ListAllMyBuckets"], resources=["*"])])
    }
    role = iam.Role(stack, "Theirs", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"), inline_policies=own)
    task_role = iam.Role(stack, "Tasks", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))
    log_group = logs.LogGroup(stack, "TheirLogs", log_group_name="shop")
    function = _function(stack, role=role, log_group=log_group, environment_encryption=key, vpc=vpc)
    service = _service(stack, role=task_role, log_encryption_key=key, cluster=ecs.Cluster(stack, "Cluster", vpc=vpc))
    bucket.grant_read(function)
    bucket.grant_put(service)
    database = ec2.SecurityGroup(stack, "Database", vpc=vpc)
    for worker in (function, service):
        database.connections.allow_from(worker, ec2.Port.tcp(5432))
    assert warnings(stack) == []
    return Resources(stack)


def _actions(resources: Resources, role: str) -> set[str]:
    """What the policy of a role allows."""
    found: set[str] = set()
    for logical_id, policy in resources.of_type("IAM::Policy").items():
        if role in logical_id:
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
                found.update([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    return found


def test_role_of_the_user_gets_what_the_worker_needs(brought: Resources) -> None:
    """The queue, the logs, the network and the traces; its own inline policy stays."""
    (theirs,) = [
        role["Properties"]
        for logical_id, role in brought.of_type("IAM::Role").items()
        if logical_id.startswith("Theirs")
    ]
    assert [policy["PolicyName"] for policy in theirs["Policies"]] == ["Own"]
    assert _actions(brought, "Theirs") >= {
        "sqs:ReceiveMessage",
        "logs:PutLogEvents",
        "xray:PutTraceSegments",
        "ec2:CreateNetworkInterface",
        "kms:Decrypt",
    }
    assert _actions(brought, "TasksDefault") >= {"sqs:ReceiveMessage", "ecs:UpdateTaskProtection"}


def test_grants_of_others_take_a_worker_itself(brought: Resources) -> None:
    """``IGrantable`` and ``IConnectable``: no detour by ``.role`` or ``.function``."""
    assert "s3:GetObject*" in _actions(brought, "Theirs")
    assert "s3:PutObject" in _actions(brought, "TasksDefault")
    ports = [rule["Properties"]["FromPort"] for rule in brought.of_type("EC2::SecurityGroupIngress").values()]
    assert ports == [5432, 5432]


def test_log_groups_and_keys_of_the_user_are_used(brought: Resources) -> None:
    """The log group that is there is written to, a new one is encrypted, and CloudWatch Logs may use the key."""
    (key_id,) = brought.of_type("KMS::Key")
    function = brought.only("Lambda::Function")
    groups = brought.of_type("Logs::LogGroup")
    assert function["LoggingConfig"]["LogGroup"]["Ref"].startswith("TheirLogs")
    assert function["KmsKeyArn"] == {"Fn::GetAtt": [key_id, "Arn"]}
    assert [one["Properties"].get("KmsKeyId") for name, one in groups.items() if "Service" in name] == [
        {"Fn::GetAtt": [key_id, "Arn"]}
    ]
    assert any(
        "logs." in str(statement["Principal"]) and "kms:EncryptionContext:aws:logs:arn" in str(statement["Condition"])
        for statement in brought.by_id[key_id]["Properties"]["KeyPolicy"]["Statement"]
    )


def test_existing_log_group_with_settings_of_a_new_one_is_refused(stack: Stack) -> None:
    """Its retention is set where it is made."""
    with pytest.raises(StackError, match=r"\(log_group=\) cannot be given log_retention"):
        _function(stack, log_group=logs.LogGroup(stack, "L"), log_retention=logs.RetentionDays.ONE_DAY)


def test_key_whose_policy_is_elsewhere_is_warned_of(stack: Stack) -> None:
    """A log group with a key that CloudWatch Logs may not use cannot be made, which CloudFormation says late."""
    _service(stack, log_encryption_key=kms.Key.from_key_arn(stack, "K", "arn:aws:kms:us-east-1:123456789012:key/1"))

    assert any("'Test/K' is not made in this app" in text for text in warnings(stack))


def test_variables_cannot_be_encrypted_with_a_key_by_alias(stack: Stack) -> None:
    """The function could not read its variables, and would not start."""
    with pytest.raises(StackError, match="environment_encryption= is the key 'Test/K', which cannot be granted"):
        _function(stack, environment_encryption=kms.Alias.from_alias_name(stack, "K", "alias/shop"))
