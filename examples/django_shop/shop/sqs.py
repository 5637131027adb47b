"""The environment. Nothing here imports a model: a worker loads this module before Django is set up."""

from __future__ import annotations

from sqs_tasks import SQSEnv
from sqs_tasks.integrations.django import autodiscover, database_connections
from sqs_tasks.transactions import OnCommit

env = SQSEnv(
    queue_prefix="shop-",
    include=autodiscover(),  # the tasks.py of each app
    middleware=[database_connections],  # connections are kept as clean as in requests
    send=OnCommit(),  # no job runs before its request has committed
)
