"""Fixtures for pytest: the application's queues in memory, or its jobs run where they are sent.

Name the environment in pyproject.toml, or override the fixture ``sqs_app``::

    [tool.pytest.ini_options]
    sqs_tasks_app = "myapp.tasks:env"

Then ask for ``sqs`` (queues in memory, with a clock to advance) or ``sqs_eager`` (no queues at all). The library is
imported by the first fixture that is used, so that the plugin costs nothing where it is only installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sqs_tasks.env import SQSEnv
    from sqs_tasks.execution.eager import EagerDelivery
    from sqs_tasks.local.memory import MemorySession


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know the setting ``sqs_tasks_app``."""
    parser.addini("sqs_tasks_app", "the environment under test as module:attribute, e.g. myapp.tasks:env")


@pytest.fixture(scope="session")
def sqs_app(pytestconfig: pytest.Config) -> SQSEnv:
    """The application's environment, from the setting ``sqs_tasks_app``; override it to make another."""
    from sqs_tasks.app_path import load_app

    path = pytestconfig.getini("sqs_tasks_app")
    if not path:
        pytest.fail(
            'no environment to test: set sqs_tasks_app = "myapp.tasks:env" under [tool.pytest.ini_options], '
            "or override the fixture sqs_app"
        )
    return load_app(path)


@pytest.fixture
def sqs(sqs_app: SQSEnv) -> Iterator[MemorySession]:
    """The application's queues in memory, empty and new for each test; ``sqs.advance(60)`` moves their clock."""
    from sqs_tasks.testing import in_memory

    with in_memory(sqs_app) as session:
        yield session


@pytest.fixture
def sqs_eager(sqs_app: SQSEnv) -> Iterator[EagerDelivery]:
    """Jobs run where they are sent, and a failing one fails its sender."""
    from sqs_tasks.testing import eager

    with eager(sqs_app) as delivery:
        yield delivery
