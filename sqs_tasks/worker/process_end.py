"""How a worker process ends: in time, whatever keeps it, and with the jobs given back that would not end."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqs_tasks.worker.signals import ignore_stop_signals
from sqs_tasks.worker.stop import Stop

#: Seconds that the last acts of a process may take: the supervisor and the platform are about to kill it.
LAST_ACT_SECONDS = 2.5


class ProcessEnd:
    """Ends the process when it does not end by itself, and has it do one thing as late as Python allows.

    Python cannot stop a thread, waits at its end for those that are no daemons and for whatever the application does
    in ``atexit``, and a line that is logged or printed waits for whoever should read it. None of that may keep a
    process that was asked to stop.

    ========  =========================================================  ============================================
    it is     from                                                       until at most
    ========  =========================================================  ============================================
    working   the start of :meth:`bounded`                               the request to stop, or the end of the block
    stopping  the request to stop                                        the end of the grace period, and the margin
    exiting   the beginning of Python's own end, after the block         the same; a grace period from here, and the
                                                                         margin, when nobody asked to stop
    gone      ``atexit`` called all, or the moment of the last column:
              the last act is performed, and the process ends
    ========  =========================================================  ============================================

    ``atexit`` calls last what was registered first: make it before the application is loaded.

    Args:
        register: Registers what is called at the end; for tests.
        exit_now: Ends the process; for tests.
    """

    def __init__(
        self,
        register: Callable[[Callable[[], None]], object] = atexit.register,
        exit_now: Callable[[int], None] = os._exit,
    ) -> None:
        self._exit_now = exit_now
        self._process = os.getpid()
        self._act: Callable[[], None] = lambda: None
        self._exit_code: Callable[[], int] = lambda: 0
        self._begin, self._done = threading.Event(), threading.Event()
        self._is_armed = False
        self._is_stopping: Callable[[], bool] = lambda: False
        register(self._at_exit)

    @contextmanager
    def bounded(
        self, stop: Stop, *, last_act: Callable[[], None], exit_code: Callable[[], int], margin_seconds: float
    ) -> Iterator[None]:
        """Bound the block, and the exit of the process after it.

        Args:
            stop: The request to stop; it knows the grace period.
            last_act: What is done in a thread at the very end, after all that the application does.
            exit_code: What a process exits with that did not end by itself.
            margin_seconds: Seconds beyond the grace period that an orderly end may take.
        """
        over, exiting = threading.Event(), threading.Event()
        self._act, self._exit_code = last_act, exit_code
        self._is_stopping = lambda: stop.requested
        # Now: at the end of a process Python starts no thread.
        threading.Thread(target=self._perform, name="sqs-tasks-last-act", daemon=True).start()

        def bound_stop() -> None:
            if not over.wait((stop.seconds_left() or 0) + margin_seconds):
                self._end()

        def bound_exit() -> None:
            exiting.wait()
            left = stop.seconds_left()
            if not self._done.wait((stop.grace_seconds if left is None else left) + margin_seconds):
                self._end()

        stop.on_request(lambda: threading.Thread(target=bound_stop, name="sqs-tasks-grace", daemon=True).start())
        try:
            yield
        except BaseException:
            self._exit_code = lambda: 1
            raise
        finally:
            over.set()
            self._is_armed = True
            threading.Thread(target=bound_exit, name="sqs-tasks-exit", daemon=True).start()
            _call_at_exit(exiting.set)

    def _perform(self) -> None:
        self._begin.wait()
        with contextlib.suppress(Exception):
            self._act()
        # What Python would do in a moment, and wait for: nobody may be reading.
        with contextlib.suppress(Exception):
            logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        self._done.set()

    def _at_exit(self) -> None:
        if self._is_armed and os.getpid() == self._process:
            self._begin.set()
            if not self._done.wait(LAST_ACT_SECONDS):
                self._exit_now(self._exit_code())
            if self._is_stopping():
                # Python takes its handlers off in a moment, and the same wish once more would change the exit code.
                ignore_stop_signals()

    def _end(self) -> None:
        self._begin.set()
        self._done.wait(LAST_ACT_SECONDS)
        _end_children()
        self._exit_now(self._exit_code())


def _call_at_exit(call: Callable[[], object]) -> None:
    """Have a function called as soon as the interpreter begins to shut down: ``atexit`` is too late for that.

    Python waits for threads before ``atexit``, and for those of executors before all others. So their hook is used,
    which has no public name; without it the end of the main thread has to do.
    """
    register: Callable[[Callable[[], object]], object] | None = getattr(threading, "_register_atexit", None)
    if register is not None:
        register(call)
        return

    def wait() -> None:
        threading.main_thread().join()
        call()

    threading.Thread(target=wait, name="sqs-tasks-main-thread", daemon=True).start()


def _end_children() -> None:
    """Ask the processes that tasks began by multiprocessing to end; Python would do so at its own end."""
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is None:
        return
    for child in multiprocessing.active_children():
        with contextlib.suppress(Exception):
            child.terminate()
