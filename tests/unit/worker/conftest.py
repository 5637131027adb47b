"""A queue in memory whose client is counted and can be made to fail."""

from __future__ import annotations

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.local.memory import MemorySession
from tests.support.scripted_client import ScriptedClient


@pytest.fixture
def session():
    return MemorySession()


@pytest.fixture
def sqs(session):
    return ScriptedClient(session.client("sqs"))


@pytest.fixture
def env(sqs):
    return SQSEnv(sqs_client=sqs)


@pytest.fixture
def counts(sqs, env):
    """How many messages a queue has: visible, in flight."""

    def counts(name):
        attributes = sqs._client.get_queue_attributes(QueueUrl=env.get_queue_url(name), AttributeNames=["All"])
        told = attributes["Attributes"]
        return int(told["ApproximateNumberOfMessages"]), int(told["ApproximateNumberOfMessagesNotVisible"])

    return counts
