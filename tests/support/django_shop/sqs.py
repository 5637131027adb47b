"""The environment of the Django project of tests."""

from __future__ import annotations

from sqs_tasks import IMMEDIATE_RETURN, SQSEnv
from sqs_tasks.integrations.django import autodiscover, database_connections
from sqs_tasks.store import SQLiteStore

env = SQSEnv(
    include=autodiscover(),
    middleware=[database_connections],
    backoff_policy=IMMEDIATE_RETURN,
    store=SQLiteStore(":memory:"),
)
env.queue("default", task_defaults={"max_attempts": 2})
env.queue("emails", task_defaults={"no_retry_on": (KeyError,)})
env.queue("recorded", task_defaults={"record": True})
