"""Whether the store answers."""

from __future__ import annotations

from collections.abc import Iterator

from sqs_tasks.env import SQSEnv
from sqs_tasks.errors import StoreUnavailableError
from sqs_tasks.operations.doctor.finding import Finding

#: A key that nobody uses: a store that answers says that it has no such item.
_KEY = "sqs-tasks-doctor"


def store_findings(env: SQSEnv) -> Iterator[Finding]:
    """What is wrong with the environment's store, if it has one."""
    if env.store is None:
        return
    try:
        env.store.get(_KEY)
    except StoreUnavailableError as error:
        yield Finding(
            kind="store-unavailable",
            severity="error",
            subject="store",
            what=f"it does not answer: {error}",
            why="records are passed over, and jobs that need it are put off",
            fix="create its table (the stack does), give the right dynamodb:GetItem, or check the path of its file",
        )
