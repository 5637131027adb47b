"""Jobs that are sent when the database has committed: ``SQSEnv(send=OnCommit())``."""

from __future__ import annotations

from sqs_tasks.transactions.on_commit import OnCommit

__all__ = ["OnCommit"]
