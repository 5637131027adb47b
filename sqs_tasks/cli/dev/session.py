"""The loop of ``sqs-tasks dev``: one child at a time, replaced when the sources change."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from queue import Empty
from typing import Any, Protocol

from sqs_tasks.cli.dev.depths import QueuePlace
from sqs_tasks.cli.dev.events import Changed, Counted, Ended, Event, Events, Line, Stop
from sqs_tasks.cli.dev.record import Record
from sqs_tasks.cli.dev.screen import Screen
from sqs_tasks.worker.exit_codes import cause_of_exit

#: Seconds after Ctrl-C, and after the end of a restart's grace period, in which a child may end by itself.
STOP_SECONDS = 2.0

#: Seconds in which it may end after the second signal, which ends it together with what it started.
EXIT_SECONDS = 1.0

#: Seconds before a child that died while running is started again, doubled from the first to the last.
MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 30.0

#: Seconds of a restart after which it shows what it waits for; a worker without jobs ends before that.
WAITING_SECONDS = 1.5

#: Seconds between two pulses of the screen when nothing happens.
PULSE_SECONDS = 0.25


class Child(Protocol):
    """What the loop asks of a child."""

    number: int

    def terminate(self) -> None:
        """Ask it to stop in order."""

    def kill(self) -> None:
        """End it."""


class WrongArgumentsError(Exception):
    """The command line names something that does not exist; saving a file cannot fix that.

    Attributes:
        exit_code: What ``sqs-tasks worker`` ends with for the same mistake.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Session:
    """Runs children until it is asked to stop. Everything here belongs to the thread that calls :meth:`run`.

    If the application cannot be loaded, the next save starts another child; only at the first start, wrong arguments
    end the session, because the person who typed them is still there. A child that dies later is started again, as
    a container would be.

    Args:
        start: Starts the child of that number.
        screen: Where everything is shown.
        events: What happens.
        grace_seconds: What a child gets to finish running jobs before a restart.
        on_loaded: Called with the queues of an application that was loaded.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        start: Callable[[int], Child],
        screen: Screen,
        events: Events,
        *,
        grace_seconds: float,
        on_loaded: Callable[[Sequence[QueuePlace]], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._start_child = start
        self._screen = screen
        self._events = events
        self._grace_seconds = grace_seconds
        self._on_loaded = on_loaded
        self._clock = clock
        self._child: Child | None = None
        self._started = 0
        self._loaded = False
        self._pause = 0.0
        self._start_at: float | None = 0.0
        self._kill_at: float | None = None
        self._say_waiting_at: float | None = None
        self._in_flight = 0
        self._cause = ""

    def run(self) -> None:
        """Run until :class:`Stop`; on the way out the child is stopped, whatever happened.

        Raises:
            WrongArgumentsError: The first child refused the arguments.
        """
        try:
            while True:
                self.step()
                event = self._next()
                if isinstance(event, Stop):
                    return
                if event is not None:
                    self.handle(event)
        finally:
            self._end()

    def step(self) -> None:
        """Do what is due now."""
        now = self._clock()
        if self._child is None and self._start_at is not None and self._start_at <= now:
            self._start_at, self._loaded = None, False
            self._started += 1
            self._child = self._start_child(self._started)
        if self._child is not None and self._kill_at is not None and self._kill_at <= now:
            self._kill_at = float("inf")
            self._say(
                "the worker did not stop in time and is killed; what it held comes back", "killed", level="WARNING"
            )
            self._child.kill()
        if self._say_waiting_at is not None and self._say_waiting_at <= now:
            self._say_waiting(now)
        self._screen.pulse()

    def _say_waiting(self, now: float) -> None:
        self._say_waiting_at = None
        if self._child is None or self._kill_at is None or self._kill_at <= now:
            return
        jobs = "running jobs" if not self._in_flight else f"{self._in_flight} job" + "s" * (self._in_flight > 1)
        said = f"waiting for {jobs}, {max(self._kill_at - STOP_SECONDS - now, 0):.0f} s at most"
        self._say(said, "draining", status=said)

    def handle(self, event: Event) -> None:
        """Take one event."""
        match event:
            case Line(text):
                self._heard(Record.read(text))
            case Counted(depths):
                self._in_flight = sum(one.in_flight for one in depths)
                self._screen.count(depths)
            case Changed(paths):
                self._changed(paths)
            case Ended(number, code):
                if self._child is not None and number == self._child.number:
                    self._ended(code)
            case Stop():
                self._events.put(event)

    def _heard(self, record: Record) -> None:
        exit_code = record.fields.get("arguments_exit_code")
        if record.action == "dev_not_loaded" and exit_code is not None and self._started == 1:
            raise WrongArgumentsError(record.message, exit_code)
        if record.action == "dev_loaded":
            self._loaded = True
            self._on_loaded([QueuePlace.read(fields) for fields in record.fields["queues"]])
            status = f"running; restarted at {record.time} because {self._cause}" if self._cause else "running"
            record = Record({**record.fields, "status": status})
        self._screen.report(record)

    def _changed(self, paths: Sequence[str]) -> None:
        names = ", ".join(os.path.relpath(path) for path in paths[:3]) + (", …" if len(paths) > 3 else "")  # noqa: PLR2004
        self._pause = 0.0
        if self._child is None:
            self._cause = f"{names} changed"
            self._start_at = self._clock()
            self._say(f"{self._cause}: starting", "changed", status=f"starting because {self._cause}")
        elif self._kill_at is None:
            self._cause = f"{names} changed"
            self._kill_at = self._clock() + self._grace_seconds + STOP_SECONDS
            self._say_waiting_at = self._clock() + min(WAITING_SECONDS, self._grace_seconds)
            said = f"{self._cause}: restarting, running jobs finish first"
            self._say(said, "changed", status=f"restarting because {self._cause}; running jobs finish first")
            self._child.terminate()

    def _ended(self, code: int) -> None:
        now = self._clock()
        draining, self._kill_at, self._child = self._kill_at is not None, None, None
        self._say_waiting_at = None
        if draining:
            self._start_at = now
        elif self._loaded and code:
            self._cause = "the worker died"
            self._pause = min(max(self._pause * 2, MIN_PAUSE_SECONDS), MAX_PAUSE_SECONDS)
            self._start_at = now + self._pause
            said = f"the worker died ({cause_of_exit(code)}); it is started again in {self._pause:g} s"
            self._say(said, "died", level="ERROR", status="died, starting again", exit_code=code)
        else:
            said = "the worker ended" if not code else f"the application was not loaded ({cause_of_exit(code)})"
            self._say(f"{said}; the next save starts it", "waiting", status="waiting for a save", exit_code=code)

    def _say(self, message: str, what: str, *, level: str = "INFO", **fields: Any) -> None:
        self._screen.report(Record.make(message, level=level, action=f"dev_{what}", **fields))

    def _next(self, seconds: float = PULSE_SECONDS) -> Event | None:
        try:
            return self._events.get(timeout=seconds)
        except Empty:
            return None

    def _end(self) -> None:
        """Stop the child: in order for a moment, then at once, then by force; a second Ctrl-C shortens each."""
        child = self._child
        if child is None:
            return
        for seconds in (STOP_SECONDS, EXIT_SECONDS):
            child.terminate()
            if self._ends_within(seconds, child):
                return
        child.kill()

    def _ends_within(self, seconds: float, child: Child) -> bool:
        deadline = self._clock() + seconds
        while (left := deadline - self._clock()) > 0:
            event = self._next(left)
            if isinstance(event, Stop):
                return False
            if isinstance(event, Ended) and event.number == child.number:
                return True
            if isinstance(event, Line):
                with contextlib.suppress(OSError):  # nobody reads any more: the terminal is gone, or the pipe
                    self._screen.report(Record.read(event.text))
        return False
