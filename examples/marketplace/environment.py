"""The environment: what sends, what runs around each job, and which modules have the tasks."""

from __future__ import annotations

from sqs_tasks import SQSEnv
from sqs_tasks.transactions import Outbox

from .database import current_session, engine

env = SQSEnv(
    queue_prefix="marketplace-",
    # What a request or a job adds in a transaction is a row of it; "sqs-tasks outbox relay" sends it after the commit.
    send=Outbox(session=current_session),
    include=["examples.marketplace.orders", "examples.marketplace.newsletters"],
    task_defaults={"timeout": 60, "max_attempts": 8},
)


@env.on_stop
def close_connections() -> None:
    """Give the database's connections back."""
    engine.dispose()
