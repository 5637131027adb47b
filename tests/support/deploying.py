"""What was deployed to MiniStack, seen from outside."""

from __future__ import annotations

import platform
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from aws_cdk import aws_lambda as lambda_

from sqs_tasks_cdk.bundling import PythonBundle
from tests.support.cdk_cli import CdkCli
from tests.support.ministack import MiniStack
from tests.support.polling import until

#: The account that MiniStack says it is.
ACCOUNT = "000000000000"


#: Starts AWS's own runtime client from this environment in the directory of the code.
BOOTSTRAP = f'#!/bin/sh\ncd "$LAMBDA_TASK_ROOT"\nexec {sys.executable} -m awslambdaric "$_HANDLER"\n'


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account with what was deployed to it, and what a test does with that.

    Attributes:
        aws: Where it is.
    """

    aws: MiniStack

    def client(self, service: str) -> Any:
        """A boto3 client, whatever the environment of this process says."""
        environment = self.aws.environment
        return boto3.client(
            service,
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            region_name=environment["AWS_REGION"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        )

    def url(self, queue_name: str) -> str:
        """The URL of a queue by its name in SQS."""
        return str(self.client("sqs").get_queue_url(QueueName=queue_name)["QueueUrl"])

    def attributes(self, queue_name: str) -> dict[str, str]:
        """All attributes of a queue."""
        sqs = self.client("sqs")
        return dict(sqs.get_queue_attributes(QueueUrl=self.url(queue_name), AttributeNames=["All"])["Attributes"])

    def count(self, queue_name: str) -> int:
        """Messages in a queue, in whatever state."""
        attributes = self.attributes(queue_name)
        return sum(int(value) for name, value in attributes.items() if name.startswith("ApproximateNumberOfMessages"))

    def bodies(self, queue_name: str, expected: int) -> set[str]:
        """The bodies of the messages in a queue, as soon as there are so many."""
        return {message["Body"] for message in self.letters(queue_name, expected)}

    def letters(self, queue_name: str, expected: int) -> list[dict[str, Any]]:
        """The messages in a queue, as soon as there are so many."""
        sqs, url = self.client("sqs"), self.url(queue_name)
        found: dict[str, dict[str, Any]] = {}

        def enough() -> bool:
            while messages := sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=1, MessageAttributeNames=["All"]
            ).get("Messages"):
                found.update({message["MessageId"]: message for message in messages})
                if len(found) >= expected:
                    return True
            return len(found) >= expected

        self.until(enough, what=f"{expected} messages in {queue_name}")
        return list(found.values())

    def function_name(self, part: str) -> str:
        """The generated name of the function with this in its logical id."""
        functions = self.client("lambda").list_functions()["Functions"]
        return next(str(item["FunctionName"]) for item in functions if part in item["FunctionName"])

    def until(self, probe: Callable[[], bool], *, what: str) -> None:
        """Wait for something to become true; on failure with the end of the emulator's log, functions' own included."""
        try:
            until(probe, what=what, seconds=60)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.aws.log.read_text()[-10_000:]}") from error


@dataclass(frozen=True, kw_only=True)
class Deployed(Account):
    """A stack that the CDK deployed.

    Attributes:
        cdk: The command line that deployed it.
    """

    cdk: CdkCli


def build_code(directory: Path, *, source: Path, packages: list[str]) -> Path:
    """The bundle that would go to Lambda, for this machine's Python, with a ``bootstrap`` for a custom runtime.

    The bootstrap starts AWS's own runtime client from this environment in the bundle's directory.
    """
    directory.mkdir(parents=True, exist_ok=True)
    bootstrap = directory / "bootstrap"
    bootstrap.write_text(BOOTSTRAP)
    bootstrap.chmod(bootstrap.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    arm = platform.machine() in {"aarch64", "arm64"}
    bundle = PythonBundle(source=source, packages=packages, extra_files={"bootstrap": bootstrap})
    assert bundle.build(
        directory / "code",
        runtime=getattr(lambda_.Runtime, f"PYTHON_3_{sys.version_info.minor}"),
        architecture=lambda_.Architecture.ARM_64 if arm else lambda_.Architecture.X86_64,
    )
    return directory / "code"
