"""Database connections around jobs: closed when they are broken or old, left alone in requests, never shared by forks."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.test import override_settings

from sqs_tasks import SQSEnv
from sqs_tasks.integrations.django import database_connections
from sqs_tasks.shutdown_policies import MaxTasksShutdown
from sqs_tasks.testing import drain, eager, in_memory
from tests.support import django_project

django_project.configure()


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Makes the database ``file``, with options; one in memory is never closed."""

    def make(**options: Any) -> None:
        name = str(tmp_path / "file.sqlite3")
        monkeypatch.setitem(connections.settings, "file", {**connections.settings["default"], "NAME": name, **options})

    make()
    yield make
    close()
    asyncio.run(sync_to_async(close)())


def close() -> None:
    if hasattr(connections._connections, "file"):
        connections["file"].close()
        del connections["file"]


@pytest.fixture
def env() -> Iterator[SQSEnv]:
    """An environment of a Django project."""
    env = SQSEnv(middleware=[database_connections])
    env.queue("jobs")
    with in_memory(env):
        yield env


def query() -> int:
    with connections["file"].cursor() as cursor:
        return int(cursor.execute("SELECT 1").fetchone()[0])


def is_open() -> bool:
    return connections["file"].connection is not None


def test_plain_tasks_leave_no_connection_older_than_allowed(env: SQSEnv, database: Any) -> None:
    """By default none outlives its job, as none outlives a request; one that may is kept for the next job."""
    seen: list[bool] = []

    @env.processor("jobs", "plain")
    def plain() -> None:
        seen.append(is_open())
        query()

    plain.delay()
    drain(env.queue("jobs"))
    assert not is_open()

    close()
    database(CONN_MAX_AGE=None)
    plain.delay()
    plain.delay()
    drain(env.queue("jobs"))
    assert is_open()
    assert seen == [False, False, True]


def test_each_thread_of_a_worker_closes_its_own(env: SQSEnv, database: Any) -> None:
    """Connections belong to threads, and so does the clearing up."""
    open_after: dict[int, list[Any]] = {}
    both = threading.Barrier(2, timeout=10)

    @env.processor("jobs", "plain")
    def plain() -> None:
        query()
        open_after.setdefault(threading.get_ident(), []).append(connections["file"])
        both.wait()

    for _ in range(2):
        plain.delay()
    env.process_queues(shutdown_policy_maker=lambda: MaxTasksShutdown(2), concurrency=2, wait_seconds=0)

    assert len(open_after) == 2
    assert all(one.connection is None for found in open_after.values() for one in found)


def test_async_tasks_have_them_closed_in_the_thread_of_the_orm(env: SQSEnv, database: Any) -> None:
    """Where Django runs what async code asks of the database; batches too."""

    @env.processor("jobs", "async")
    async def run() -> None:
        assert await sync_to_async(query)() == 1
        assert await sync_to_async(is_open)()

    run.delay()
    drain(env.queue("jobs"))

    assert not asyncio.run(sync_to_async(is_open)())


def test_a_batch_is_one_job_to_them(env: SQSEnv, database: Any) -> None:
    """Before the call and after it."""

    @env.batch_processor("jobs", "index")
    def index(messages: list[dict[str, Any]]) -> None:
        assert query() == 1

    for number in range(3):
        index.delay(number=number)
    drain(env.queue("jobs"))

    assert not is_open()


def test_a_job_is_not_failed_by_a_connection_that_the_database_has_closed(
    env: SQSEnv, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CONN_HEALTH_CHECKS looks once a request, so it has to know where one begins."""

    def is_usable(self: DatabaseWrapper) -> bool:
        try:  # as with PostgreSQL; SQLite's connections do not break by themselves
            self.connection.execute("SELECT 1")
        except sqlite3.ProgrammingError:
            return False
        return True

    monkeypatch.setattr(DatabaseWrapper, "is_usable", is_usable)
    database(CONN_MAX_AGE=None, CONN_HEALTH_CHECKS=True)

    @env.processor("jobs", "plain")
    def plain() -> None:
        query()

    plain.delay()
    drain(env.queue("jobs"))
    connections["file"].connection.close()

    plain.delay()
    assert drain(env.queue("jobs")).succeeded == 1


def test_the_log_of_queries_does_not_grow(env: SQSEnv, database: Any) -> None:
    """With DEBUG=True Django keeps the text of each query, until a request begins."""
    database(CONN_MAX_AGE=None)

    @env.processor("jobs", "plain")
    def plain() -> None:
        query()

    with override_settings(DEBUG=True):
        for _ in range(5):
            plain.delay()
        drain(env.queue("jobs"))

    assert len(connections["file"].queries_log) == 1


def test_an_eager_job_leaves_the_request_its_connections(env: SQSEnv, database: Any) -> None:
    """It runs in the middle of the request, which may be reading from them."""

    @env.processor("jobs", "plain")
    def plain() -> None:
        query()

    with eager(env):
        query()
        plain.delay()
        assert is_open()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_has_connections_of_its_own(database: Any) -> None:
    """A child that used its parent's, or closed it, would break it for both; and its async code finds a thread."""
    database(CONN_MAX_AGE=None)
    query()
    asyncio.run(sync_to_async(query)())
    parents = connections["file"].connection

    child = os.fork()
    if child == 0:
        code = 1
        signal.alarm(20)  # for a thread that stayed in the parent one would wait for ever
        try:
            fresh = not is_open()
            code = 0 if fresh and query() == 1 and connections["file"].connection is not parents else 2
            code += asyncio.run(sync_to_async(query)()) - 1
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    assert connections["file"].connection is parents
    assert query() == 1
