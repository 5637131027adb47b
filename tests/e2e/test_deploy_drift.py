"""``sqs-tasks diff`` finds each kind of drift after it was made by hand, and is content before."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.deployed_tasks import env
from tests.support.cdk_cli import CdkCli
from tests.support.deploying import ACCOUNT, Deployed, build_code
from tests.support.ministack import REGION, MiniStack

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def deployed(
    aws: MiniStack, cdk: Callable[[str, dict[str, str]], CdkCli], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    """The stack of the deploy test, to be spoilt."""
    directory = tmp_path_factory.mktemp("drift")
    manifest, notes = directory / "tasks.json", directory / "notes"
    manifest.write_text(json.dumps(env.manifest(app="deployed_tasks:env")))
    code = build_code(directory / "code", source=HERE, packages=["deployed_tasks"])
    command = cdk(
        f"{sys.executable} {HERE / 'deploy_app.py'}",
        {"manifest": str(manifest), "code": str(code), "notes": str(notes), "timeout": "35"},
    )
    command.run("deploy", "--require-approval", "never")

    yield Deployed(cdk=command, aws=aws)

    command.run("destroy", "--force")


def _diff(deployed: Deployed, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [sys.executable, "-m", "sqs_tasks", "diff", "deployed_tasks:env", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=HERE,
        env={**inherited, **deployed.aws.environment},
    )


def _found(deployed: Deployed, *arguments: str) -> list[dict[str, Any]]:
    done = _diff(deployed, "--json", *arguments)
    assert done.returncode in {0, 1}, done.stderr
    found = json.loads(done.stdout)
    assert done.returncode == bool(found)
    return list(found)


def test_fresh_deploy_has_no_drift(deployed: Deployed) -> None:
    """What the stack made is what the registry says."""
    done = _diff(deployed, "--stack", "E2E")

    assert (done.stdout, done.returncode) == ("everything is as registered\n", 0), done.stderr


def _set(deployed: Deployed, **attributes: str) -> None:
    deployed.client("sqs").set_queue_attributes(QueueUrl=deployed.url("e2e-emails"), Attributes=attributes)


def _mapping(deployed: Deployed) -> dict[str, Any]:
    arn = deployed.attributes("e2e-emails")["QueueArn"]
    return dict(deployed.client("lambda").list_event_source_mappings(EventSourceArn=arn)["EventSourceMappings"][0])


@pytest.mark.parametrize(
    ("attributes", "field", "registered"),
    [
        ({"VisibilityTimeout": "100"}, "VisibilityTimeout", "at least 210 (6 x 35 + 0)"),
        ({"DelaySeconds": "5"}, "DelaySeconds", 0),
        ({"MessageRetentionPeriod": "60"}, "MessageRetentionPeriod", 345_600),
        ({"RedrivePolicy": "receives"}, "RedrivePolicy.maxReceiveCount", 7),
        ({"RedrivePolicy": "target"}, "RedrivePolicy.deadLetterTargetArn", "e2e-emails_dead"),
    ],
)
def test_queue_changed_by_hand_is_found(
    deployed: Deployed, attributes: dict[str, str], field: str, registered: object
) -> None:
    """Visibility, delay, retention and redrive, each told with what is registered and what is there."""
    before = deployed.attributes("e2e-emails")
    if "RedrivePolicy" in attributes:
        policy = json.loads(before["RedrivePolicy"])
        other = deployed.attributes("e2e-reports_dead")["QueueArn"]
        policy |= (
            {"maxReceiveCount": 3} if attributes["RedrivePolicy"] == "receives" else {"deadLetterTargetArn": other}
        )
        attributes = {"RedrivePolicy": json.dumps(policy)}
    _set(deployed, **attributes)

    found = _found(deployed)
    shown = _diff(deployed).stdout
    _set(deployed, **{name: before[name] for name in attributes})

    assert [(one["resource"], one["field"], one["registered"]) for one in found] == [
        ("queue e2e-emails", field, registered)
    ]
    assert shown.startswith(f"queue e2e-emails\n  {field}: registered ")
    assert _found(deployed) == []


def test_mapping_changed_by_hand_is_found(deployed: Deployed) -> None:
    """A mapping that ignores answers loses messages, and one that is off does nothing: both are told."""
    client, uuid = deployed.client("lambda"), _mapping(deployed)["UUID"]
    client.update_event_source_mapping(UUID=uuid, FunctionResponseTypes=[], Enabled=False)

    found = _found(deployed)
    client.update_event_source_mapping(UUID=uuid, FunctionResponseTypes=["ReportBatchItemFailures"], Enabled=True)

    assert {(one["resource"], one["field"]) for one in found} == {
        ("mapping of e2e-emails", "FunctionResponseTypes"),
        ("mapping of e2e-emails", "State"),
    }
    assert _found(deployed) == []


def test_function_changed_by_hand_is_found(deployed: Deployed) -> None:
    """Another registry, a timeout below the slowest task, and one that outgrew the visibility."""
    client, arn = deployed.client("lambda"), _mapping(deployed)["FunctionArn"]
    before = client.get_function_configuration(FunctionName=arn)
    variables = before["Environment"]["Variables"]
    client.update_function_configuration(
        FunctionName=arn, Timeout=2, Environment={"Variables": {**variables, "SQS_TASKS_APP": "other:env"}}
    )
    found = _found(deployed)
    client.update_function_configuration(FunctionName=arn, Timeout=60)
    grown = _found(deployed)
    client.update_function_configuration(FunctionName=arn, Timeout=35, Environment={"Variables": variables})

    assert {one["field"]: one["deployed"] for one in found} == {"SQS_TASKS_APP": "other:env", "Timeout": 2}
    assert "at least 360 (6 x 60 + 0)" in {one["registered"] for one in grown}
    assert _found(deployed) == []


def test_code_changed_by_hand_is_found(deployed: Deployed) -> None:
    """Code that somebody uploaded to the function, which has no alias, is not what the stack deployed."""
    client, arn = deployed.client("lambda"), _mapping(deployed)["FunctionArn"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as bundle:
        bundle.writestr("app.py", "def handler(event, context): ...")
    before = client.get_function_configuration(FunctionName=arn)["CodeSha256"]
    template = deployed.client("cloudformation").get_template(StackName="E2E")["TemplateBody"]
    (place,) = {
        item["Properties"]["Code"]["S3Key"]
        for item in template["Resources"].values()
        if item["Type"] == "AWS::Lambda::Function"
    }
    bucket = f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}"

    client.update_function_code(FunctionName=arn, ZipFile=archive.getvalue())
    found = _found(deployed, "--stack", "E2E")
    unseen = _found(deployed)
    client.update_function_code(FunctionName=arn, S3Bucket=bucket, S3Key=place)

    assert [(one["field"], one["registered"]) for one in found] == [("CodeSha256", before)]
    assert found[0]["resource"].startswith("function ")
    assert unseen == []
    assert _found(deployed, "--stack", "E2E") == []


def test_schedule_changed_by_hand_is_found(deployed: Deployed) -> None:
    """One that somebody paused or deleted, told with what is registered and what is there."""
    client = deployed.client("scheduler")
    (group,) = (one["Name"] for one in client.list_schedule_groups()["ScheduleGroups"] if one["Name"] != "default")
    before = client.get_schedule(Name="reports.report", GroupName=group)
    request = {name: before[name] for name in ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")}
    request["GroupName"] = group

    client.update_schedule(**request, State="DISABLED")
    paused = _found(deployed, "--stack", "E2E")
    unseen = _found(deployed)
    client.delete_schedule(Name="reports.report", GroupName=group)
    gone = _found(deployed, "--stack", "E2E")
    client.create_schedule(**request)

    assert [(one["resource"], one["field"], one["deployed"]) for one in paused] == [
        ("schedule reports.report", "State", "DISABLED")
    ]
    assert unseen == [], "without the stack nobody knows its group"
    assert ("schedule reports.report", "exists", False) in [
        (one["resource"], one["field"], one["deployed"]) for one in gone
    ]
    assert _found(deployed, "--stack", "E2E") == []


def test_registry_that_was_not_deployed_is_found(deployed: Deployed) -> None:
    """A function that was deployed for other tasks than the registry has by now."""
    client, arn = deployed.client("lambda"), _mapping(deployed)["FunctionArn"]
    variables = client.get_function_configuration(FunctionName=arn)["Environment"]["Variables"]
    older = {**variables, "SQS_TASKS_TASKS_HASH": "0123456789abcdef"}
    client.update_function_configuration(FunctionName=arn, Environment={"Variables": older})

    found = _found(deployed)
    client.update_function_configuration(FunctionName=arn, Environment={"Variables": variables})

    assert [one["field"] for one in found] == ["tasks"]
    assert "send_email" in found[0]["registered"]
    assert _found(deployed) == []


def test_queue_that_is_gone_or_was_never_registered_is_found(deployed: Deployed) -> None:
    """A queue that somebody deleted, and a queue of the stack that the registry does not have."""
    client = deployed.client("sqs")
    client.delete_queue(QueueUrl=deployed.url("e2e-reports_dead"))

    found = _found(deployed)
    client.create_queue(QueueName="e2e-reports_dead", Attributes={"MessageRetentionPeriod": "1209600"})

    assert [(one["resource"], one["field"], one["deployed"]) for one in found] == [
        ("queue e2e-reports_dead", "exists", False)
    ]
    unregistered = subprocess.run(
        [sys.executable, "-c", _OTHER_REGISTRY],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **deployed.aws.environment},
    )
    assert sorted(json.loads(unregistered.stdout)) == [
        "queue e2e-emails",
        "queue e2e-emails_dead",
        "queue e2e-orders",
        "queue e2e-orders_dead",
        "queue e2e-reports",
        "queue e2e-reports_dead",
        "schedule reports.report",
    ]


_OTHER_REGISTRY = """
import json
import boto3
from sqs_tasks import SQSEnv
from sqs_tasks.deployment.deployed_stacks import DeployedStacks
from sqs_tasks.deployment.drift import differences

found = differences(
    SQSEnv().manifest(),
    sqs=boto3.client("sqs"),
    lambda_client=boto3.client("lambda"),
    stacks=DeployedStacks(names=["E2E"], cloudformation=boto3.client("cloudformation"), s3=boto3.client("s3")),
    scheduler=boto3.client("scheduler"),
)
print(json.dumps([one.resource for one in found if (one.registered, one.deployed) == (False, True)]))
"""
