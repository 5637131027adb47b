"""The stores that the suite is held against, each behind the same few words."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqs_tasks.store.dynamodb import DynamoDBStore
from sqs_tasks.store.protocol import Store
from sqs_tasks.store.sqlite import SQLiteStore
from tests.support.ministack import REGION, ministack


class Clock:
    """The wall clock, moved on by a test."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass(kw_only=True)
class Backend:
    """A store under test.

    Attributes:
        name: What the tests' ids say.
        store: The store.
        clock: Its clock.
        spec: What makes the same store in another process, for :func:`open_store`.
    """

    name: str
    store: Store
    clock: Clock
    spec: tuple[str, str]
    prefix: str = field(default_factory=lambda: uuid.uuid4().hex)

    def key(self, name: str = "one") -> str:
        """A key that no other test has."""
        return f"{self.prefix}/{name}"


def open_store(spec: tuple[str, str], now: Callable[[], float] = time.time) -> Store:
    """The store that a process uses."""
    kind, where = spec
    if kind == "sqlite":
        return SQLiteStore(where, now=now)
    return DynamoDBStore("jobs", client=client(where), now=now)


def client(endpoint_url: str) -> Any:
    """A client of DynamoDB at an endpoint; of AWS itself where that is empty."""
    import boto3  # the processes of a test with SQLite need none
    from botocore.config import Config

    if not endpoint_url:
        return boto3.client("dynamodb")
    return boto3.client(
        "dynamodb",
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=20),
    )


@contextlib.contextmanager
def sqlite(folder: Path) -> Iterator[Backend]:
    """A file."""
    clock, spec = Clock(), ("sqlite", str(folder / "store.db"))
    store = open_store(spec, clock)
    yield Backend(name="sqlite", store=store, clock=clock, spec=spec)
    store.close()


@contextlib.contextmanager
def dynamodb(endpoint_url: str, name: str) -> Iterator[Backend]:
    """A table of any server, made unless it is there."""
    clock, spec = Clock(), ("dynamodb", endpoint_url)
    store = open_store(spec, clock)
    store.create_table()
    yield Backend(name=name, store=store, clock=clock, spec=spec)


@contextlib.contextmanager
def independent() -> Iterator[str]:
    """The endpoint of MiniStack, which shares no code with ours."""
    with ministack() as server:
        yield server.endpoint_url
