"""The SQS servers that the suite is held against, each behind the same few words."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from sqs_tasks.client import region_of
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.local.memory import MemorySession
from sqs_tasks.local.server import LocalSQSServer
from sqs_tasks.transport.lean_client import LeanClient
from sqs_tasks.transport.lean_settings import LeanSettings
from sqs_tasks.transport.signature import Credentials
from tests.support.ministack import ministack

REGION = "us-east-1"


@dataclass(kw_only=True)
class Backend:
    """An SQS under test.

    Attributes:
        name: What the tests' ids say.
        client: A boto3 client or what stands for one.
        wait: Let that many seconds pass.
        sampled: True when a short poll may miss messages and counts lag behind, as on AWS.
    """

    name: str
    client: Any
    wait: Callable[[float], None] = time.sleep
    sampled: bool = False
    created: list[str] = field(default_factory=list)

    def clean_up(self) -> None:
        """Delete the queues that a test made."""
        for url in self.created:
            with contextlib.suppress(self.client.exceptions.ClientError):
                self.client.delete_queue(QueueUrl=url)
        self.created.clear()


def memory(*, wall_clock: bool) -> Backend:
    """The model in this process."""
    session = MemorySession(clock=None if wall_clock else ManualClock(), enforce_waits=True)
    return Backend(name="memory", client=session.client("sqs"), wait=time.sleep if wall_clock else session.advance)


@contextlib.contextmanager
def http(*, wall_clock: bool) -> Iterator[Backend]:
    """The same model behind our HTTP server and boto3."""
    clock = None if wall_clock else ManualClock()
    with LocalSQSServer(clock=clock, enforce_waits=True) as server, _client(server.endpoint_url) as client:
        yield Backend(name="http", client=client, wait=time.sleep if wall_clock else server.advance)


@contextlib.contextmanager
def lean() -> Iterator[Backend]:
    """The same server, asked by the library's own client: it has to be boto3's to whoever asks it."""
    with (
        LocalSQSServer(clock=ManualClock(), enforce_waits=True) as server,
        _client(server.endpoint_url) as client,
    ):
        settings = LeanSettings(region=REGION, endpoint_url=server.endpoint_url, max_attempts=1)
        ours = LeanClient(settings, lambda: Credentials("test", "test"), region_of, lambda: client, threading.Lock())
        yield Backend(name="lean", client=ours, wait=server.advance)
        ours.close()


@contextlib.contextmanager
def independent() -> Iterator[Backend]:
    """MiniStack, which shares no code with ours."""
    with ministack() as server, _client(server.endpoint_url) as client:
        yield Backend(name="ministack", client=client)


@contextlib.contextmanager
def endpoint(url: str) -> Iterator[Backend]:
    """Any other server, such as ElasticMQ or LocalStack."""
    with _client(url) as client:
        yield Backend(name="endpoint", client=client)


@contextlib.contextmanager
def aws() -> Iterator[Backend]:
    """The service itself, with the caller's own credentials and region."""
    client = boto3.client("sqs")
    try:
        yield Backend(name="aws", client=client, sampled=True)
    finally:
        client.close()


def missing_for_aws() -> str:
    """What the caller's environment lacks to reach AWS; empty when nothing."""
    session = boto3.Session()
    lacking = {"credentials": session.get_credentials(), "a region": session.region_name}
    return " and ".join(name for name, value in lacking.items() if value is None)


@contextlib.contextmanager
def _client(endpoint_url: str) -> Iterator[Any]:
    client = boto3.client(
        "sqs",
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
    )
    try:
        yield client
    finally:
        client.close()
