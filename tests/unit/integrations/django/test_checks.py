"""The checks of ``manage.py check``: each fires for the setting that it is about, and for no other."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from django.conf import settings
from django.core import checks
from django.test import override_settings

from sqs_tasks import SQSEnv
from sqs_tasks.integrations.django import autodiscover, database_connections, framework
from sqs_tasks.integrations.django import checks as ours
from sqs_tasks.transactions import OnCommit
from tests.support import django_project
from tests.support.django_project import BACKEND

django_project.configure()

from tests.support.django_shop import sqs as shop_sqs  # noqa: E402 - it needs settings

POSTGRES = {"ENGINE": "django.db.backends.postgresql", "NAME": "shop"}


def found(*, deploy: bool = False) -> dict[str, str]:
    """What Django would show of ours, each with a hint."""
    messages = [one for one in checks.run_checks(include_deployment_checks=deploy) if "sqs_tasks" in (one.id or "")]
    assert all(one.hint for one in messages)
    return {one.id or "": one.msg for one in messages}


def with_environment(monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    """Let the settings name an environment with these options."""
    defaults: dict[str, Any] = {"include": autodiscover(), "middleware": [database_connections]}
    monkeypatch.setattr(shop_sqs, "checked", SQSEnv(**{**defaults, **options}), raising=False)
    monkeypatch.setattr(settings, "SQS_TASKS", {"APP": "tests.support.django_shop.sqs:checked"})


def test_a_project_as_it_should_be_passes() -> None:
    """That of these tests, with everything that is checked before a deployment."""
    assert found(deploy=True) == {}


def test_the_environment_has_to_be_named_and_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at all, unless a backend names one; without APP; and by a name that is none."""
    monkeypatch.setattr(settings, "SQS_TASKS", {"APP": "nowhere:env"})
    assert "there is no module 'nowhere'" in found()["sqs_tasks.E001"]
    monkeypatch.setattr(settings, "SQS_TASKS", {})
    assert "must name the environment" in found()["sqs_tasks.E001"]
    monkeypatch.delattr(settings, "SQS_TASKS")
    assert "sqs_tasks.W001" not in found()
    with override_settings(TASKS={}):
        assert "sqs_worker" in found()["sqs_tasks.W001"]


def test_connections_have_to_be_looked_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the middleware a worker keeps what is broken."""
    with_environment(monkeypatch, middleware=[])

    assert list(found()) == ["sqs_tasks.W002"]


def test_a_module_that_nobody_imports_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app with tasks that the environment does not know."""
    monkeypatch.delitem(sys.modules, "tests.support.django_shop.tasks")
    with_environment(monkeypatch, include=())

    assert "tests.support.django_shop.tasks" in found()["sqs_tasks.W003"]


def test_requests_in_transactions_want_their_jobs_after_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """ATOMIC_REQUESTS with an environment that sends at once."""
    monkeypatch.setitem(settings.DATABASES["default"], "ATOMIC_REQUESTS", True)
    assert list(found()) == ["sqs_tasks.W004"]

    with_environment(monkeypatch, send=OnCommit())
    assert found() == {}


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        ({"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}, ["sqs_tasks.W005"]),
        (
            {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": "db.sqlite3",
                "OPTIONS": {"transaction_mode": "IMMEDIATE"},
            },
            [],
        ),
        ({"ENGINE": "django.db.backends.sqlite3", "NAME": "file:x?mode=memory"}, []),
        ({**POSTGRES, "CONN_MAX_AGE": 600}, ["sqs_tasks.W006"]),
        ({**POSTGRES, "CONN_MAX_AGE": None}, ["sqs_tasks.W006"]),
        ({**POSTGRES, "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}, []),
        (POSTGRES, []),
    ],
)
def test_databases_have_to_stand_jobs_side_by_side(
    database: dict[str, Any], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite that gives up instead of waiting, and connections that nobody tests before they are used again."""
    monkeypatch.setattr(settings, "DATABASES", {"default": database})

    assert [one.id for one in ours.check_databases()] == expected


def test_an_eager_environment_is_noticed_before_a_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    """And at no other time: tests and first steps use it."""
    with_environment(monkeypatch, eager=True)

    assert found() == {}
    assert list(found(deploy=True)) == ["sqs_tasks.W007"]


def test_tasks_that_nothing_reads_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Django 5.2 has no tasks framework, and ignores TASKS without a word."""
    monkeypatch.setattr(framework, "find_spec", lambda name: None)

    with override_settings(TASKS={"default": {"BACKEND": BACKEND}}):
        (error, *_) = ours.check_environment()
    assert error.id == "sqs_tasks.E002"
    assert "django-tasks" in (error.hint or "")
