"""Checks of Django's system: settings that would lose jobs, fail them, or send them too early."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning

from sqs_tasks.app_path import find_app
from sqs_tasks.env import SQSEnv
from sqs_tasks.errors import SQSTasksError
from sqs_tasks.execution.eager import EagerDelivery
from sqs_tasks.integrations.django import framework
from sqs_tasks.integrations.django.app_modules import modules_of_apps
from sqs_tasks.integrations.django.connections import database_connections
from sqs_tasks.integrations.django.project import SETTING, app_of_settings

_BACKEND = "sqs_tasks.integrations.django.task_backend."


def install() -> None:
    """Have ``manage.py check`` and the other commands make these checks."""
    checks.register(check_environment)
    checks.register(check_databases)
    checks.register(check_deployment, deploy=True)


def check_environment(**_options: Any) -> list[CheckMessage]:
    """Whether the environment can be found, knows its tasks, and suits Django."""
    return [*_framework(), *_environment()]


def _framework() -> Iterator[CheckMessage]:
    named = [alias for alias, one in _tasks_setting().items() if str(one.get("BACKEND", "")).startswith(_BACKEND)]
    if named and framework.package() is None:
        yield Error(
            f"TASKS[{named[0]!r}] names the backend of sqs_tasks, and this Django has no tasks framework, so nothing "
            "reads TASKS.",
            hint=f"{framework.NEEDS[0].upper()}{framework.NEEDS[1:]}.",
            id="sqs_tasks.E002",
        )


def _environment() -> Iterator[CheckMessage]:
    if not hasattr(settings, SETTING):
        if not any("APP" in one.get("OPTIONS", {}) for one in _tasks_setting().values()):
            yield CheckWarning(
                f"{SETTING} is not set, so that manage.py sqs_worker and sqs_dev do not know the environment.",
                hint=f'Name it: {SETTING} = {{"APP": "shop.sqs:env"}}.',
                id="sqs_tasks.W001",
            )
        return
    try:
        app = app_of_settings()
        env = find_app(app)
        env.load_tasks()
    except SQSTasksError as error:
        yield Error(f"The environment cannot be loaded: {error}.", hint=f"Correct {SETTING}.", id="sqs_tasks.E001")
        return
    if database_connections not in env.middleware:
        yield CheckWarning(
            f"{app} does not close database connections around its jobs: one that the database has closed fails every "
            "job of its thread, and with DEBUG=True each keeps the text of its queries.",
            hint="Pass middleware=[database_connections] to SQSEnv; it is in sqs_tasks.integrations.django.",
            id="sqs_tasks.W002",
        )
    forgotten = [name for name in modules_of_apps("tasks") if _is_ours(name) and name not in sys.modules]
    if forgotten:
        yield CheckWarning(
            f"{app} does not import {', '.join(forgotten)}: workers do not know the tasks that are registered there.",
            hint="Pass include=autodiscover() to SQSEnv; it is in sqs_tasks.integrations.django.",
            id="sqs_tasks.W003",
        )
    yield from _early_sends(env, app)


def _is_ours(module: str) -> bool:
    """Whether a module is the project's own: an app of somebody else may have tasks for another queue."""
    import importlib.util

    spec = importlib.util.find_spec(module)
    return spec is not None and "site-packages" not in (spec.origin or "")


def _early_sends(env: SQSEnv, app: str) -> Iterator[CheckMessage]:
    atomic = [alias for alias, one in settings.DATABASES.items() if one.get("ATOMIC_REQUESTS")]
    if atomic and env.hold is None:
        yield CheckWarning(
            f"Database {atomic[0]!r} has ATOMIC_REQUESTS, and {app} sends at once: a job may run before its request "
            "has committed, and runs although the request is rolled back.",
            hint="Pass send=OnCommit() of sqs_tasks.transactions, or send=Outbox(), to SQSEnv.",
            id="sqs_tasks.W004",
        )


def check_databases(**_options: Any) -> list[CheckMessage]:
    """Whether databases stand jobs that run side by side for a long time."""
    found: list[CheckMessage] = []
    for alias, one in settings.DATABASES.items():
        if str(one.get("ENGINE", "")).endswith(".sqlite3"):
            found.extend(_sqlite(alias, one))
        elif one.get("CONN_MAX_AGE", 0) != 0 and not one.get("CONN_HEALTH_CHECKS"):
            found.append(
                CheckWarning(
                    f"Database {alias!r} has CONN_MAX_AGE={one['CONN_MAX_AGE']!r} without CONN_HEALTH_CHECKS: a worker "
                    "that was idle, or a function that was frozen, fails its next job if the database has closed the "
                    "connection.",
                    hint="Set CONN_HEALTH_CHECKS to True, or CONN_MAX_AGE to 0.",
                    id="sqs_tasks.W006",
                )
            )
    return found


def _sqlite(alias: str, database: Any) -> Iterator[CheckMessage]:
    name, options = str(database.get("NAME", "")), database.get("OPTIONS") or {}
    if ":memory:" in name or "mode=memory" in name:
        return  # for tests, in one process
    if str(options.get("transaction_mode", "")).upper() not in {"IMMEDIATE", "EXCLUSIVE"}:
        yield CheckWarning(
            f"Database {alias!r} is SQLite and begins transactions in the mode DEFERRED: of two jobs that read and "
            "then write at the same time, one fails with 'database is locked', whatever its timeout.",
            hint='Set OPTIONS to {"transaction_mode": "IMMEDIATE"}, or use a database server.',
            id="sqs_tasks.W005",
        )


def check_deployment(**_options: Any) -> list[CheckMessage]:
    """What must not go to production; part of ``check --deploy``."""
    try:
        env = find_app(app_of_settings())
    except SQSTasksError:
        return []  # reported by the other check, or not set
    if not isinstance(env.deliver, EagerDelivery):
        return []
    return [
        CheckWarning(
            "The environment is eager: each job runs in the request that sends it, once, and none is ever queued.",
            hint="Leave out eager=True of SQSEnv.",
            id="sqs_tasks.W007",
        )
    ]


def _tasks_setting() -> dict[str, Any]:
    return getattr(settings, "TASKS", None) or {}
