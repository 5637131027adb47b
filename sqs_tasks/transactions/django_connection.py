"""Django's transactions: what ``transaction.on_commit`` takes, gathered into one send for each commit."""

from __future__ import annotations

import weakref
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from sqs_tasks.sending.held_messages import HeldMessage, SendHeld

#: Where a connection keeps the jobs of its transaction, by who sends them. A connection belongs to one thread.
_ATTRIBUTE = "_sqs_tasks_held"


class _Held:
    """The jobs of one connection's transaction.

    Django forgets the callbacks of a savepoint that is rolled back, and says so to nobody. So each job has a callback
    of its own: one that is gone was forgotten, and the last one that is left sends the jobs of all that were called.
    Once one was called the transaction has committed: what is gone after that was kept from its call by a callback of
    the application that raised, and is sent too.
    """

    def __init__(self, send: SendHeld) -> None:
        self._send = send
        self._waiting: dict[weakref.ref[_Callback], HeldMessage] = {}
        self._released: list[HeldMessage] = []

    def add(self, one: HeldMessage) -> _Callback:
        callback = _Callback(self)
        callback.reference = weakref.ref(callback, self._forgotten)
        self._waiting[callback.reference] = one
        return callback

    def release(self, reference: weakref.ref[_Callback]) -> None:
        self._released.append(self._waiting.pop(reference))
        self._send_if_all()

    def _forgotten(self, reference: weakref.ref[_Callback]) -> None:
        one = self._waiting.pop(reference, None)
        if one is not None and self._released:
            self._released.append(one)
            self._send_if_all()

    def _send_if_all(self) -> None:
        if self._released and not self._waiting:
            released, self._released = self._released, []
            self._send(released)


class _Callback:
    """What Django calls after the commit, for one job."""

    reference: weakref.ref[_Callback]

    def __init__(self, held: _Held) -> None:
        self._held = held

    def __call__(self) -> None:
        self._held.release(self.reference)


def hold_in_connection(using: str | None, one: HeldMessage, send: SendHeld) -> bool:
    """Have a message sent after the commit; False where no transaction is open."""
    connection: Any = connections[using or DEFAULT_DB_ALIAS]
    if not connection.in_atomic_block:
        return False
    by_sender: dict[SendHeld, _Held] = connection.__dict__.setdefault(_ATTRIBUTE, {})
    held = by_sender.get(send)
    if held is None:
        held = by_sender[send] = _Held(send)
    transaction.on_commit(held.add(one), using=using)
    return True
