"""``include=autodiscover()``: the modules of installed apps, found when the environment is loaded."""

from __future__ import annotations

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.integrations.django import autodiscover
from tests.support import django_project

django_project.configure()


def test_the_modules_of_installed_apps_are_found() -> None:
    """Those apps that have one of the name, in their order; nothing is looked up before somebody asks."""
    modules = autodiscover()

    assert repr(modules) == "autodiscover('tasks')"
    assert list(modules) == ["tests.support.django_shop.tasks"]
    assert list(autodiscover("sqs")) == ["tests.support.django_shop.sqs"]
    assert modules[0] == modules[:1][0] == "tests.support.django_shop.tasks"


def test_an_environment_imports_them_when_it_is_loaded() -> None:
    """So a worker, a function and a manifest have the same tasks, whatever else was imported."""
    from tests.support.django_shop.sqs import env

    tasks = {task["name"] for queue in env.manifest(app="shop.sqs:env")["queues"] for task in queue["tasks"]}

    assert {"send_email", "tests.support.django_shop.tasks.greet"} <= tasks


def test_a_name_that_no_app_has_is_refused() -> None:
    """It would empty the registry."""
    with pytest.raises(ConfigurationError, match=r"autodiscover\('jobs'\): no app of INSTALLED_APPS has a module"):
        SQSEnv(include=autodiscover("jobs")).load_tasks()
