"""A registry is deployed by the CDK's own command line to an independent AWS, worked there, changed and destroyed.

The functions are the bundle that would go to AWS, for this machine's Python, run by AWS's runtime client.
"""

from __future__ import annotations

import json
import os
import platform
import stat
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from aws_cdk import aws_lambda as lambda_

from sqs_tasks_cdk.bundling import PythonBundle
from tests.e2e.deployed_tasks import env
from tests.support import cdk_cli, ministack
from tests.support.cdk_cli import CdkCli
from tests.support.ministack import MiniStack
from tests.support.polling import until

HERE = Path(__file__).parent

#: The account that MiniStack says it is.
ACCOUNT = "000000000000"


def _needed(is_there: bool, what: str) -> None:
    """A missing tool is a skip at home and a failure where the build is decided."""
    if not is_there:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{what} is not installed; 'make setup' does that")


@pytest.fixture(scope="module")
def aws() -> Iterator[MiniStack]:
    _needed(ministack.is_installed(), "MiniStack")
    with ministack.ministack() as server:
        yield server


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("deploy")


@pytest.fixture(scope="module")
def code(workdir: Path) -> Path:
    """The bundle with a ``bootstrap`` that starts AWS's runtime client from this environment."""
    bootstrap = workdir / "bootstrap"
    bootstrap.write_text(f'#!/bin/sh\ncd "$LAMBDA_TASK_ROOT"\nexec {sys.executable} -m awslambdaric "$_HANDLER"\n')
    bootstrap.chmod(bootstrap.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    arm = platform.machine() in {"aarch64", "arm64"}
    bundle = PythonBundle(source=HERE, packages=["deployed_tasks"], extra_files={"bootstrap": bootstrap})
    assert bundle.build(
        workdir / "code",
        runtime=getattr(lambda_.Runtime, f"PYTHON_3_{sys.version_info.minor}"),
        architecture=lambda_.Architecture.ARM_64 if arm else lambda_.Architecture.X86_64,
    )
    return workdir / "code"


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """The deployed stack, and what a test does with it from outside."""

    cdk: CdkCli
    notes_file: Path
    environment: dict[str, str]
    log: Path

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name=self.environment["AWS_REGION"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
        )

    def url(self, queue_name: str) -> str:
        return str(self.client("sqs").get_queue_url(QueueName=queue_name)["QueueUrl"])

    def attributes(self, queue_name: str) -> dict[str, str]:
        sqs = self.client("sqs")
        return dict(sqs.get_queue_attributes(QueueUrl=self.url(queue_name), AttributeNames=["All"])["Attributes"])

    def count(self, queue_name: str) -> int:
        """Messages in a queue, in whatever state."""
        attributes = self.attributes(queue_name)
        return sum(int(value) for name, value in attributes.items() if name.startswith("ApproximateNumberOfMessages"))

    def send(self, job_name: str, body: str) -> None:
        """Add a job in the wire format, by hand."""
        self.client("sqs").send_message(
            QueueUrl=self.url("e2e-emails"),
            MessageBody=body,
            MessageAttributes={
                "JobName": {"DataType": "String", "StringValue": job_name},
                "ContentType": {"DataType": "String", "StringValue": "json"},
            },
        )

    def notes(self) -> Counter[str]:
        """What tasks wrote, by how often."""
        return Counter(self.notes_file.read_text().splitlines())

    def until(self, probe: Callable[[], bool], *, what: str) -> None:
        """Wait for something to become true; on failure with the end of the emulator's log, functions' own included."""
        try:
            until(probe, what=what, seconds=60)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log.read_text()[-10_000:]}") from error


@pytest.fixture(scope="module")
def deployed(aws: MiniStack, workdir: Path, code: Path) -> Iterator[Deployed]:
    """The stack, from bootstrap to destroy."""
    _needed(cdk_cli.is_installed(), "the CDK command line")
    manifest, notes, home = workdir / "tasks.json", workdir / "notes", workdir / "home"
    manifest.write_text(json.dumps({**env.manifest(), "app": "deployed_tasks:env"}))
    notes.touch()
    home.mkdir()
    cdk = CdkCli(
        app=f"{sys.executable} {HERE / 'deploy_app.py'}",
        home=home,
        environment=aws.environment,
        context={"manifest": str(manifest), "code": str(code), "notes": str(notes), "timeout": "35"},
    )
    cdk.run("bootstrap", f"aws://{ACCOUNT}/{ministack.REGION}")
    cdk.run("deploy", "--require-approval", "never")
    stack = Deployed(cdk=cdk, notes_file=notes, environment=aws.environment, log=aws.log)

    yield stack

    cdk.run("destroy", "--force")
    assert not stack.client("sqs").list_queues(QueueNamePrefix="e2e-").get("QueueUrls")
    assert not stack.client("lambda").list_functions()["Functions"]


def test_queues_are_as_the_registry_says(deployed: Deployed) -> None:
    """The deployed queues have the registry's redrive, retention, encryption and the visibility of their function."""
    source, dead = deployed.attributes("e2e-emails"), deployed.attributes("e2e-emails_dead")

    assert source["VisibilityTimeout"] == str(6 * 35)
    assert json.loads(source["RedrivePolicy"]) == {"deadLetterTargetArn": dead["QueueArn"], "maxReceiveCount": 7}
    assert json.loads(source["RedriveAllowPolicy"]) == {"redrivePermission": "denyAll"}
    assert json.loads(dead["RedriveAllowPolicy"]) == {
        "redrivePermission": "byQueue",
        "sourceQueueArns": [source["QueueArn"]],
    }
    assert dead["MessageRetentionPeriod"] == "1209600"
    assert "aws:SecureTransport" in source["Policy"]
    mappings = deployed.client("lambda").list_event_source_mappings(EventSourceArn=source["QueueArn"])
    assert [item["FunctionResponseTypes"] for item in mappings["EventSourceMappings"]] == [["ReportBatchItemFailures"]]


def test_jobs_end_where_they_belong(deployed: Deployed) -> None:
    """Good jobs are done once and gone, a failing one is retried alone, hopeless and poisonous ones are dead letters."""
    people = [f"{number}@jobs.example" for number in range(20)]
    for person in people:
        deployed.send("send_email", json.dumps({"to": person}))
    deployed.send("flaky", json.dumps({"to": "flaky@jobs.example"}))
    deployed.send("hopeless", json.dumps({"to": "hopeless@jobs.example"}))
    deployed.send("send_email", "{ poison")

    deployed.until(
        lambda: [deployed.count(f"e2e-{name}") for name in ("emails", "reports", "emails_dead")] == [0, 0, 2],
        what="every message done or a dead letter",
    )

    assert {note: times for note, times in deployed.notes().items() if note.endswith("@jobs.example")} == {
        **{f"sent {person}": 1 for person in people},
        **{f"reported {person}": 1 for person in people},
        "tried flaky@jobs.example": 2,
        "hoped hopeless@jobs.example": 2,
    }
    assert {message["Body"] for message in _receive_all(deployed, "e2e-emails_dead", 2)} == {
        '{"to": "hopeless@jobs.example"}',
        "{ poison",
    }


def test_producer_has_what_the_grant_gave_it(deployed: Deployed) -> None:
    """A function that was granted the queue adds jobs by its environment alone."""
    name = next(
        function["FunctionName"]
        for function in deployed.client("lambda").list_functions()["Functions"]
        if "Producer" in function["FunctionName"]
    )

    answer = deployed.client("lambda").invoke(
        FunctionName=name, Payload=json.dumps({"to": ["produced@example.com"]}).encode()
    )

    assert "FunctionError" not in answer, answer["Payload"].read()
    assert len(json.load(answer["Payload"])) == 1
    deployed.until(lambda: deployed.notes()["reported produced@example.com"] == 1, what="the produced job's report")


def test_change_is_deployed_without_replacing_a_queue(deployed: Deployed, workdir: Path) -> None:
    """Another timeout reaches the function and the visibility, and the queue stays the one it was."""
    before = deployed.attributes("e2e-emails")
    kept = deployed.count("e2e-emails_dead")

    CdkCli(
        app=deployed.cdk.app,
        home=deployed.cdk.home,
        environment=deployed.environment,
        context={**deployed.cdk.context, "timeout": "40"},
    ).run("deploy", "--require-approval", "never")

    after = deployed.attributes("e2e-emails")
    assert after["VisibilityTimeout"] == str(6 * 40)
    assert after["CreatedTimestamp"] == before["CreatedTimestamp"]
    assert deployed.count("e2e-emails_dead") == kept


def _receive_all(deployed: Deployed, queue_name: str, expected: int) -> list[dict[str, Any]]:
    sqs, url = deployed.client("sqs"), deployed.url(queue_name)
    found: list[dict[str, Any]] = []

    def enough() -> bool:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=1)
        found.extend(
            message
            for message in answer.get("Messages", [])
            if message["MessageId"] not in {other["MessageId"] for other in found}
        )
        return len(found) >= expected

    deployed.until(enough, what=f"{expected} messages in {queue_name}")
    return found
