"""Stopping plain code that runs too long."""

from __future__ import annotations

import signal
import threading

import pytest

from sqs_tasks.errors import TaskTimeoutError
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
        with main_thread_timeout(0.02), pytest.raises(TaskTimeoutError):
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
