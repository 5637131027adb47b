"""What tests of several parts share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sqs_tasks.local.server import LocalSQSServer


@pytest.fixture
def server() -> Iterator[LocalSQSServer]:
    """The embedded SQS over HTTP, for one test."""
    with LocalSQSServer() as running:
        yield running
