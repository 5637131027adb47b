"""What must be remembered beside the queues: one protocol, and two stores behind it.

``SQLiteStore(path)`` is for tests and single machines, ``DynamoDBStore(table)`` for all that runs on AWS::

    from sqs_tasks.store import DynamoDBStore

    env = SQSEnv(store=DynamoDBStore("jobs"))
"""

from __future__ import annotations

from sqs_tasks.store.dynamodb import DynamoDBStore
from sqs_tasks.store.protocol import ABSENT, Condition, Item, Store, Written
from sqs_tasks.store.sqlite import SQLiteStore

__all__ = ["ABSENT", "Condition", "DynamoDBStore", "Item", "SQLiteStore", "Store", "Written"]
