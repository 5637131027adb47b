"""The timetable: fires each schedule when it is due."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from sqs_tasks.local.clock import SystemClock, wall_time
from sqs_tasks.local.clock.agenda import Alarm
from sqs_tasks.local.model.service import Service
from sqs_tasks.local.scheduler.delivery import Delivery
from sqs_tasks.local.scheduler.schedule import Schedule

logger = logging.getLogger(__name__)

#: Seconds after which the wall clock is looked at again: it goes on while a laptop sleeps, and alarms do not.
_LOOK_SECONDS = 60.0


class Timetable:
    """Fires schedules. Each slot of a schedule is fired once, and all of them in the order of their moments.

    While a laptop sleeps nothing fires. When it wakes up, the last slot that a schedule has missed fires, and the
    others are skipped, with a line in the log.

    Args:
        service: The SQS whose clock and agenda it shares.
        completed: Called with a schedule when it has invoked its target for the last time.
    """

    def __init__(self, service: Service, completed: Callable[[Schedule], None]) -> None:
        self._service = service
        self._completed = completed
        self._waits: dict[Schedule, set[_Wait]] = {}

    def now(self) -> float:
        """Seconds since the epoch, by the calendar."""
        return wall_time(self._service.clock)

    def arm(self, schedule: Schedule) -> None:
        """Begin to fire a schedule that was made or changed."""
        self.disarm(schedule)
        slot = schedule.first_slot(self.now()) if schedule.is_enabled else None
        if slot is not None:
            self._wait(schedule, slot, partial(self._due, schedule, slot))

    def disarm(self, schedule: Schedule) -> None:
        """Fire a schedule no more; what it tries to deliver already is not touched."""
        for wait in self._waits.pop(schedule, ()):
            wait.cancel()

    def _wait(self, schedule: Schedule, moment: float, action: Callable[[float], None]) -> None:
        def ring(at: float) -> None:
            self._waits[schedule].discard(wait)
            action(at)

        wait = _Wait(self._service, moment, ring)
        self._waits.setdefault(schedule, set()).add(wait)

    def _due(self, schedule: Schedule, slot: float, at: float) -> None:
        """A slot has come: wait for the next one, and invoke the target now or later in the flexible window."""
        if isinstance(self._service.clock, SystemClock):
            slot = self._last_missed(schedule, slot)
        following = schedule.slot_after(slot)
        if following is not None:
            self._wait(schedule, following, partial(self._due, schedule, following))
        invoke = partial(self._invoke, schedule, slot)
        invoked_at = schedule.invoked_at(slot)
        if invoked_at > slot:
            self._wait(schedule, invoked_at, invoke)
        else:
            invoke(at)

    def _invoke(self, schedule: Schedule, slot: float, at: float) -> None:
        if not self._waits[schedule]:
            # No slot is left, nor one whose place in a flexible window is behind that of the last.
            self._completed(schedule)
        Delivery(self._service, schedule_arn=schedule.arn, target=schedule.fields["Target"], slot=slot).attempt(at)

    def _last_missed(self, schedule: Schedule, slot: float) -> float:
        """The last slot that has come by now; more than one have only after a sleep."""
        skipped = 0
        while (following := schedule.slot_after(slot)) is not None and following <= self.now():
            slot = following
            skipped += 1
        if skipped:
            logger.warning(
                "schedule %s: %d runs were skipped, because this machine slept when they were due",
                schedule.arn,
                skipped,
                extra={"action": "schedule_slots_skipped", "schedule_arn": schedule.arn, "skipped": skipped},
            )
        return slot


class _Wait:
    """Waits for a moment of the calendar, and calls an action with the moment at which it has come on the agenda.

    Args:
        service: Whose clock and agenda.
        moment: Seconds since the epoch, by the calendar.
        action: Called once.
    """

    def __init__(self, service: Service, moment: float, action: Callable[[float], None]) -> None:
        self._service = service
        self._moment = moment
        self._action = action
        self._alarm = self._set()

    def cancel(self) -> None:
        """Wait no more."""
        self._service.agenda.cancel(self._alarm)

    def _set(self) -> Alarm:
        clock, at = self._service.clock, self._moment
        if isinstance(clock, SystemClock):
            at = clock.now() + min(max(0.0, self._moment - wall_time(clock)), _LOOK_SECONDS)
        return self._service.agenda.at(at, self._ring, at)

    def _ring(self, at: float) -> None:
        if wall_time(self._service.clock) < self._moment:
            self._alarm = self._set()
        else:
            self._action(at)
