"""Verdicts that wait to be carried out, and carrying them out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from sqs_tasks import limits
from sqs_tasks.execution.settlement import Settlement, Unsettled
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.outcome import ChangeVisibility, Verdict
from sqs_tasks.worker.heartbeat import Heartbeat


class GivenVerdict(NamedTuple):
    """What shall become of a message."""

    message: ReceivedMessage
    #: Seconds for which it shall be invisible; None to delete it.
    seconds: int | None
    #: ``time.monotonic()`` when the verdict was given.
    since: float

    def seconds_left(self) -> int:
        """The seconds from now: a backoff counts from its verdict, and waiting for company has been part of it."""
        return max((self.seconds or 0) - int(time.monotonic() - self.since), 0)


class VerdictRound(NamedTuple):
    """The verdicts that are carried out in one go."""

    deletes: Sequence[GivenVerdict]
    changes: Sequence[GivenVerdict]

    def all(self) -> tuple[GivenVerdict, ...]:
        """Both kinds."""
        return (*self.deletes, *self.changes)


class WaitingVerdicts:
    """Verdicts in the order in which they came, those that delete apart from those that change visibility.

    It has no lock: whoever holds it has one.
    """

    def __init__(self) -> None:
        self._deletes: list[GivenVerdict] = []
        self._changes: list[GivenVerdict] = []
        #: When the one that waits longest was given; None while none waits.
        self.oldest: float | None = None

    def add(self, message: ReceivedMessage, verdict: Verdict) -> int:
        """Add one to its kind, and return how many of that kind wait now."""
        since = time.monotonic()
        if isinstance(verdict, ChangeVisibility):
            kind = self._changes
            kind.append(GivenVerdict(message, verdict.seconds, since))
        else:
            kind = self._deletes
            kind.append(GivenVerdict(message, None, since))
        if self.oldest is None:
            self.oldest = since
        return len(kind)

    def put_back(self, verdicts: Iterable[GivenVerdict]) -> None:
        """Keep verdicts for another try."""
        for one in verdicts:
            (self._deletes if one.seconds is None else self._changes).append(one)
            if self.oldest is None or one.since < self.oldest:
                self.oldest = one.since

    def take(self, *, whole: bool) -> VerdictRound:
        """Take all verdicts out, or as many full tens as there are of each kind."""
        taken = VerdictRound(_take(self._deletes, whole=whole), _take(self._changes, whole=whole))
        left = [kind[0].since for kind in (self._deletes, self._changes) if kind]
        self.oldest = min(left) if left else None
        return taken

    def has_full_ten(self) -> bool:
        """Whether there are enough of a kind for a full call."""
        return max(len(self._deletes), len(self._changes)) >= limits.MAX_BATCH_ENTRIES

    def messages(self) -> list[ReceivedMessage]:
        """The messages that wait for their verdict to be carried out."""
        return [one.message for one in (*self._deletes, *self._changes)]

    def __len__(self) -> int:
        return len(self._deletes) + len(self._changes)


class VerdictCarrier:
    """Carries verdicts out: takes the messages off the heartbeat, makes the calls, and says what to try again.

    Args:
        settlement: Makes the calls.
        heartbeat: Keeps the messages until then.
        patience_seconds: How long a verdict that SQS does not accept is worth another try.
        on_unsettled: Called with each message that could not be settled.
    """

    def __init__(
        self,
        settlement: Settlement,
        heartbeat: Heartbeat,
        *,
        patience_seconds: float,
        on_unsettled: Callable[[Unsettled], None],
    ) -> None:
        self._settlement = settlement
        self._heartbeat = heartbeat
        self._patience = patience_seconds
        self._on_unsettled = on_unsettled

    def leave(self, message: ReceivedMessage) -> None:
        """A verdict that needs no call: the message comes back when its lease ends."""
        self._heartbeat.forget(message)

    def carry_out(self, verdicts: VerdictRound) -> list[GivenVerdict]:
        """Settle, and return the verdicts that are worth another try."""
        deletes, changes = verdicts
        failures: list[Unsettled] = []
        messages = [one.message for one in deletes]
        if messages:
            # Kept alive until SQS has answered, which may take its time: a job that is done must not run again.
            self._heartbeat.settling(messages)
            failures += self._settlement.delete(messages)
        if changes:
            beaten = self._heartbeat.remove([one.message for one in changes])
            failures += self._settlement.change_visibility([(one.message, one.seconds_left()) for one in changes])
            if beaten:
                self._repeat_after_beats(changes, beaten)
        if not failures:
            self._heartbeat.forget_all(messages)
            return []
        again = self._worth_another_try(verdicts, failures)
        kept = {one.message.receipt_handle for one in again}
        self._heartbeat.forget_all(message for message in messages if message.receipt_handle not in kept)
        return again

    def _worth_another_try(self, verdicts: VerdictRound, failures: Iterable[Unsettled]) -> list[GivenVerdict]:
        by_handle = {one.message.receipt_handle: one for one in verdicts.all()}
        again: list[GivenVerdict] = []
        oldest = time.monotonic() - self._patience
        for failure in failures:
            verdict = by_handle[failure.message.receipt_handle]
            if failure.is_final or verdict.since < oldest:
                self._on_unsettled(failure)
            else:
                again.append(verdict)
        return again

    def _repeat_after_beats(self, changes: Sequence[GivenVerdict], beaten: Sequence[ReceivedMessage]) -> None:
        """Change visibility once more when a beat is answered that may have undone the change."""
        by_handle = {one.message.receipt_handle: one for one in changes}

        def repeat(verdict: GivenVerdict) -> None:
            # Later on others may have received the message, and the old handle is not ours to use.
            if verdict.seconds_left() > 0:
                self._settlement.change_visibility([(verdict.message, verdict.seconds_left())])

        for message in beaten:
            self._heartbeat.when_answered(message, partial(repeat, by_handle[message.receipt_handle]))


def _take(verdicts: list[GivenVerdict], *, whole: bool) -> list[GivenVerdict]:
    """Take verdicts out of a list: all, or as many full tens as there are."""
    count = len(verdicts) if whole else len(verdicts) - len(verdicts) % limits.MAX_BATCH_ENTRIES
    taken = verdicts[:count]
    del verdicts[:count]
    return taken
