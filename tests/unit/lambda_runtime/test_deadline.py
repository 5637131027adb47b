"""The end of an invocation: what is still started, what is stopped, and what is settled in time (S50-S52, T5)."""

from __future__ import annotations

import asyncio
import math
import signal
import threading
import time

import pytest

from sqs_tasks import ConstantBackoff, Postpone, Reject, SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.lambda_runtime.deadline import REMEMBERED_RUNS, Deadline, ObservedDurations
from sqs_tasks.message import OWN_DATA_TYPE
from sqs_tasks.outcome import NotStarted
from tests.support.accepting_client import AcceptingClient
from tests.support.lambda_events import FakeContext, event, failures, record
from tests.support.spinning import spin


class Function:
    """A handler whose tasks spend the context's time."""

    def __init__(self, seconds=30.0, max_receive_count=None, **handler):
        self.context = FakeContext(seconds)
        self.client = AcceptingClient()
        self.env = SQSEnv(sqs_client=self.client, backoff_policy=ConstantBackoff(40))
        self.queue = self.env.queue("work", max_receive_count=max_receive_count)
        self.ran = []
        self.reports = []
        self.handler = SQSEventHandler(self.env, **handler)
        self.handler.on_settled(self.reports.append)

    def task(self, name="work", *, takes=0.0, **options):
        @self.queue.processor(name, **options)
        def work(x=0):
            self.ran.append(x)
            self.context.spend(takes)

    def __call__(self, *jobs):
        return failures(
            self.handler(event(*(record(f"{i}", job, {"x": i}) for i, job in enumerate(jobs))), self.context)
        )

    @property
    def not_started(self):
        return [report.message.message_id for report in self.reports if isinstance(report.outcome, NotStarted)]


def test_t5_what_no_longer_fits_is_returned_at_once_and_what_finished_is_not():
    """S51. A task of 10 s, a margin of 2: started at 30, 20 and 12 s left, and not at less."""
    function = Function(30)
    function.task(takes=9, timeout=10)

    assert function(*["work"] * 4) == ["2", "3"] or function.ran == [0, 1, 2]
    assert function.ran == [0, 1, 2]
    assert function.not_started == ["3"]
    assert function.client.visibilities == {"3": 0}


@pytest.mark.parametrize(
    ("seconds", "starts"), [(14.1, 2), (13.9, 1)], ids=["just enough for a second", "a breath too little"]
)
def test_t5_margin_is_seconds_and_not_milliseconds(seconds, starts):
    """brefphp/laravel-bridge takes 1.0 from a number of milliseconds."""
    function = Function(seconds, margin_seconds=4)
    function.task(takes=5, timeout=5)
    function("work", "work", "work")

    assert len(function.ran) == starts


def test_t5_small_task_still_fits_where_a_large_one_does_not():
    """A job starts if its own timeout fits the time that is left; a larger one before it is given back."""
    function = Function(30)
    function.task("large", takes=20, timeout=25)
    function.task("small", takes=1, timeout=2)

    assert function("large", "large", "small") == ["1"]
    assert function.ran == [0, 2]


def test_first_job_of_an_invocation_is_started_whatever_is_left(caplog):
    """A fresh invocation will not have more: it would go round for ever."""
    function = Function(10)
    function.task(takes=9.5, timeout=30)

    assert function("work", "work") == ["1"]
    assert function.ran == [0]
    assert "10.0 s of the function's time are left and task work may take 30.0 s" in caplog.text


def test_timeout_that_no_invocation_covers_does_not_send_quick_jobs_back(caplog):
    """Else each invocation would run one job and give back nine, and SQS would dead-letter most of a queue unrun."""
    function = Function(30)
    function.task(takes=1, timeout=30)

    assert function(*["work"] * 10) == []
    assert function.ran == list(range(10))
    assert caplog.text.count("it needs a longer timeout") == 1


def test_slow_jobs_with_such_a_timeout_are_judged_by_the_runs_before_them():
    """Where the timeout is as long as the function's, observed durations decide."""
    function = Function(30)
    function.task(takes=10, timeout=30)
    function.handler._options.durations.add("work", "work", 12.0)

    assert function(*["work"] * 3) == ["2"]


@pytest.mark.parametrize(("receives", "starts"), [(3, False), (4, True), (5, True)])
def test_job_is_not_given_back_at_its_last_receive(receives, starts):
    """SQS would move it with the next one, and it might never have run: better a run that may end in time."""
    function = Function(30, max_receive_count=4)
    function.task("slow", takes=20, timeout=25)
    function.task("work", takes=1, timeout=10)
    records = [record("0", "slow", {"x": 0}), record("1", "work", {"x": 1}, count=receives)]

    answer = function.handler(event(*records), function.context)

    assert function.ran == ([0, 1] if starts else [0])
    assert failures(answer) == ([] if starts else ["1"])


def test_job_at_its_last_receive_is_not_started_in_the_margin():
    """A job at its last receive is given back, too, when only the margin is left."""
    function = Function(30, max_receive_count=4)
    function.task("slow", takes=29, timeout=25)
    function.task("work", timeout=10)

    function.handler(event(record("0", "slow", {"x": 0}), record("1", "work", {"x": 1}, count=4)), function.context)

    assert function.ran == [0]


def test_task_without_a_timeout_is_judged_by_the_runs_before_it():
    """The observed 99th percentile (issue: a task may have none)."""
    function = Function(30)
    function.task("slow")
    durations = function.handler._options.durations
    durations.add("work", "slow", 27.0)
    function.task("quick", takes=2)

    assert function("quick", "slow", "quick") == ["1"]


class Counting(FakeContext):
    """Counts how often its clock is asked."""

    asked = 0

    def get_remaining_time_in_millis(self):
        self.asked += 1
        return super().get_remaining_time_in_millis()


def test_clock_is_passed_over_while_all_timeouts_together_fit():
    """Nothing that is sure to be stopped in time needs a look; what may run for ever does."""
    deadline = Deadline(Counting(100), margin_seconds=10)
    deadline._remaining_millis.__self__.asked = 0

    assert [deadline.covers(30, is_bounded=True) for _ in range(3)] == [True] * 3
    assert deadline._remaining_millis.__self__.asked == 0
    assert deadline.covers(30, is_bounded=True)
    assert deadline._remaining_millis.__self__.asked == 1
    assert deadline.covers(30)
    assert deadline.covers(30, is_bounded=True)
    assert deadline._remaining_millis.__self__.asked == 3


def test_job_that_outran_its_timeout_is_noticed(monkeypatch):
    """A call into C cannot be stopped: time that has gone by counts, whatever was promised."""
    now = [1000.0]
    monkeypatch.setattr("sqs_tasks.lambda_runtime.deadline.monotonic", lambda: now[0])
    context = FakeContext(100)
    deadline = Deadline(context, margin_seconds=10)
    assert deadline.covers(1, is_bounded=True)

    now[0] += 95
    context.spend(95)

    assert not deadline.covers(1, is_bounded=True)


def test_lambdas_clock_has_the_last_word(monkeypatch):
    """Where time seems to be up by our own clock it is asked: it may be one that a test moves."""
    now = [1000.0]
    monkeypatch.setattr("sqs_tasks.lambda_runtime.deadline.monotonic", lambda: now[0])
    deadline = Deadline(FakeContext(100), margin_seconds=10)

    now[0] += 95

    assert deadline.covers(30, is_bounded=True)


def test_messages_that_cannot_run_end_with_the_margin_too():
    """Each may cost a call to the dead-letter queue, and none is asked for its time."""
    function = Function(30)
    function.task(takes=29, timeout=29.5)
    letters = []
    function.client.send_message = lambda **letter: letters.append(letter) or {"MessageId": "dead"}
    events = [record("0", "work"), *(record(str(i), "work", body="{") for i in range(1, 4))]

    assert failures(function.handler(event(*events), function.context)) == ["2", "3"]
    assert len(letters) == 1
    assert function.not_started == ["2", "3"]


@pytest.mark.parametrize(
    ("wrong", "took", "end"),
    [
        ({"job": "old", "body": "{", "age_seconds": 3600}, 29, "Rejected UndecodableMessageError"),
        ({"job": "nobody", "arguments": {"y": 1}, "age_seconds": 3600}, 29, "UnknownTask"),
        ({"job": "old", "arguments": {"y": 1}, "age_seconds": 3600}, 29, "Rejected JobExpiredError"),
        ({"job": "old", "arguments": {"y": 1}}, 29, "NotStarted"),
        ({"job": "old", "arguments": {"y": 1}}, 1, "Rejected SignatureMismatchError"),
    ],
    ids=["unreadable", "unknown", "expired", "late", "does not fit"],
)
def test_s49_first_thing_that_is_wrong_with_a_message_decides(wrong, took, end):
    """It is read, its task is looked up, then its age counts, then the time that is left; its arguments come last."""
    function = Function(30)
    function.task("long", takes=took, timeout=29.5)
    function.task("old", timeout=5, max_age=60)

    function.handler(event(record("0", "long"), record("1", **wrong)), function.context)

    outcome = function.reports[1].outcome
    error = getattr(outcome, "error", None)
    assert " ".join([type(outcome).__name__, *([type(error).__name__] if error else [])]) == end


def test_observed_durations_forget():
    """Only the last runs of a task count, each task by itself."""
    durations = ObservedDurations()
    assert durations.p99_seconds("q", "t") == 0
    durations.add("q", "t", 100.0)
    for _ in range(REMEMBERED_RUNS - 1):
        durations.add("q", "t", 1.0)
    assert durations.p99_seconds("q", "t") == 100.0
    durations.add("q", "t", 2.0)
    assert durations.p99_seconds("q", "t") == 2.0
    assert durations.p99_seconds("other", "t") == 0


def test_durations_of_tasks_without_a_timeout_are_observed():
    """A task with a timeout needs no observation."""
    function = Function()
    function.task("free")
    function.task("limited", timeout=3)
    function("free", "limited")

    assert function.handler._options.durations.p99_seconds("work", "free") > 0
    assert function.handler._options.durations.p99_seconds("work", "limited") == 0


@pytest.mark.parametrize(
    ("seconds", "asked", "margin"),
    [(30, None, 2), (900, None, 2), (3, None, 0.3), (30, 5, 5), (3, 5, 1.5), (30, 0, 0)],
)
def test_margin_fits_the_time_there_is(seconds, asked, margin):
    """The margin is two seconds, or a tenth of a short invocation, or what was asked, up to half of the time."""
    assert Deadline(FakeContext(seconds), asked).margin_seconds == pytest.approx(margin)


def test_context_without_a_clock_has_no_end():
    """Without Lambda's clock every job fits."""
    deadline = Deadline(None)

    assert deadline.seconds_left() == math.inf
    assert deadline.covers(10_000)
    assert deadline.limit_seconds(None) is None
    assert deadline.limit_seconds(7) == 7


def test_plain_task_is_stopped_at_its_timeout_s52():
    """A plain task that computes is stopped, and its message comes back after the backoff."""
    function = Function()
    function.queue.processor("work", timeout=0.05)(lambda x: spin(10))

    assert function("work") == ["0"]
    assert "TaskTimeoutError: the task ran longer than its timeout of 0.05 s" in function.reports[0].outcome.reason
    assert function.client.visibilities == {"0": 40}


def test_plain_task_that_sleeps_is_stopped_at_its_timeout():
    """A plain task that waits is stopped as well."""
    function = Function()
    function.queue.processor("work", timeout=0.05)(lambda x: threading.Event().wait(10))

    assert function("work") == ["0"]


def test_async_task_is_stopped_at_its_timeout_s52():
    """An async task is cancelled at its timeout."""
    function = Function()

    @function.queue.processor("work", timeout=0.05)
    async def work(x):
        await asyncio.sleep(10)

    assert function("work") == ["0"]
    assert "TaskTimeoutError" in function.reports[0].outcome.reason


def test_own_timeout_of_an_async_task_is_its_own():
    """A TimeoutError of the task's own code is not reported as the task's timeout."""
    function = Function()

    @function.queue.processor("work", timeout=5)
    async def work(x):
        async with asyncio.timeout(0.01):
            await asyncio.sleep(10)

    assert function("work") == ["0"]
    assert function.reports[0].outcome.reason.startswith("TimeoutError")


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_task_without_a_timeout_is_stopped_before_the_invocation_ends_s50(kind):
    """Else Lambda ends it, nothing is answered, and what had finished runs again."""
    function = Function(0.3)
    function.task("quick")
    if kind == "plain":
        function.queue.processor("endless")(lambda x: spin(10))
    else:

        async def endless(x):
            await asyncio.sleep(10)

        function.queue.processor("endless")(endless)

    assert function("quick", "endless") == ["1"]
    assert "TaskTimeoutError" in function.reports[1].outcome.reason


def test_coroutine_that_blocks_the_loop_is_left_behind(monkeypatch):
    """It cannot be stopped; the batch goes on with a new loop."""
    monkeypatch.setattr("sqs_tasks.lambda_runtime.deadline.PATIENCE_SECONDS", 0.05)
    function = Function()
    release = threading.Event()

    @function.queue.processor("blocks", timeout=0.05)
    async def blocks(x):
        release.wait(10)

    @function.queue.processor("fine")
    async def fine(x):
        await asyncio.sleep(0)

    try:
        assert function("blocks", "fine") == ["0"]
        assert "did not stop" in function.reports[0].outcome.reason
    finally:
        release.set()


class RealTime:
    """The context of an invocation whose time passes."""

    aws_request_id = "r-1"

    def __init__(self, seconds):
        self._ends_at = time.monotonic() + seconds

    def get_remaining_time_in_millis(self):
        """What is left."""
        return max(int((self._ends_at - time.monotonic()) * 1000), 0)

    def spend(self, seconds):
        """Let time pass, as it does."""
        time.sleep(seconds)


def sleeps_through_everything():
    while True:
        try:
            time.sleep(0.2)
        except BaseException:
            continue


def works_through_everything():
    while True:
        try:
            spin(10)
        except BaseException:
            continue


@pytest.mark.parametrize("timeout", [0.2, 60, None])
@pytest.mark.parametrize("code", [sleeps_through_everything, works_through_everything])
def test_task_that_handles_its_interruption_is_answered_before_the_deadline(code, timeout):
    """A loop with a broad handler ends nevertheless, at its timeout or at the margin, and the jobs before it count."""
    function = Function(2)
    function.context = RealTime(2)
    function.task("quick")
    function.queue.processor("stubborn", timeout=timeout)(lambda x: code())

    assert function("quick", "stubborn") == ["1"]
    assert function.context.get_remaining_time_in_millis() > 0
    assert "TaskTimeoutError" in function.reports[1].outcome.reason


@pytest.mark.parametrize("timeout", [0.2, 60, None])
def test_blocked_event_loop_is_answered_before_the_deadline(timeout):
    """Also in functions of few seconds, whose margin is far below the second that a coroutine has to end."""
    function = Function(1)
    function.context = RealTime(1)
    function.task("quick")
    release = threading.Event()

    @function.queue.processor("blocks", timeout=timeout)
    async def blocks(x):
        release.wait(10)

    try:
        assert function("quick", "blocks") == ["1"]
        assert function.context.get_remaining_time_in_millis() > 0
        assert "did not stop" in function.reports[1].outcome.reason
    finally:
        release.set()


def test_dead_letter_that_takes_too_long_is_given_up_in_time():
    """An answer that comes too late is none: the message stays instead."""
    function = Function(0.4, margin_seconds=0.1)
    function.queue.processor("work")(lambda x: (_ for _ in ()).throw(Reject("no")))
    function.client.send_message = lambda **_: spin(10)
    started = time.monotonic()

    assert function("work") == ["0"]
    assert time.monotonic() - started < 1


def test_visibility_call_that_takes_too_long_is_given_up_in_time():
    """Settling ends before the invocation does, so that the answer is sent."""
    function = Function(0.4, margin_seconds=0.1)
    function.queue.processor("work")(lambda x: 1 / 0)
    function.client.change_message_visibility_batch = lambda **_: spin(10)
    started = time.monotonic()

    assert function("work") == ["0"]
    assert time.monotonic() - started < 1


def test_alarm_of_the_function_itself_is_there_afterwards():
    """The handler leaves SIGALRM and its timer as they were."""
    function = Function()
    function.task()
    before = signal.getsignal(signal.SIGALRM)
    function("work")

    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


# With concurrency


def test_jobs_of_a_batch_run_side_by_side_by_option():
    """With ``concurrency=3`` three jobs run at the same time."""
    function = Function(concurrency=3)
    together = threading.Barrier(3)
    function.queue.processor("meet")(lambda x: together.wait(10))

    assert function("meet", "meet", "meet") == []


def test_concurrency_has_a_bound():
    """With ``concurrency=2`` never more than two jobs run at the same time."""
    function = Function(concurrency=2)
    lock, running, most = threading.Lock(), [0], [0]

    @function.queue.processor("work")
    def work(x):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.01)
        with lock:
            running[0] -= 1

    assert function(*["work"] * 8) == []
    assert most[0] == 2


def test_async_jobs_share_the_one_loop_of_the_process_s54():
    """All async jobs, of later invocations too, run on one event loop."""
    function = Function(concurrency=3)
    loops = []
    together = threading.Barrier(3)

    @function.queue.processor("work")
    async def work(x):
        loops.append(asyncio.get_running_loop())
        await asyncio.to_thread(together.wait, 10)

    assert function("work", "work", "work") == []
    assert function("work", "work", "work") == []
    assert len(set(loops)) == 1


def test_thread_that_does_not_end_in_time_keeps_its_message_s52(caplog):
    """It cannot be killed; its message keeps the visibility of its receive, for it may still be at work. It is named."""
    function = Function(0.5, concurrency=2, margin_seconds=0.2)
    release = threading.Event()
    function.queue.processor("stuck")(lambda x: release.wait(10))
    function.task("fine")
    try:
        assert function("stuck", "fine") == ["0"]
        assert function.client.visibilities == {}
        (named,) = [one for one in caplog.records if getattr(one, "action", None) == "job_unfinished"]
        assert named.getMessage() == "job stuck still runs at the end of the invocation"
        assert named.message_id == "0"
    finally:
        release.set()


def test_thread_that_ends_after_the_answer_says_nothing_any_more():
    """The answer kept its message; a report, a delete or a visibility of a later moment would contradict it."""
    function = Function(0.3, concurrency=2, margin_seconds=0.1, eager_acknowledgement=True)
    release = threading.Event()
    function.queue.processor("stuck")(lambda x: release.wait(10))
    function.task("fine")
    lanes = []
    function.handler.on_start(lambda *_: lanes.append(threading.current_thread()))
    assert function("stuck", "fine") == ["0"]
    before = len(function.reports)

    release.set()
    for thread in lanes:
        thread.join(10)

    assert len(function.reports) == before


def test_thread_that_ends_after_the_answer_sends_no_copy():
    """The answer kept its message, so a copy of the job would be a second one; the same for a dead letter."""
    function = Function(0.3, concurrency=2, margin_seconds=0.1)
    release = threading.Event()
    ends = [Postpone(60), Reject("no")]

    @function.queue.processor("stuck")
    def stuck(x):
        release.wait(10)
        raise ends[x]

    lanes = []
    function.handler.on_start(lambda *_: lanes.append(threading.current_thread()))
    assert function("stuck", "stuck") == ["0", "1"]
    release.set()
    for thread in lanes:
        thread.join(10)

    assert function.client.sent == []


def test_what_goes_on_by_a_copy_is_given_back_by_its_own_receives():
    """A copy may have had any number of attempts before: its queue moves it no sooner for that."""
    function = Function(30, max_receive_count=5)
    function.task(takes=25, timeout=25)
    copy = record("copy", "work", {"x": 1})
    copy["messageAttributes"]["Attempt"] = {"stringValue": "7", "dataType": OWN_DATA_TYPE}

    assert failures(function.handler(event(record("0", "work", {"x": 0}), copy), function.context)) == ["copy"]
    assert function.ran == [0]
    assert function.not_started == ["copy"]


def test_jobs_behind_threads_that_do_not_end_are_returned_at_once():
    """Jobs that never started are given back with visibility 0."""
    function = Function(0.5, concurrency=2, margin_seconds=0.2)
    release = threading.Event()
    function.queue.processor("stuck")(lambda x: release.wait(10))
    function.task("fine")
    try:
        assert function("stuck", "stuck", "fine", "fine") == ["0", "1", "2", "3"]
        assert function.client.visibilities == {"2": 0, "3": 0}
        assert function.ran == []
    finally:
        release.set()


def test_context_variables_reach_the_threads_of_a_batch():
    """The function's own context is no context of its jobs."""
    function = Function(concurrency=2)
    seen = []
    function.queue.processor("work")(lambda x: seen.append(function.env.context.to_dict()))
    with function.env.context(outer=1):
        function("work", "work")

    assert seen == [{}, {}], "a job's context is its own, not the function's"
