"""A store in memory that counts its requests, and one that does not answer."""

from __future__ import annotations

from collections import Counter

from sqs_tasks.errors import StoreUnavailableError
from sqs_tasks.store.sqlite import SQLiteStore

OPERATIONS = ("get", "put_if_absent", "update", "delete")


class CountingStore(SQLiteStore):
    """Counts operations; each of them is one request to DynamoDB. ``is_down`` lets it fail instead."""

    def __init__(self, path=":memory:", **options):
        super().__init__(path, **options)
        self.calls = Counter()
        self.state = {"down": False}

    @property
    def is_down(self):
        return self.state["down"]

    @is_down.setter
    def is_down(self, value):
        self.state["down"] = value  # shared with the twins that environments use

    def taken(self):
        """What was asked since the last look."""
        calls = dict(self.calls)
        self.calls.clear()
        return calls


def _method(name):
    def method(self, *args, **kwargs):
        self.calls[name] += 1
        if self.state["down"]:
            raise StoreUnavailableError("the store did not answer")
        return getattr(SQLiteStore, name)(self, *args, **kwargs)

    return method


for _name in OPERATIONS:
    setattr(CountingStore, _name, _method(_name))
