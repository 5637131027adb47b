"""An environment with queues in memory, and a store that counts what it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from sqs_tasks import MemorySession, SQSEnv
from sqs_tasks.local.clock import ManualClock
from tests.support.counting_store import CountingStore


@dataclass
class World:
    """What a test needs: the environment, its queue "jobs", its store and its clock."""

    env: SQSEnv
    queue: Any
    store: CountingStore
    session: MemorySession


@pytest.fixture
def world():
    store = CountingStore()
    session = MemorySession(ManualClock())
    env = SQSEnv(session, store=store)
    queue = env.queue("jobs", max_receive_count=5)
    env.create_queues()
    yield World(env, queue, store, session)
    store.close()
