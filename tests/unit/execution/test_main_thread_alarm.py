"""Stopping plain code that runs too long."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
import traceback

import pytest

from sqs_tasks.errors import TaskInterruption, TaskTimeoutError
from sqs_tasks.execution.main_thread_alarm import MainThreadAlarm, main_thread_timeout, task_timeout
from tests.support.spinning import spin

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no alarms on this system")


def alarm():
    return signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)[0]


def test_code_that_takes_too_long_is_interrupted():
    """The block ends with TaskTimeoutError, and the alarm is as it was before."""
    before = alarm()
    with pytest.raises(TaskTimeoutError, match=r"longer than its timeout of 0\.01 s"), main_thread_timeout(0.01):
        spin(5)

    assert alarm() == before


def test_code_that_ends_in_time_is_left_alone():
    """Nothing is raised, and the alarm is as it was before."""
    before = alarm()
    with main_thread_timeout(5):
        spin(0.001)

    assert alarm() == before


def test_own_exception_of_the_code_passes_through():
    """An exception of the block is not replaced."""
    with pytest.raises(KeyError), main_thread_timeout(5):
        raise KeyError


def test_no_limit_sets_no_alarm():
    """Without a timeout no timer is set."""
    with task_timeout(None):
        assert alarm()[1] == 0


def test_shortest_limit_there_is_interrupts_and_cleans_up():
    """The alarm may go off before the block begins."""
    before = alarm()
    for _ in range(50):
        with pytest.raises(TaskTimeoutError), main_thread_timeout(0.000_001):
            spin(5)

    assert alarm() == before


def test_other_threads_are_not_interrupted():
    """Python delivers signals to the main thread alone."""
    ended = []

    def work():
        with main_thread_timeout(0.001):
            spin(0.01)
        ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert ended == [True]


def test_inner_limit_that_comes_first_interrupts_the_inner_block_alone():
    """After the inner block the outer limit still holds."""
    with main_thread_timeout(5):
        with pytest.raises(TaskTimeoutError, match=r"0\.01"), main_thread_timeout(0.01):
            spin(5)
        assert 0 < alarm()[1] <= 5, "the outer one is set again"

    assert alarm()[1] == 0


def test_outer_limit_that_comes_first_holds_inside():
    """A longer inner limit does not extend the outer one."""
    with pytest.raises(TaskTimeoutError, match=r"0\.01"), main_thread_timeout(0.01), main_thread_timeout(5):
        spin(5)


def test_outer_limit_that_passed_inside_is_not_forgotten():
    """An outer limit rings although the inner block caught its own timeout."""

    def catch():
        with main_thread_timeout(0.05):
            try:
                with main_thread_timeout(0.01):
                    spin(5)
            except TaskTimeoutError:
                spin(5)

    with pytest.raises(TaskTimeoutError, match=r"0\.05"):
        catch()


def test_alarm_of_the_code_around_is_put_back():
    """A timer that was set before the block rings after it."""
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(True))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.03)
        with pytest.raises(TaskTimeoutError), main_thread_timeout(0.02):
            spin(5)
        spin(0.05)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert rung == [True]


def test_exception_may_be_none_that_broad_handlers_catch():
    """A BaseException gets through ``except Exception``."""

    class Final(BaseException):
        pass

    def call():
        with MainThreadAlarm() as alarm, alarm.limit(0.01, "given up after {:g} s", Final):
            while True:
                try:
                    spin(5)
                except Exception:
                    continue

    with pytest.raises(Final, match=r"given up after 0\.01 s"):
        call()


def test_alarm_that_is_taken_sets_one_limit_after_the_other():
    """One taken alarm serves many limits, and none of them rings after its block."""
    before = alarm()
    with MainThreadAlarm() as taken:
        for _ in range(3):
            with pytest.raises(TaskTimeoutError), taken.limit(0.005):
                spin(5)
            with taken.limit(5):
                spin(0.001)
            with taken.limit(None):
                spin(0.001)
            with taken.limit(0.005):
                pass
            spin(0.01)

    assert alarm() == before
    with taken.limit(0.001):
        spin(0.01)


def test_limit_of_another_thread_limits_nothing():
    """Only the main thread gets signals; elsewhere a limit does nothing."""
    ended = []
    with MainThreadAlarm() as taken:

        def work():
            with taken.limit(0.001):
                spin(0.01)
            ended.append(True)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    assert ended == [True]


# What the code catches


def catches_exceptions():
    while True:
        try:
            spin(5)
        except Exception:
            continue


def catches_everything_asleep():
    while True:
        try:
            time.sleep(5)
        except BaseException:
            continue


def catches_everything_at_work():
    while True:
        try:
            spin(5)
        except:  # noqa: E722 - as applications have it
            continue


def suppresses_everything():
    while True:
        with contextlib.suppress(BaseException):
            threading.Event().wait(5)


def catches_everything_in_depth():
    while True:
        try:
            while True:
                try:
                    catches_everything_asleep()
                except BaseException:
                    continue
        except BaseException:
            continue


def raises_another_error_and_starts_anew():
    while True:
        try:
            try:
                time.sleep(5)
            finally:
                raise OSError("cannot close")
        except OSError:
            continue


def leaves_it_to_a_collected_object():
    class Slow:
        def __del__(self):
            spin(5)

    while True:
        Slow()


@pytest.mark.parametrize(
    "code",
    [
        catches_exceptions,
        catches_everything_asleep,
        catches_everything_at_work,
        suppresses_everything,
        catches_everything_in_depth,
        raises_another_error_and_starts_anew,
        leaves_it_to_a_collected_object,
    ],
)
def test_no_handler_outlasts_a_limit(code, monkeypatch):
    """Interruptions come until one finds the code outside of its handlers (billiard#240, perma#2032)."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    before, started = alarm(), time.monotonic()

    def call():
        with MainThreadAlarm() as taken, taken.limit(0.02, patience_seconds=0.05):
            code()

    with pytest.raises(TaskTimeoutError, match=r"longer than its timeout of 0\.02 s"):
        call()
    assert time.monotonic() - started < 3
    assert alarm() == before


def test_code_has_time_to_clean_up_after_the_first_interruption():
    """What a finally block does in that time is not disturbed."""
    steps = []

    def call():
        with main_thread_timeout(0.01):
            try:
                spin(5)
            finally:
                spin(0.1)
                steps.append("cleaned up")

    with pytest.raises(TaskTimeoutError):
        call()
    assert steps == ["cleaned up"]


def test_code_sees_an_interruption_that_says_what_is_over():
    """It may be told from the code's own errors, and from other ends of the process."""
    seen = []

    def call():
        with main_thread_timeout(0.01):
            try:
                spin(5)
            except TaskInterruption as interruption:
                seen.append(str(interruption))
                raise

    with pytest.raises(TaskTimeoutError) as raised:
        call()
    assert seen == ["the task ran longer than its timeout of 0.01 s"]
    assert "spin" in [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]


def test_code_that_ends_after_its_interruption_has_ended():
    """It may have finished what it was about, and nothing comes after its block."""
    with main_thread_timeout(0.01), contextlib.suppress(TaskInterruption):
        spin(5)
    spin(0.05)


def test_limit_around_rings_again_in_the_limit_inside():
    """One alarm inside the other: the outer limit's further interruptions are not lost."""

    def call():
        with (
            MainThreadAlarm() as outer,
            outer.limit(0.02, "outer", patience_seconds=0.02),
            MainThreadAlarm() as inner,
            inner.limit(60),
        ):
            catches_everything_at_work()

    started = time.monotonic()
    with pytest.raises(TaskTimeoutError, match="outer"):
        call()
    assert time.monotonic() - started < 3
