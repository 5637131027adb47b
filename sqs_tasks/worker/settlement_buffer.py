"""Gathers verdicts into tens, so that settling costs a tenth of a request a job and never holds up a task."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from enum import Enum

from sqs_tasks import limits
from sqs_tasks.execution.settlement import Settlement, Unsettled
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.outcome import Leave, Verdict
from sqs_tasks.worker.heartbeat import Heartbeat
from sqs_tasks.worker.verdicts import GivenVerdict, VerdictCarrier, VerdictRound, WaitingVerdicts

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


class _Thread(Enum):
    """The states of the settle thread; see :class:`SettlementBuffer`."""

    NOT_STARTED = "not started"
    WATCHING = "watching"
    ASLEEP = "asleep"
    SETTLING = "settling"


class _Helper(Enum):
    """The states of a polling thread that helps; see :class:`SettlementBuffer`."""

    ABSENT = "absent"
    RESTING = "resting"
    SETTLING = "settling"


#: To look a member up costs more than to compare with it, and these are asked for each job.
_ASLEEP, _ABSENT = _Thread.ASLEEP, _Helper.ABSENT


class _Haste(Enum):
    """What was asked of the settle thread; see :class:`SettlementBuffer`."""

    LINGER = "linger"
    FLUSH = "flush"
    CLOSE = "close"


class SettlementBuffer:
    """Settles from one thread of its own, by count or after a moment, whichever comes first.

    Messages stay in the heartbeat until this thread takes them up, however far behind it is. What SQS would not settle
    in an outage is tried again for as long as the lease may hold: a job that is done must not run again because of ten
    bad seconds.

    It is in four states at once, all of them behind one lock. Either the thread or the helper is settling, never both.

    ===========  ============================  ===================================================================
    the thread   in this state                 leaves it
    ===========  ============================  ===================================================================
    not started  no verdict came yet           for *watching*, with the first verdict
    watching     it looks once in a linger     for *settling*, when verdicts are due; for *asleep*, after ten
                                               looks that found nothing; for its end, when *close* was asked
    asleep       nothing came for a while      for *watching*, when a verdict, *flush* or *close* wakes it
    settling     it makes the calls            for *watching*; if they are not answered in time, another thread takes
                                               its place and tries again, and it ends with their answer
    ===========  ============================  ===================================================================

    ===========  ============================  ===================================================================
    the helper   in this state                 leaves it
    ===========  ============================  ===================================================================
    absent       :meth:`help` was never called  for *resting*, for good: full tens are left to it
    resting      it polls, or runs a job       for *settling*, in :meth:`help`, if the thread rests and ten wait
    settling     it makes the calls            for *resting*; if they are not answered in time, the thread tries again
    ===========  ============================  ===================================================================

    ===========  ============================  ===================================================================
    the haste    means                         is left
    ===========  ============================  ===================================================================
    linger       verdicts wait for company     for *flush*, by an urgent verdict or :meth:`flush`
    flush        they are due now              for *linger*, when the thread took what there was
    close        they are due now, for good    never
    ===========  ============================  ===================================================================

    ===========  ============================  ===================================================================
    SQS          seems so since                leaves the state
    ===========  ============================  ===================================================================
    reachable    a round settled all           when a round left something worth another try
    unreachable  one did not                   when a round settled all; until then each waits out a pause,
                                               0.5 s at first and 5 s at most
    ===========  ============================  ===================================================================

    Args:
        settlement: Makes the calls.
        heartbeat: Keeps the messages until they are settled.
        patience_seconds: How long a verdict that SQS does not accept is kept.
        answer_seconds: How long a call may take before it is made again by another thread; see :meth:`look`.
        linger_seconds: How long a verdict waits for nine more; ``LINGER_SECONDS`` unless given.
        on_unsettled: Called with each message that could not be settled.
    """

    def __init__(
        self,
        settlement: Settlement,
        heartbeat: Heartbeat,
        *,
        patience_seconds: float,
        answer_seconds: float = 15,
        linger_seconds: float | None = None,
        on_unsettled: Callable[[Unsettled], None] = lambda _: None,
    ) -> None:
        self._carrier = VerdictCarrier(
            settlement, heartbeat, patience_seconds=patience_seconds, on_unsettled=on_unsettled
        )
        self._linger = LINGER_SECONDS if linger_seconds is None else linger_seconds
        # Condition's own "with" is two calls of Python more than that of its lock, and each verdict takes it.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._waiting = WaitingVerdicts()
        self._answer_seconds = answer_seconds
        #: The verdicts that are being carried out, and since when.
        self._round: VerdictRound | None = None
        self._round_since = 0.0
        self._thread: threading.Thread | None = None
        self._thread_is = _Thread.NOT_STARTED
        self._helper_is = _Helper.ABSENT
        self._haste = _Haste.LINGER
        self._outage = _Outage()

    def add(self, message: ReceivedMessage, verdict: Verdict, *, urgent: bool = False) -> None:
        """Settle a message soon; ``urgent`` does not wait for company (a FIFO group is locked until then)."""
        if isinstance(verdict, Leave):
            self._carrier.leave(message)
            return
        with self._lock:
            of_a_kind = self._waiting.add(message, verdict)
            if urgent:
                self._hurry(_Haste.FLUSH)
            if self._thread is None:
                self._start_thread()
            # Woken once for ten verdicts and not for each: a switch of threads costs as much as a small task.
            if (
                urgent
                or self._thread_is is _ASLEEP
                or (of_a_kind == limits.MAX_BATCH_ENTRIES and self._helper_is is _ABSENT)
            ):
                self._changed.notify_all()

    def help(self) -> None:
        """Settle full tens in the caller's thread, unless the settle thread is at it.

        For a polling thread that runs its jobs itself: between two receives it has nothing else to do, and two threads
        that want to run at once cost more than one.
        """
        with self._changed:
            self._helper_is = _Helper.RESTING
            if self._thread_is is _Thread.SETTLING or self._outage.is_on or not self._waiting.has_full_ten():
                return
            verdicts = self._take(whole=False)
            self._helper_is = _Helper.SETTLING
        again: list[GivenVerdict] = []
        try:
            again = self._carrier.carry_out(verdicts)
        finally:
            with self._changed:
                self._helper_is = _Helper.RESTING
                self._conclude(verdicts, again)
                self._changed.notify_all()

    def look(self) -> None:
        """See whether the calls that are being made were answered in time, and have them made again if not."""
        with self._changed:
            late = self._round
            if late is None or time.monotonic() - self._round_since < self._answer_seconds:
                return
            self._round = None
            self._waiting.put_back(late.all())
            self._hurry(_Haste.FLUSH)
            if self._helper_is is _Helper.SETTLING:
                self._helper_is = _Helper.RESTING
            if self._thread_is is _Thread.SETTLING:
                self._start_thread()
            self._changed.notify_all()
        logger.warning(
            "SQS has not answered for %g s whether %d messages are settled; trying again on another connection",
            self._answer_seconds,
            len(late.all()),
            extra={"action": "settle_unanswered"},
        )

    def wait_for_room(self, timeout_seconds: float) -> bool:
        """Wait until there is room for what another receive may bring; whether there is."""
        if len(self) < MAX_UNSETTLED:
            return True
        with self._changed:
            return self._changed.wait_for(lambda: len(self) < MAX_UNSETTLED, timeout_seconds)

    def flush(self) -> None:
        """Return when everything added so far has been settled, or been put off because SQS is unreachable."""
        with self._changed:
            self._hurry(_Haste.FLUSH)
            self._changed.notify_all()
            while self._thread is not None and (
                self._is_settling() or (self._waiting.oldest is not None and not self._outage.is_on)
            ):
                self._changed.wait()

    def close(self, timeout_seconds: float | None = None) -> bool:
        """Settle what is left and stop the thread; whether that was done in time."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        with self._changed:
            self._hurry(_Haste.CLOSE)
            self._changed.notify_all()
        joined: threading.Thread | None = None
        while (thread := self._thread) is not joined and thread is not None:  # it may be replaced meanwhile
            thread.join(None if deadline is None else max(deadline - time.monotonic(), 0))
            joined = thread
        return joined is None or not joined.is_alive()

    def messages(self) -> list[ReceivedMessage]:
        """Those whose verdict waits to be carried out."""
        with self._changed:
            return self._waiting.messages()

    def __len__(self) -> int:
        verdicts = self._round
        return len(self._waiting) + (0 if verdicts is None else len(verdicts.deletes) + len(verdicts.changes))

    def _start_thread(self) -> None:
        """Have a new thread settle, in place of the one there was, if any. Lock held."""
        self._thread_is = _Thread.WATCHING
        self._thread = threading.Thread(target=self._run, name="sqs-tasks-settle", daemon=True)
        self._thread.start()

    def _hurry(self, haste: _Haste) -> None:
        """Ask for more haste; what was closed stays closed. Lock held."""
        if self._haste is not _Haste.CLOSE:
            self._haste = haste

    def _is_settling(self) -> bool:
        return self._thread_is is _Thread.SETTLING or self._helper_is is _Helper.SETTLING

    def _take(self, *, whole: bool) -> VerdictRound:
        """Take what is to be settled now. Lock held."""
        self._round, self._round_since = self._waiting.take(whole=whole), time.monotonic()
        return self._round

    def _conclude(self, verdicts: VerdictRound, again: Sequence[GivenVerdict]) -> None:
        """Note how a round ended, unless somebody else has taken it over meanwhile. Lock held."""
        if self._round is verdicts:
            self._round = None
            self._waiting.put_back(again)
            self._outage.note(is_on=bool(again))

    # --- the settle thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        this = threading.current_thread()
        while True:
            with self._changed:
                if self._thread is not this:
                    return
                self._thread_is = _Thread.WATCHING
                self._changed.notify_all()
                whole = self._wait_for_work()
                if whole is None:
                    return
                verdicts = self._take(whole=whole)
                self._thread_is = _Thread.SETTLING
                self._hurry(_Haste.LINGER)
            try:
                again = self._carrier.carry_out(verdicts)
            except Exception:  # Settlement reads every failure; this guards the thread that everything depends on
                logger.exception("settling failed; the messages come back", extra={"action": "settle_failed"})
                again = []
            with self._changed:
                self._conclude(verdicts, again)

    def _wait_for_work(self) -> bool | None:
        """Wait until there are ten of a kind, or the oldest has waited long enough. Lock held.

        Returns:
            True to settle all, False to settle full tens alone, None to stop.
        """
        idle_looks = 0
        while True:
            if self._helper_is is _Helper.SETTLING:
                self._changed.wait()
                continue
            oldest = self._waiting.oldest
            if oldest is None:
                if self._haste is _Haste.CLOSE:
                    return None
                # While verdicts keep coming it looks by itself, so that they need not wake it.
                idle_looks += 1
                if idle_looks > _IDLE_LOOKS:
                    self._thread_is = _Thread.ASLEEP
                    self._changed.wait()
                    self._thread_is = _Thread.WATCHING
                else:
                    self._changed.wait(self._linger)
                continue
            idle_looks = 0
            now = time.monotonic()
            if self._outage.is_on:
                left = self._outage.next_try - now
            elif self._haste is not _Haste.LINGER:
                return True
            else:
                left = oldest + self._linger - now
            if left <= 0:
                return True
            if not self._outage.is_on and self._helper_is is _Helper.ABSENT and self._waiting.has_full_ten():
                return False
            self._changed.wait(left)


class _Outage:
    """Whether SQS settles at the moment, and when to try again if it does not."""

    def __init__(self) -> None:
        #: ``time.monotonic()`` of the next try.
        self.next_try = 0.0
        self._pause = 0.0

    @property
    def is_on(self) -> bool:
        """Whether the last round left something worth another try."""
        return self._pause > 0

    def note(self, *, is_on: bool) -> None:
        """Note how a round ended; each that failed doubles the pause before the next."""
        self._pause = min(max(self._pause * 2, MIN_PAUSE), MAX_PAUSE) if is_on else 0.0
        self.next_try = time.monotonic() + self._pause
