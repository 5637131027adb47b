"""The transactional outbox: jobs are rows of the database's transaction, and a relay sends them."""

from __future__ import annotations

from sqs_tasks.transactions.outbox.relay import Relay, Relayed
from sqs_tasks.transactions.outbox.schema import create_outbox, drop_outbox, outbox_sql
from sqs_tasks.transactions.outbox.writing import Outbox

__all__ = ["Outbox", "Relay", "Relayed", "create_outbox", "drop_outbox", "outbox_sql"]
