"""The one event loop of a process."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import threading
import time

import pytest

from sqs_tasks.errors import TaskTimeoutError
from sqs_tasks.execution import event_loop
from sqs_tasks.execution.event_loop import EventLoopLostError, LoopThread, close_loop, run_coroutine

name = contextvars.ContextVar("name", default="none")


@pytest.fixture(autouse=True)
def closed():
    yield
    close_loop()


async def answer(value):
    await asyncio.sleep(0)
    return value


def test_coroutines_share_one_loop():
    """A connection pool that is bound to it survives from job to job (S54)."""

    async def loop():
        return asyncio.get_running_loop()

    assert run_coroutine(loop(), timeout_seconds=None) is run_coroutine(loop(), timeout_seconds=5)


def test_result_and_error_are_the_coroutines_own():
    """The caller gets what the coroutine returns or raises."""

    async def fail():
        raise LookupError("no")

    assert run_coroutine(answer(7), timeout_seconds=None) == 7
    with pytest.raises(LookupError, match="no"):
        run_coroutine(fail(), timeout_seconds=None)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, MemoryError])
def test_loop_survives_whatever_a_coroutine_raises(error):
    """SystemExit, KeyboardInterrupt and MemoryError of a coroutine do not end the loop."""

    async def fail():
        raise error

    with pytest.raises(error):
        run_coroutine(fail(), timeout_seconds=None)
    assert run_coroutine(answer(7), timeout_seconds=None) == 7


def test_loop_survives_an_asyncio_task_that_exits(caplog):
    """Asyncio stops its loop for SystemExit in any task, also one that a job left running."""

    async def exits():
        raise SystemExit(1)

    async def leave_behind():
        left = asyncio.ensure_future(exits())
        await asyncio.wait([left])
        left.exception()

    run_coroutine(leave_behind(), timeout_seconds=5)

    assert run_coroutine(answer(7), timeout_seconds=5) == 7
    assert "tried to end the process" in caplog.text


def test_slow_coroutine_is_cancelled_at_its_timeout():
    """The coroutine sees CancelledError, the caller TaskTimeoutError."""
    cancelled = threading.Event()

    async def slow():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(TaskTimeoutError, match=r"longer than its timeout of 0\.01 s"):
        run_coroutine(slow(), timeout_seconds=0.01)
    assert cancelled.wait(5)


def test_coroutine_that_handles_its_cancellation_is_cancelled_again(monkeypatch):
    """Code that takes a cancellation for an error and tries again does not run on past its timeout."""
    monkeypatch.setattr(event_loop, "CANCEL_AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(event_loop, "LEAST_CANCEL_SECONDS", 0.01)
    tries = []

    async def stubborn():
        for number in range(3):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                tries.append(number)
        await asyncio.sleep(60)

    with pytest.raises(TaskTimeoutError, match=r"longer than its timeout of 0\.01 s"):
        run_coroutine(stubborn(), timeout_seconds=0.01)
    assert tries == [0, 1, 2]


def test_cancellation_from_outside_is_not_taken_for_a_timeout():
    """A worker that gives up on a job sees it end as cancelled, also when its time is up by then."""

    async def give_up():
        job = asyncio.ensure_future(event_loop.limited(asyncio.sleep(60), 30))
        await asyncio.sleep(0.01)
        job.cancel()
        await asyncio.wait([job])
        return job.cancelled()

    assert run_coroutine(give_up(), timeout_seconds=5)


def test_coroutine_that_ends_at_its_timeout_leaves_no_cancellation_behind():
    """What its asyncio task does next is not disturbed."""

    async def ends_late():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "cleaned up"

    async def go_on():
        result = await event_loop.limited(ends_late(), 0.01)
        await asyncio.sleep(0.01)
        return result, asyncio.current_task().cancelling()

    assert run_coroutine(go_on(), timeout_seconds=5) == ("cleaned up", 0)


def test_generator_exit_of_a_coroutine_is_an_error_of_its_own():
    """It ends no other coroutine that waits for it."""

    async def fail():
        raise GeneratorExit

    with pytest.raises(RuntimeError, match="raised GeneratorExit"):
        run_coroutine(fail(), timeout_seconds=None)


def test_coroutine_that_is_closed_has_raised_nothing():
    """The end of a loop is no failure of the jobs on it."""
    ended = []

    async def wait():
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(True)

    async def close():
        coroutine = event_loop.limited(wait(), None)
        coroutine.send(None)
        asyncio.get_running_loop().call_soon(coroutine.close)
        await asyncio.sleep(0.01)

    run_coroutine(close(), timeout_seconds=5)
    assert ended == [True]


def test_loop_that_fails_itself_goes_on(monkeypatch, caplog):
    """A MemoryError in the loop's own code ends no thread that all others wait for."""
    monkeypatch.setattr(event_loop, "FAILED_PAUSE_SECONDS", 0)
    thread = LoopThread()
    selector = thread._loop._selector
    select, failures = selector.select, [MemoryError()]

    def fails_once(timeout=None):
        if failures:
            raise failures.pop()
        return select(timeout)

    monkeypatch.setattr(selector, "select", fails_once)

    assert thread.run(answer(7), timeout_seconds=5) == 7
    assert thread.run(answer(8), timeout_seconds=5) == 8
    assert "the event loop failed" in caplog.text
    thread.close()


def breaks(thread, monkeypatch):
    """Have a loop fail from now on, whatever it does."""
    monkeypatch.setattr(event_loop, "FAILED_PAUSE_SECONDS", 0)

    def fails(timeout=None):
        raise MemoryError

    thread._loop._selector.select = fails
    thread._loop.call_soon_threadsafe(lambda: None)


@pytest.mark.parametrize("timeout_seconds", [None, 60])
def test_loop_that_fails_for_good_is_replaced(monkeypatch, caplog, timeout_seconds):
    """Whoever waits for one of its coroutines is told, and the next coroutine runs."""
    lost, ended = event_loop.shared_loop(), []

    def wait():
        with pytest.raises(EventLoopLostError):
            lost.run(asyncio.sleep(60), timeout_seconds=timeout_seconds)
        ended.append(True)

    waiter = threading.Thread(target=wait)
    waiter.start()
    spawned = lost.spawn(asyncio.sleep(60))

    breaks(lost, monkeypatch)

    with pytest.raises(EventLoopLostError):
        spawned.result(10)
    waiter.join(10)
    assert ended == [True]
    with pytest.raises(EventLoopLostError):
        lost.run(answer(6), timeout_seconds=None)
    assert run_coroutine(answer(7), timeout_seconds=5) == 7
    assert "another takes its place" in caplog.text


def test_fork_waits_until_nobody_holds_the_lock():
    """A thread that makes the loop in this moment would hold it in the child for ever."""
    holding, let_go = threading.Event(), threading.Event()

    def hold():
        with event_loop._lock:
            holding.set()
            let_go.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    holding.wait(10)
    threading.Timer(0.1, let_go.set).start()

    child = os.fork()
    if not child:
        signal.alarm(10)
        os._exit(run_coroutine(answer(7), timeout_seconds=5))

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    holder.join()


def test_timeout_of_the_coroutines_own_is_not_ours():
    """A TimeoutError that the coroutine raised stays one."""

    async def slow():
        async with asyncio.timeout(0.001):
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError) as raised:
        run_coroutine(slow(), timeout_seconds=5)
    assert not isinstance(raised.value, TaskTimeoutError)


def test_coroutine_that_cancels_itself_is_a_failure():
    """A cancelled coroutine is a failed attempt, not a silent end."""

    async def cancel():
        asyncio.current_task().cancel()
        await asyncio.sleep(60)

    with pytest.raises(TaskTimeoutError, match="cancelled"):
        run_coroutine(cancel(), timeout_seconds=None)


@pytest.mark.parametrize("way", ["blocks", "ignores"])
def test_coroutine_that_cannot_be_stopped_is_left_with_its_loop(monkeypatch, way):
    """A coroutine that ignores its cancellation costs its loop; the next one gets a new loop."""
    monkeypatch.setattr(event_loop, "CANCEL_GRACE_SECONDS", 0.02)
    release = threading.Event()

    async def stubborn():
        if way == "blocks":
            release.wait(30)
        while not release.is_set():
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                continue

    started = time.monotonic()
    try:
        with pytest.raises(TaskTimeoutError, match="did not stop"):
            run_coroutine(stubborn(), timeout_seconds=0.01)
        assert run_coroutine(answer(7), timeout_seconds=5) == 7
        assert time.monotonic() - started < 5
    finally:
        release.set()


def test_context_variables_of_the_caller_are_the_coroutines():
    """The coroutine sees the caller's context variables, and changes only its own."""

    async def look():
        seen = name.get()
        name.set("inside")
        return seen

    token = name.set("outside")
    try:
        assert run_coroutine(look(), timeout_seconds=None) == "outside"
        assert name.get() == "outside"
    finally:
        name.reset(token)


def test_coroutine_cannot_wait_for_its_own_loop():
    """A blocking call on the loop's own thread is refused instead of hanging."""

    async def outer():
        return run_coroutine(answer(7), timeout_seconds=None)

    with pytest.raises(RuntimeError, match="await it instead"):
        run_coroutine(outer(), timeout_seconds=5)


def test_closing_cancels_what_still_runs():
    """Background tasks are cancelled when the loop closes; closing twice does no harm."""
    cancelled = threading.Event()

    async def background():
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    async def leave_behind():
        return asyncio.ensure_future(background())

    thread = LoopThread()
    left = thread.run(leave_behind(), timeout_seconds=5)
    thread.close()
    thread.close()

    assert cancelled.is_set()
    assert left.cancelled()


def test_closed_loop_is_replaced():
    """The next coroutine gets a new loop."""
    run_coroutine(answer(7), timeout_seconds=None)
    close_loop()
    close_loop()

    assert run_coroutine(answer(8), timeout_seconds=None) == 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_forked_child_starts_its_own_loop():
    """The thread of the parent's is not there (S40: several processes of one environment)."""
    run_coroutine(answer(7), timeout_seconds=None)
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(run_coroutine(answer(8), timeout_seconds=5))
        finally:
            os._exit(1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 8
