"""A queue in memory whose client is counted and can be made to fail, and workers of it in threads."""

from __future__ import annotations

import threading

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.local.memory import MemorySession
from sqs_tasks.worker import queue_loop
from sqs_tasks.worker.consumer import Consumer
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


@pytest.fixture
def consume():
    """Starts consumers in threads, and stops them after the test."""
    started = []

    def consume(*queues, policy=None, **options):
        consumer = Consumer(list(queues), **{"wait_seconds": 1, "grace_seconds": 10, **options})
        thread = threading.Thread(target=consumer.run, args=() if policy is None else (policy,))
        thread.start()
        started.append((consumer, thread))
        return consumer, thread

    yield consume
    for consumer, thread in started:
        consumer.stop()
        thread.join(30)
        assert not thread.is_alive()


class Gate:
    """A task's body that a test can hold: notes who entered, lets nobody out until it is opened."""

    def __init__(self):
        self.entered = []
        self._changed = threading.Condition()
        self._open = threading.Event()

    def __call__(self, value=None):
        with self._changed:
            self.entered.append(value)
            self._changed.notify_all()
        assert self._open.wait(30)

    def wait_for(self, count):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.entered) >= count, 10), self.entered

    def open(self):
        self._open.set()


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def no_pause(monkeypatch):
    monkeypatch.setattr(queue_loop, "MIN_ERROR_PAUSE", 0.001)
    monkeypatch.setattr(queue_loop, "MAX_ERROR_PAUSE", 0.001)
