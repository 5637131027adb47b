"""Unique work: one run for all jobs of a value that were sent before it, and never a job without a run after it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sqs_tasks import Unique
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.guards.guard import LEASE_SECONDS, GuardedRun, NotAtAll, NotNow
from sqs_tasks.guards.uniqueness import CLOCK_SECONDS, Uniqueness
from sqs_tasks.message import Job, ReceivedMessage
from sqs_tasks.outcome import SUCCEEDED, Postponed, Retried, Skipped
from sqs_tasks.testing import drain
from tests.support.counting_store import CountingStore


def test_one_run_for_all_that_were_sent_before_it(world):
    """The first runs, the others are skipped: its run has seen what they were sent for."""
    ran = []

    @world.queue.processor("reindex", unique=Unique(by="version"))
    def reindex(version, by):
        ran.append((version, by))

    for number in range(3):
        reindex.delay(version=1, by=number)
    reindex.delay(version=2, by=9)
    world.session.advance(10)
    result = drain(world.queue)

    assert len([one for one in ran if one[0] == 1]) == 1
    assert (2, 9) in ran
    assert (result.succeeded, result.skipped) == (2, 2)


def test_job_that_was_sent_after_the_begin_runs(world):
    """The run in progress may not have seen it; it waits until that has ended."""
    ran = []

    @world.queue.processor("reindex", unique=Unique())
    def reindex():
        ran.append(1)
        if len(ran) == 1:
            world.session.advance(10)
            reindex.delay()
            seen.append(drain(world.queue).runs[0][1])

    seen = []
    reindex.delay()
    drain(world.queue)
    assert isinstance(seen[0], Postponed)
    assert seen[0].reason == "its work is in progress"
    world.session.advance(20)
    drain(world.queue)

    assert len(ran) == 2


@pytest.mark.parametrize(
    ("unique", "outcome", "runs"),
    [
        (Unique(until="finished"), Postponed, 1),
        (Unique(until="finished", while_running="skip"), Skipped, 1),
        (Unique(while_running="skip"), Postponed, 2),
    ],
)
def test_run_in_progress_counts_if_asked_for(world, unique, outcome, runs):
    """until="finished" takes a run that was in progress for enough; "skip" does not wait for its end."""
    ran = []

    @world.queue.processor("poll", unique=unique)
    def poll():
        ran.append(1)
        if len(ran) == 1:
            world.session.advance(10)
            poll.delay()
            seen.append(drain(world.queue).runs[0][1])
            world.session.advance(10)

    seen = []
    poll.delay()
    drain(world.queue)
    world.session.advance(30)
    drain(world.queue)

    assert isinstance(seen[0], outcome)
    assert len(ran) == runs


def test_run_that_fails_counts_for_nothing(world):
    """Its own retry does the work, or another job of the value."""
    ran = []

    @world.queue.processor("reindex", unique=Unique())
    def reindex():
        ran.append(1)
        if len(ran) == 1:
            raise ValueError("no")

    reindex.delay()
    reindex.delay()
    world.session.advance(10)
    drain(world.queue, raise_errors=False, wait=True)

    assert len(ran) == 2, "one failed, one did it, and the retry of the first was skipped"


def test_price_is_two_writes_a_job_and_one_for_a_skipped_one(world):
    """docs/store.md."""

    @world.queue.processor("reindex", unique=Unique())
    def reindex():
        pass

    reindex.delay()
    reindex.delay()
    world.session.advance(10)
    assert drain(world.queue).skipped == 1

    assert world.store.taken() == {"update": 3}


def test_store_that_is_down_puts_jobs_off(world):
    """Nobody can tell whether the work was done."""

    @world.queue.processor("reindex", unique=Unique())
    def reindex():
        pass

    reindex.delay()
    world.store.is_down = True
    assert drain(world.queue).postponed == 1
    world.store.is_down = False
    world.session.advance(31)
    assert drain(world.queue).succeeded == 1


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda queue: queue.processor("a", unique=Unique(by="nothing")), "none of its parameters"),
        (lambda queue: queue.processor("a", unique=True), "must be a Unique"),
        (lambda queue: queue.batch_processor("a", unique=Unique()), "is a batch processor"),
        (lambda queue: Unique(until="now"), "until='now' must be 'started' or 'finished'"),
    ],
)
def test_what_cannot_work_is_refused(world, make, text):
    """At the registration, or where it is written."""
    with pytest.raises(ConfigurationError, match=text):
        make(world.queue)(lambda version: None)


# --- the model: every update is followed by a run that began after it ------------------------------------------------


class Deliveries(RuleBasedStateMachine):
    """Sends, runs, ends, failures, deaths, duplicates, reordering, clocks that differ, and a store that is down.

    A message leaves the queue only if its run succeeded or it was skipped; all others are delivered again, in any
    order. In the end all are delivered until none is left: then each update has a run that began after it and
    succeeded.
    """

    def __init__(self):
        super().__init__()
        self.moment = 1_000_000.0
        self.skew = 0.0
        self.store = CountingStore(now=lambda: self.moment)
        self.waiting: dict[int, float] = {}
        self.sent: dict[int, float] = {}
        self.running: list[tuple[GuardedRun, int, float]] = []
        self.good: list[float] = []
        self.tried: dict[int, float] = {}

    @initialize(until=st.sampled_from(["started"]), while_running=st.sampled_from(["wait", "skip"]))
    def begin(self, until, while_running):
        self.skips = while_running == "skip"
        env = SimpleNamespace(store=self.store, client=SimpleNamespace(now=self.worker_time))
        self.guard = Uniqueness(env, Unique(until=until, while_running=while_running), scope="q.t")

    def worker_time(self):
        """A worker's clock."""
        return self.moment + self.skew

    @rule()
    def send(self):
        number = len(self.sent)
        self.sent[number] = self.waiting[number] = self.moment

    @rule(seconds=st.sampled_from([0.0, 1.0, 4.0, 7.0, 20.0, LEASE_SECONDS + 1]))
    def time_passes(self, seconds):
        self.moment += seconds

    @rule(skew=st.floats(-CLOCK_SECONDS / 2, CLOCK_SECONDS / 2))
    def another_worker(self, skew):
        self.skew = skew

    @rule(down=st.booleans())
    def store_goes_or_comes(self, down):
        self.store.is_down = down

    @rule(choice=st.integers(0, 10_000))
    def deliver(self, choice):
        """Any message that is in the queue, also one whose job runs elsewhere."""
        if self.waiting:
            self._deliver(sorted(self.waiting)[choice % len(self.waiting)])

    @rule(choice=st.integers(0, 10_000), how=st.sampled_from(["succeeds", "fails", "dies", "dies after its work"]))
    def end(self, choice, how):
        if not self.running:
            return
        run, number, began = self.running.pop(choice % len(self.running))
        self.tried[number] = began
        if how in {"succeeds", "dies after its work"}:
            self.good.append(began)
        if how == "succeeds":
            self.guard.leave(run, SUCCEEDED)
            self.waiting.pop(number, None)
        elif how == "fails":
            self.guard.leave(run, Retried(delay_seconds=0, reason="no"))

    def _deliver(self, number):
        sent = {"SentTimestamp": str(int(self.sent[number] * 1000))}
        message = ReceivedMessage(f"m{number}", "handle", "{}", sent)
        job = Job("t", {}, {}, "q", message, f"j{number}")
        run = GuardedRun(
            job=job, run_id=f"r{len(self.good)}-{number}-{self.moment}-{id(message)}", started_at=self.worker_time()
        )
        refusal = self.guard.enter(run)
        if refusal is None:
            self.running.append((run, number, self.moment))
        elif isinstance(refusal, NotAtAll):
            del self.waiting[number]
        else:
            assert isinstance(refusal, NotNow)
            assert refusal.seconds > 0

    @invariant()
    def skipped_and_done_jobs_have_a_run_after_them_or_one_that_goes_on(self):
        """A job that is gone was followed by a run that began after it: it succeeded, or goes on.

        With "skip" it may have failed since, and is tried again: its message is in the queue.
        """
        begun = [*self.good, *(began for _, _, began in self.running)]
        if self.skips:
            begun.extend(self.tried.get(number, 0.0) for number in self.waiting)
        for number, sent_at in self.sent.items():
            if number not in self.waiting:
                assert any(began >= sent_at for began in begun)

    def teardown(self):
        self.store.is_down = False
        self.running.clear()  # all workers die
        for _ in range(200):
            if not self.waiting:
                break
            self.moment += LEASE_SECONDS + 1
            self._deliver(min(self.waiting))
            while self.running:
                self.end(0, "succeeds")
        assert not self.waiting
        for sent_at in self.sent.values():
            assert any(began >= sent_at for began in self.good)
        self.store.close()


Deliveries.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


class TestDeliveries(Deliveries.TestCase):
    """Every update is followed by a run that began after it."""
