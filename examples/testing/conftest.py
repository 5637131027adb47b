"""Which environment is tested, and a clean outbox for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from examples.testing import app
from sqs_tasks import SQSEnv


@pytest.fixture(scope="session")
def sqs_app() -> SQSEnv:
    """The application's environment. With ``sqs_tasks_app = "myapp.tasks:env"`` in the settings this is not needed."""
    return app.env


@pytest.fixture(autouse=True)
def _empty_outbox() -> Iterator[None]:
    app.outbox.clear()
    yield
    app.outbox.clear()
