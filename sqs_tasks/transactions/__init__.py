"""Jobs and the transaction of a database: sent after its commit, or written into it and sent by a relay."""

from __future__ import annotations

from sqs_tasks.transactions.on_commit import OnCommit
from sqs_tasks.transactions.outbox.writing import Outbox

__all__ = ["OnCommit", "Outbox"]
