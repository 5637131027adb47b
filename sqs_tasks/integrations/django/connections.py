"""Django's database connections around each job, as Django treats them around each request."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

from django.db import close_old_connections, connections, reset_queries

from sqs_tasks.execution.eager import is_eager
from sqs_tasks.execution.forks import in_each_child
from sqs_tasks.middleware import context_middleware


class _Connections:
    """What Django does at the beginning and at the end of a request, around one job.

    Connections belong to threads. An async task uses those of the one thread in which Django runs the ORM for it, so
    the work is done there.

    Args:
        job: The job, or the jobs of a batch.
    """

    def __init__(self, job: Any) -> None:
        jobs = getattr(job, "jobs", (job,))
        # An eager job runs in the middle of a request, which has the same connections.
        self._is_guest = any(is_eager(one.message) for one in jobs)

    def __enter__(self) -> None:
        if not self._is_guest:
            _begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_guest:
            close_old_connections()

    async def __aenter__(self) -> None:
        if not self._is_guest:
            await _in_thread_of_orm(_begin)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_guest:
            await _in_thread_of_orm(close_old_connections)


def _begin() -> None:
    reset_queries()  # with DEBUG=True each connection keeps its queries
    close_old_connections()


async def _in_thread_of_orm(function: Any) -> None:
    from asgiref.sync import sync_to_async

    await sync_to_async(function, thread_sensitive=True)()


#: Middleware that closes connections which are broken, or older than CONN_MAX_AGE, before and after each job.
database_connections = context_middleware(_Connections)

#: What a fork inherited: to close a connection here would close that of the parent, at the database.
_inherited: list[Any] = []


def _leave_to_parent() -> None:
    """In a child that was forked: forget the connections of the parent, and its thread for the ORM of async code."""
    asgiref = sys.modules.get("asgiref.sync")
    if asgiref is not None:
        asgiref.SyncToAsync.single_thread_executor = ThreadPoolExecutor(max_workers=1)
    for connection in connections.all(initialized_only=True):
        if connection.connection is None or (connection.vendor == "sqlite" and connection.is_in_memory_db()):
            continue  # nothing is shared: a database in memory has been copied
        _inherited.append(connection)
        del connections[connection.alias]


in_each_child(_leave_to_parent)
