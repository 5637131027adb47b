"""The schedulers that the suite is held against, each with the SQS beside it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from sqs_tasks.local.clock import ManualClock
from sqs_tasks.local.memory import MemorySession
from sqs_tasks.local.server import LocalSQSServer
from tests.support.ministack import ministack

REGION = "us-east-1"

#: The role that schedules send with: of AWS, one that may send to every queue; elsewhere nobody looks at it.
ROLE_VARIABLE = "SQS_TASKS_TEST_ROLE_ARN"


@dataclass(kw_only=True)
class Backend:
    """A scheduler under test.

    Attributes:
        name: What the tests' ids say.
        client: A boto3 client of EventBridge Scheduler, or what stands for one.
        sqs: The same for SQS.
        now: Seconds since the epoch, by its clock.
        wait: Let that many seconds pass.
        late_seconds: How late a target may be invoked.
        role_arn: The role that schedules send with.
    """

    name: str
    client: Any
    sqs: Any
    now: Callable[[], float] = time.time
    wait: Callable[[float], None] = time.sleep
    late_seconds: float = 0.0
    role_arn: str = "arn:aws:iam::000000000000:role/scheduler"
    schedules: list[tuple[str, str]] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    queues: list[str] = field(default_factory=list)

    def clean_up(self) -> None:
        """Delete what a test made."""
        for group, name in self.schedules:
            with contextlib.suppress(self.client.exceptions.ClientError):
                self.client.delete_schedule(Name=name, GroupName=group)
        for name in self.groups:
            with contextlib.suppress(self.client.exceptions.ClientError):
                self.client.delete_schedule_group(Name=name)
        for url in self.queues:
            with contextlib.suppress(self.sqs.exceptions.ClientError):
                self.sqs.delete_queue(QueueUrl=url)
        for made in (self.schedules, self.groups, self.queues):
            made.clear()


def memory() -> Backend:
    """The model in this process."""
    session = MemorySession(clock=ManualClock())
    return Backend(
        name="memory",
        client=session.client("scheduler"),
        sqs=session.client("sqs"),
        now=session.clock.now,
        wait=session.advance,
    )


@contextlib.contextmanager
def http() -> Iterator[Backend]:
    """The same model behind our HTTP server and boto3."""
    clock = ManualClock()
    with LocalSQSServer(clock=clock) as server, _clients(server.endpoint_url) as (client, sqs):
        yield Backend(name="http", client=client, sqs=sqs, now=clock.now, wait=server.advance)


@contextlib.contextmanager
def independent() -> Iterator[Backend]:
    """MiniStack, which shares no code with ours, and looks at its schedules every ten seconds."""
    with ministack() as server, _clients(server.endpoint_url) as (client, sqs):
        yield Backend(name="ministack", client=client, sqs=sqs, late_seconds=12)


@contextlib.contextmanager
def aws() -> Iterator[Backend]:
    """The service itself, with the caller's own credentials and region."""
    client, sqs = boto3.client("scheduler"), boto3.client("sqs")
    try:
        yield Backend(name="aws", client=client, sqs=sqs, late_seconds=60, role_arn=os.environ[ROLE_VARIABLE])
    finally:
        client.close()
        sqs.close()


def missing_for_aws() -> str:
    """What the caller's environment lacks to reach AWS; empty when nothing."""
    session = boto3.Session()
    lacking = {
        "credentials": session.get_credentials(),
        "a region": session.region_name,
        ROLE_VARIABLE: os.environ.get(ROLE_VARIABLE),
    }
    return " and ".join(name for name, value in lacking.items() if value is None)


@contextlib.contextmanager
def _clients(endpoint_url: str) -> Iterator[tuple[Any, Any]]:
    clients = [
        boto3.client(
            service,
            endpoint_url=endpoint_url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}),
        )
        for service in ("scheduler", "sqs")
    ]
    try:
        yield clients[0], clients[1]
    finally:
        for client in clients:
            client.close()
