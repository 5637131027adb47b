"""SQLAlchemy's sessions, plain and async: jobs wait for the commit, and savepoints are respected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, SessionTransaction, scoped_session

from sqs_tasks.sending.held_messages import HeldMessage, SendHeld

#: Where a session keeps its jobs, by who sends them.
_KEY = "sqs_tasks_held"


class _Held:
    """The jobs of one session, by the transaction or savepoint in which they were sent.

    ==========================  ==================================================================================
    a savepoint is released     its jobs belong to what it was in
    the transaction commits     its jobs are released, and sent when it is over
    either ends otherwise       its jobs are forgotten
    ==========================  ==================================================================================
    """

    def __init__(self, session: Session, send: SendHeld) -> None:
        self._send = send
        self._waiting: dict[SessionTransaction, list[HeldMessage]] = {}
        event.listen(session, "after_commit", self._committed)
        event.listen(session, "after_transaction_end", self._ended)

    def add(self, transaction: SessionTransaction, one: HeldMessage) -> None:
        self._waiting.setdefault(transaction, []).append(one)

    def _committed(self, session: Session) -> None:
        transaction = _innermost(session)
        held = self._waiting.pop(transaction, []) if transaction is not None else []
        if not held or transaction is None:
            return
        outer = transaction.parent
        while outer is not None and not outer.nested and outer.parent is not None:
            outer = outer.parent
        if transaction.nested and outer is not None:
            self._waiting.setdefault(outer, []).extend(held)
        else:
            _without_the_loop(self._send, held)

    def _ended(self, _session: Session, transaction: SessionTransaction) -> None:
        self._waiting.pop(transaction, None)


def hold_in_session(session: Any, one: HeldMessage, send: SendHeld) -> bool:
    """Have a message sent after the commit of a session; False where it has not begun a transaction."""
    plain = _plain(session)
    transaction = _innermost(plain)
    if transaction is None:
        return False
    by_sender: dict[SendHeld, _Held] = plain.info.setdefault(_KEY, {})
    held = by_sender.get(send)
    if held is None:
        held = by_sender[send] = _Held(plain, send)
    held.add(transaction, one)
    return True


def _plain(session: Any) -> Session:
    """The session itself, under whatever it was given as."""
    if isinstance(session, (scoped_session, async_scoped_session)):
        session = session()
    if isinstance(session, AsyncSession):
        session = session.sync_session
    if not isinstance(session, Session):
        raise TypeError(
            f"OnCommit(session=...) gave {type(session).__name__}, which is no session of SQLAlchemy; give a function "
            "that returns a Session or an AsyncSession, or a scoped_session"
        )
    return session


def _innermost(session: Session) -> SessionTransaction | None:
    return session.get_nested_transaction() or session.get_transaction()


def _without_the_loop(send: SendHeld, held: Sequence[HeldMessage]) -> None:
    """SendHeld; where an async session commits, in a thread, so that the event loop goes on."""
    from sqlalchemy.util import await_only
    from sqlalchemy.util.concurrency import in_greenlet

    if not in_greenlet():
        send(held)
        return
    import asyncio

    try:
        await_only(asyncio.to_thread(send, held))
    except RuntimeError:  # the loop's threads have ended, as its process does; the commit must not fail for it
        send(held)
