"""The relay: it reads rows that were committed, sends them, and deletes what SQS has accepted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from sqs_tasks.client import ClientProvider, error_code, size_limit_in
from sqs_tasks.errors import BatchSendError, described, one_line
from sqs_tasks.loggers import kept_logger
from sqs_tasks.message import OutgoingMessage
from sqs_tasks.receipts import MessageId
from sqs_tasks.sending.sender import chunks, unsent_error
from sqs_tasks.sending.written_messages import Results
from sqs_tasks.transactions.on_commit import OnUnsent
from sqs_tasks.transactions.outbox.database import Database
from sqs_tasks.transactions.outbox.row import Row, message_of
from sqs_tasks.transactions.outbox.stored_rows import Depth, StoredRows, Taken
from sqs_tasks.transport.batch_call import Failure

logger = kept_logger(__name__)

#: Seconds between two looks at the table.
POLL_SECONDS = 1.0

#: Seconds between two reports of what was done, and of how full the table is.
REPORT_SECONDS = 10.0

#: Seconds for which a queue rests after a failure; they double up to the second.
REST_SECONDS, LONGEST_REST_SECONDS = 1.0, 60.0

#: What SQS says of a message that it will never take, and where a part of such a code is about the caller instead.
_OF_THE_MESSAGE = ("InvalidMessageContents", "InvalidParameterValue", "InvalidAttributeValue", "MissingParameter")
_OF_THE_REQUEST = ("BatchRequestTooLong", "UnsupportedOperation")


#: What the client raises for a message for which it cannot even make a request.
_OF_THE_CLIENT = ("ParamValidationError", "UnicodeEncodeError")


class SendsWritten(Protocol):
    """What sends the messages of one queue: :class:`~sqs_tasks.sending.outbox.Outbox`."""

    def send_written(self, messages: Sequence[OutgoingMessage], /) -> Results:
        """Send messages of one request; for each the receipt, or why SQS did not accept it."""


class RelayedQueue(Protocol):
    """What a relay asks of a queue."""

    @property
    def fifo(self) -> bool:
        """Whether SQS keeps the order of each message group."""

    @property
    def outbox(self) -> SendsWritten:
        """What sends to it."""


class RelayedEnvironment(Protocol):
    """What a relay asks of an environment."""

    client: ClientProvider

    @property
    def queues(self) -> Mapping[str, RelayedQueue]:
        """The registered queues by name."""


@dataclass(slots=True)
class Relayed:
    """What a relay has done.

    Attributes:
        sent: Jobs that SQS has accepted; their rows are gone.
        failed: Jobs that are tried again later.
        refused: Jobs that SQS will never take; their rows stay, and are not tried again.
    """

    sent: int = 0
    failed: int = 0
    refused: int = 0

    def add(self, other: Relayed) -> None:
        """Add what was done next."""
        self.sent += other.sent
        self.failed += other.failed
        self.refused += other.refused

    def __bool__(self) -> bool:
        return bool(self.sent or self.failed or self.refused)


class Relay:
    """Sends the jobs of a table. Several at once share the work: no row is taken by two.

    Args:
        env: The environment; rows of queues that are not registered in it are left to others.
        database: The database: a :class:`~sqs_tasks.transactions.outbox.sqlalchemy_database.SQLAlchemyDatabase` or a
            :class:`~sqs_tasks.transactions.outbox.django_database.DjangoDatabase`.
        on_unsent: Called with the messages that SQS refuses for good, and the error; that of ``SQSEnv(send=Outbox())``
            unless given.
        clock: Counts the seconds for which a queue rests.

    Attributes:
        total: What it has done so far.
        depth: How full the table was at the last report.
        problem: Why the last look at the table failed; empty when it did not.
        looked_at: When it last took rows or tried to, by ``clock``.
    """

    def __init__(
        self,
        env: RelayedEnvironment,
        database: Database,
        *,
        on_unsent: OnUnsent | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._env = env
        self._stored = StoredRows(database, env.client.now)
        self._on_unsent: OnUnsent | None = on_unsent or getattr(getattr(env, "hold", None), "on_unsent", None)
        self._clock = clock
        self._rests: dict[str, tuple[float, float]] = {}
        self._unknown: set[str] = set()
        self.total = Relayed()
        self.depth = Depth(0, 0, 0, 0.0)
        self.problem = ""
        self.looked_at = clock()

    def look(self) -> Depth:
        """How full the table is now."""
        return self._stored.depth()

    def run_once(self, stop: threading.Event | None = None) -> Relayed:
        """Send what is ready, until nothing is left that can be sent now; nothing is raised for what SQS does.

        Args:
            stop: Ends it after the request that is under way.
        """
        done = Relayed()
        self.looked_at = self._clock()
        known = self._env.queues
        for name in self._stored.queues():
            if name not in known:
                self._note_unknown(name)
                continue
            while not self._is_resting(name) and not (stop is not None and stop.is_set()):
                step = self._step(name, known[name])
                done.add(step)
                if not (step.sent or step.refused):
                    break
        self.total.add(done)
        return done

    def run(self, stop: threading.Event, *, poll_seconds: float = POLL_SECONDS) -> None:
        """Send what is ready, again and again, until ``stop`` is set; a database that fails is tried again.

        Args:
            stop: Ends it, after the request that is under way.
            poll_seconds: Seconds between two looks at the table.
        """
        rest, since, reported_at = poll_seconds, Relayed(), -REPORT_SECONDS
        while not stop.is_set():
            try:
                since.add(self.run_once(stop))
                if self._clock() - reported_at >= REPORT_SECONDS:
                    self._report(since)
                    since, reported_at = Relayed(), self._clock()
                rest, self.problem = poll_seconds, ""
            except Exception as error:  # noqa: BLE001 - the database's, or anybody's: the jobs are still there
                rest = min(max(REST_SECONDS, rest * 2), LONGEST_REST_SECONDS)
                # The database's own words; those of SQLAlchemy would quote statements and their values.
                self.problem = described(getattr(error, "orig", None) or error)
                logger.error(  # noqa: TRY400 - a database that is restarted needs no traceback
                    "the outbox cannot be read, next try in %g s: %s",
                    rest,
                    self.problem,
                    extra={"action": "outbox_failed", "error": type(error).__name__},
                )
            stop.wait(rest)
        if since:
            with suppress(Exception):  # it was only for the log
                self._report(since)

    def _step(self, name: str, queue: RelayedQueue) -> Relayed:
        """Take rows of a queue once, and send them."""
        self.looked_at = self._clock()
        refused: list[tuple[OutgoingMessage, Any]] = []
        with self._stored.taken(name, fifo=queue.fifo) as taken:
            if not taken.rows:
                return Relayed()
            for wave in _waves(taken.rows, fifo=queue.fifo):
                rows = [row for row in wave if not _is_stopped(row, taken)]
                self._send(queue.outbox, rows, taken, refused)
        finally_refused = sum(is_final for _, _, is_final in taken.failed)
        done = Relayed(len(taken.sent), len(taken.failed) - finally_refused, finally_refused)
        if done.failed:
            self._rest(name, taken)
        elif done.sent:
            self._rests.pop(name, None)
        if refused:
            self._hand_over(name, refused)
        return done

    def _send(
        self, outbox: SendsWritten, rows: Sequence[Row], taken: Taken, refused: list[tuple[OutgoingMessage, Any]]
    ) -> None:
        now = self._env.client.now()
        messages: list[OutgoingMessage] = []
        by_message: dict[int, Row] = {}
        for row in rows:
            try:
                message = message_of(row, now)
            except (ValueError, LookupError, TypeError) as error:  # somebody else has written it
                logger.exception(
                    "row %d of the outbox is no message", row.id, extra={"action": "outbox_row_unreadable"}
                )
                taken.fail(row, described(error), refused=True)
            else:
                messages.append(message)
                by_message[id(message)] = row
        for chunk in chunks(messages):
            results = outbox.send_written(chunk)
            if len(chunk) > 1:
                # A request that was refused as a whole, perhaps for one message: each goes alone, none for another.
                results = [
                    outbox.send_written([message])[0] if isinstance(one, Exception) and is_refusal(one) else one
                    for message, one in zip(chunk, results, strict=True)
                ]
            for message, result in zip(chunk, results, strict=True):
                row = by_message[id(message)]
                if isinstance(result, MessageId):
                    taken.sent.append(row.id)
                    continue
                is_final = is_refusal(result)
                if is_final:
                    refused.append((message, result))
                taken.fail(row, _words(result), refused=is_final)

    def _is_resting(self, name: str) -> bool:
        until, _ = self._rests.get(name, (0.0, 0.0))
        return self._clock() < until

    def _rest(self, name: str, taken: Taken) -> None:
        _, last = self._rests.get(name, (0.0, 0.0))
        seconds = min(last * 2 or REST_SECONDS, LONGEST_REST_SECONDS)
        self._rests[name] = (self._clock() + seconds, seconds)
        waiting = [why for _, why, is_final in taken.failed if not is_final]
        logger.warning(
            "%d jobs of the outbox were not accepted by queue %s, next try in %g s: %s",
            len(waiting),
            name,
            seconds,
            waiting[-1],
            extra={"action": "outbox_waits", "queue_name": name, "jobs": len(waiting)},
        )

    def _hand_over(self, name: str, refused: Sequence[tuple[OutgoingMessage, Any]]) -> None:
        messages = [message for message, _ in refused]
        error: BatchSendError = unsent_error(name, messages, [why for _, why in refused])
        logger.error(
            "queue %s refuses %d jobs of the outbox for good, and their rows stay: %s; see 'sqs-tasks outbox ls "
            "--refused', then retry or drop them",
            name,
            len(messages),
            one_line(str(error)),
            extra={
                "action": "outbox_refused",
                "queue_name": name,
                "jobs": len(messages),
                "job_ids": [message.job_id for message in messages],
            },
        )
        if self._on_unsent is None:
            return
        try:
            self._on_unsent(messages, error)
        except Exception:  # the next rows are not to wait for it
            logger.exception("on_unsent failed", extra={"action": "hook_failed"})

    def _note_unknown(self, name: str) -> None:
        if name not in self._unknown:
            self._unknown.add(name)
            logger.warning(
                "the outbox has jobs for queue %s, which is not registered here: they wait for a relay of the "
                "application that has it",
                name,
                extra={"action": "outbox_queue_unknown", "queue_name": name},
            )

    def _report(self, done: Relayed) -> None:
        self.depth = depth = self.look()
        if not (done or depth.ready or depth.refused):
            return
        logger.info(
            "outbox: %d sent, %d to be tried again, %d refused; %d wait, the oldest for %.1f s; %d were refused",
            done.sent,
            done.failed,
            done.refused,
            depth.ready,
            depth.oldest_age_seconds,
            depth.refused,
            extra={
                "action": "outbox_relayed",
                "sent": done.sent,
                "failed": done.failed,
                "refused": done.refused,
                "waiting": depth.ready,
                "refused_waiting": depth.refused,
                "oldest_age_seconds": depth.oldest_age_seconds,
            },
        )


def is_refusal(why: Failure) -> bool:
    """Whether SQS says that it will never take a message; a queue that is missing or denied may come back."""
    if isinstance(why, Exception):
        is_said = size_limit_in(why) is not None or error_code(why) in (*_OF_THE_MESSAGE, *_OF_THE_REQUEST)
        return is_said or type(why).__name__ in _OF_THE_CLIENT
    code = str(why.get("Code", ""))
    return bool(why.get("SenderFault")) and not code.startswith(("Kms", "KMS", "AccessDenied", "Throttl", "Request"))


def _waves(rows: Sequence[Row], *, fifo: bool) -> list[list[Row]]:
    """Rows that one request may carry: of each message group one at a time, since any entry of a request may fail."""
    if not fifo:
        return [list(rows)]
    waves: list[list[Row]] = []
    counts: dict[str | None, int] = {}
    for row in rows:
        number = counts[row.group_id] = counts.get(row.group_id, -1) + 1
        if number == len(waves):
            waves.append([])
        waves[number].append(row)
    return waves


def _is_stopped(row: Row, taken: Taken) -> bool:
    """Whether an earlier row of its message group has failed."""
    if row.group_id is None or not taken.failed:
        return False
    failed = {row_id for row_id, _, _ in taken.failed}
    return any(other.id in failed and other.group_id == row.group_id for other in taken.rows)


def _words(why: Failure) -> str:
    if isinstance(why, Exception):
        return described(why)
    return ": ".join(str(why[name]) for name in ("Code", "Message") if why.get(name))


__all__ = ["POLL_SECONDS", "Relay", "Relayed", "is_refusal"]
