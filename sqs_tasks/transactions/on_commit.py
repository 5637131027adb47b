"""Holding jobs back until the transaction that is open where they are sent has committed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from sqs_tasks.errors import BatchSendError
from sqs_tasks.message import OutgoingMessage
from sqs_tasks.receipts import PendingMessage, Receipt
from sqs_tasks.sending.held_messages import Failed, HeldMessage, SendsHeld, held_message, not_accepted, send_all_held

logger = logging.getLogger(__name__)

#: Called with the messages that could not be sent after a commit, and why.
OnUnsent = Callable[[Sequence[OutgoingMessage], BatchSendError], object]


class OnCommit:
    """Sends each job when the transaction that is open where it is sent has committed, in requests of ten.

    A job whose transaction, or whose savepoint, is rolled back is never sent. Without an open transaction a job is sent
    at once. Arguments, context, trace and job id are fixed by the call. What cannot be sent after a commit is logged as
    an error with its job ids and given to ``on_unsent``; nothing is raised, since the data is committed. A process that
    dies between the commit and the request loses the jobs: an outbox table would not.

    Args:
        using: The alias of Django's database; its default one unless given.
        session: For SQLAlchemy instead: gives the session that is in use where it is called, plain or async, or None
            for none; a ``scoped_session`` does.
        on_unsent: Called with the messages that could not be sent, and the error. It may send them again with
            ``queue.outbox.forward(messages)``; job ids stay the same.
    """

    def __init__(
        self,
        using: str | None = None,
        *,
        session: Callable[[], Any] | None = None,
        on_unsent: OnUnsent | None = None,
    ) -> None:
        self._using = using
        self._session = session
        self._on_unsent = on_unsent

    def __call__(
        self, outbox: SendsHeld, message: OutgoingMessage, pending: PendingMessage | None = None, /
    ) -> Receipt | None:
        """Hold a message back; None where no transaction is open."""
        one = held_message(outbox, message, pending)
        if self._session is not None:
            session = self._session()
            if session is None:
                return None
            from sqs_tasks.transactions.sqlalchemy_session import hold_in_session

            is_held = hold_in_session(session, one, self.send)
        else:
            from sqs_tasks.transactions.django_connection import hold_in_connection

            is_held = hold_in_connection(self._using, one, self.send)
        return one.pending if is_held else None

    def send(self, held: Sequence[HeldMessage]) -> None:
        """Send what a commit has released; never raises."""
        try:
            failed = _sent(held)
            if not failed.unsent:
                return
            error = not_accepted(failed)
            logger.error(
                "%d jobs could not be sent after their commit: %s",
                len(failed.unsent),
                error,
                extra={
                    "action": "jobs_unsent",
                    "jobs": len(failed.unsent),
                    "job_ids": [message.job_id for message in failed.unsent],
                },
            )
            if self._on_unsent is not None:
                self._on_unsent(failed.unsent, error)
        except Exception:  # the data is committed, so nothing may fail any more for whoever committed it
            logger.exception("sending after a commit failed", extra={"action": "send_after_commit_failed"})


def _sent(held: Sequence[HeldMessage]) -> Failed:
    """Send what was held; what cannot even be tried has failed too."""
    try:
        return send_all_held(held)
    except Exception as error:  # noqa: BLE001 - whatever it is, the messages must not be lost with it
        return Failed([one.message for one in held if one.pending.message_id is None], [error])
