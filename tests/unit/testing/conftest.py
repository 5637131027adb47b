"""What the tests of ``sqs_tasks.testing`` share."""

from __future__ import annotations

import pytest

from sqs_tasks import SQSEnv


@pytest.fixture
def env() -> SQSEnv:
    """An environment that would talk to AWS."""
    return SQSEnv(queue_prefix="app-")
