"""Gathers verdicts into tens, so that settling costs a tenth of a request a job and never holds up a task."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sqs_tasks import limits
from sqs_tasks.execution.settlement import Hide, Leave, Settlement, Unsettled, Verdict
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.worker.heartbeat import Heartbeat

logger = logging.getLogger(__name__)

#: Seconds a verdict waits for company; far below any lease, and above what a busy worker needs to fill ten.
LINGER_SECONDS = 0.03

#: Verdicts that may wait before no more is received: what a process has done and not settled is done again when it
#: dies, so that must not grow with the speed of its tasks.
MAX_UNSETTLED = 30

#: Looks, a linger apart, that find nothing before the settle thread sleeps until it is woken.
_IDLE_LOOKS = 10

#: Seconds to wait after SQS settled nothing at all, and at most; between them it doubles.
MIN_PAUSE, MAX_PAUSE = 0.5, 5.0


class _Verdict(NamedTuple):
    message: ReceivedMessage
    #: Seconds to hide it; None to delete it.
    seconds: int | None
    #: ``time.monotonic()`` when the verdict was given.
    since: float


class SettlementBuffer:
    """Settles from one thread of its own, by count or after a moment, whichever comes first.

    Messages stay in the heartbeat until this thread takes them up, however far behind it is. What SQS would not settle
    in an outage is tried again for as long as the lease may hold: a job that is done must not run again because of ten
    bad seconds.

    Args:
        settlement: Makes the calls.
        heartbeat: Keeps the messages until they are settled.
        patience_seconds: How long a verdict that SQS does not take is kept.
        linger_seconds: How long a verdict waits for nine more; ``LINGER_SECONDS`` unless given.
        on_unsettled: Told of each message that could not be settled.
    """

    def __init__(
        self,
        settlement: Settlement,
        heartbeat: Heartbeat,
        *,
        patience_seconds: float,
        linger_seconds: float | None = None,
        on_unsettled: Callable[[Unsettled], None] = lambda _: None,
    ) -> None:
        self._settlement = settlement
        self._heartbeat = heartbeat
        self._patience = patience_seconds
        self._linger = LINGER_SECONDS if linger_seconds is None else linger_seconds
        self._on_unsettled = on_unsettled
        self._deletes: list[_Verdict] = []
        self._hides: list[_Verdict] = []
        self._oldest: float | None = None
        self._not_before = 0.0
        self._pause = 0.0
        self._urgent = False
        self._closed = False
        self._busy = False
        self._helping = False
        self._asleep = False
        self._has_helper = False
        self._under_way = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, message: ReceivedMessage, verdict: Verdict, *, urgent: bool = False) -> None:
        """Settle a message soon; ``urgent`` does not wait for company (a FIFO group is locked until then)."""
        if isinstance(verdict, Leave):
            self._heartbeat.forget(message)
            return
        kind, seconds = (self._hides, verdict.seconds) if isinstance(verdict, Hide) else (self._deletes, None)
        one = _Verdict(message, seconds, time.monotonic())
        with self._changed:
            kind.append(one)
            if self._oldest is None:
                self._oldest = one.since
            self._urgent = self._urgent or urgent
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sqs-tasks-settle", daemon=True)
                self._thread.start()
            # Woken once for ten verdicts and not for each: a switch of threads costs as much as a small task.
            if self._asleep or urgent or (len(kind) == limits.MAX_BATCH_ENTRIES and not self._has_helper):
                self._changed.notify_all()

    def help(self) -> None:
        """Settle full tens in the caller's thread, unless somebody is at it.

        For a polling thread that runs its jobs itself: between two receives it has nothing else to do, and two threads
        that want to run at once cost more than one.
        """
        with self._changed:
            self._has_helper = True
            if self._busy or self._pause or max(len(self._deletes), len(self._hides)) < limits.MAX_BATCH_ENTRIES:
                return
            deletes, hides = self._taken(whole=False)
            self._helping = True
        again: list[_Verdict] = []
        try:
            again = self._settle(deletes, hides)
        finally:
            with self._changed:
                self._helping, self._under_way = False, 0
                self._put_off(again)
                self._changed.notify_all()

    def wait_for_room(self, timeout_seconds: float) -> bool:
        """Wait until there is room for what another receive may bring; whether there is."""
        if len(self) < MAX_UNSETTLED:
            return True
        with self._changed:
            return self._changed.wait_for(lambda: len(self) < MAX_UNSETTLED, timeout_seconds)

    def flush(self) -> None:
        """Return when everything added so far has been settled, or been put off because SQS is away."""
        with self._changed:
            self._urgent = True
            self._changed.notify_all()
            while self._thread is not None and (
                self._busy or self._helping or (self._oldest is not None and not self._pause)
            ):
                self._changed.wait()

    def close(self, timeout_seconds: float | None = None) -> bool:
        """Settle what is left and stop the thread; whether that was done in time."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is None:
            return True
        thread.join(timeout_seconds)
        return not thread.is_alive()

    def messages(self) -> list[ReceivedMessage]:
        """Those whose verdict waits to be carried out."""
        with self._changed:
            return [one.message for one in (*self._deletes, *self._hides)]

    def __len__(self) -> int:
        return len(self._deletes) + len(self._hides) + self._under_way

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy, self._under_way = False, 0
                self._changed.notify_all()
                whole = self._wait_for_work()
                if whole is None:
                    return
                deletes, hides = self._taken(whole=whole)
                self._urgent, self._busy = False, True
            try:
                again = self._settle(deletes, hides)
            except Exception:  # Settlement reads every failure; this guards the thread that everything depends on
                logger.exception("settling failed; the messages come back", extra={"action": "settle_failed"})
                again = []
            with self._changed:
                self._under_way = 0
                self._put_off(again)

    def _taken(self, *, whole: bool) -> tuple[list[_Verdict], list[_Verdict]]:
        """Take what is to be settled now. Lock held."""
        deletes = _take(self._deletes, whole=whole)
        hides = _take(self._hides, whole=whole)
        left = [kind[0].since for kind in (self._deletes, self._hides) if kind]
        self._oldest = min(left) if left else None
        self._under_way = len(deletes) + len(hides)
        return deletes, hides

    def _settle(self, deletes: Sequence[_Verdict], hides: Sequence[_Verdict]) -> list[_Verdict]:
        """Settle, and return what is worth trying again."""
        self._heartbeat.remove(one.message for one in (*deletes, *hides))
        failures: list[Unsettled] = []
        if deletes:
            failures += self._settlement.delete([one.message for one in deletes])
        if hides:
            now = time.monotonic()
            # A backoff counts from its verdict; waiting here for company has been part of it.
            failures += self._settlement.hide(
                [(one.message, max(one.seconds - int(now - one.since), 0)) for one in hides if one.seconds is not None]
            )
        if not failures:
            return []
        by_handle = {one.message.receipt_handle: one for one in (*deletes, *hides)}
        again: list[_Verdict] = []
        oldest = time.monotonic() - self._patience
        for failure in failures:
            verdict = by_handle[failure.message.receipt_handle]
            if failure.is_final or verdict.since < oldest:
                self._on_unsettled(failure)
            else:
                again.append(verdict)
        return again

    def _put_off(self, again: Sequence[_Verdict]) -> None:
        """Keep verdicts for a later try, and wait before it. Lock held."""
        if not again:
            self._pause = 0.0
            return
        self._pause = min(max(self._pause * 2, MIN_PAUSE), MAX_PAUSE)
        self._not_before = time.monotonic() + self._pause
        for one in again:
            (self._deletes if one.seconds is None else self._hides).append(one)
        self._oldest = min(one.since for one in again)

    def _wait_for_work(self) -> bool | None:
        """Wait until there are ten of a kind, or the oldest has waited long enough. Lock held.

        Returns:
            True to settle all, False to settle full tens alone, None to stop.
        """
        idle_looks = 0
        while True:
            if self._helping:
                self._changed.wait()
                continue
            if self._oldest is None:
                if self._closed:
                    return None
                # While verdicts keep coming it looks by itself, so that they need not wake it.
                idle_looks += 1
                self._asleep = idle_looks > _IDLE_LOOKS
                self._changed.wait(None if self._asleep else self._linger)
                self._asleep = False
                continue
            idle_looks = 0
            now = time.monotonic()
            if self._pause:
                left = self._not_before - now
            elif self._closed or self._urgent:
                return True
            else:
                left = self._oldest + self._linger - now
            if left <= 0:
                return True
            full = max(len(self._deletes), len(self._hides)) >= limits.MAX_BATCH_ENTRIES
            if full and not self._pause and not self._has_helper:
                return False
            self._changed.wait(left)


def _take(verdicts: list[_Verdict], *, whole: bool) -> list[_Verdict]:
    """Take verdicts out of a list: all, or as many full tens as there are."""
    count = len(verdicts) if whole else len(verdicts) - len(verdicts) % limits.MAX_BATCH_ENTRIES
    taken = verdicts[:count]
    del verdicts[:count]
    return taken
