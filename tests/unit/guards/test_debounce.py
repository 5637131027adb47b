"""Debounced work: the last of several jobs runs, and never is an update without a run after it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sqs_tasks import Debounce
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.guards.debouncing import Debouncing
from sqs_tasks.guards.guard import GuardedRun
from sqs_tasks.message import Job, ReceivedMessage
from sqs_tasks.testing import drain
from tests.support.counting_store import CountingStore

QUIET = 20


def test_last_of_several_runs_after_the_quiet_time(world):
    """Its arguments win; other values are not touched."""
    ran = []

    @world.queue.processor("sync", debounce=Debounce(by="customer", quiet_seconds=15))
    def sync(customer, value):
        ran.append((customer, value))

    sync.delay(customer=2, value="other")
    for value in "abc":
        sync.delay(customer=1, value=value)
        world.session.advance(10)
        drain(world.queue)
    assert ran == [(2, "other")]

    world.session.advance(10)
    drain(world.queue)
    assert ran == [(2, "other"), (1, "c")]


def test_job_runs_in_the_end_though_others_follow(world):
    """at_most_seconds: a value that never rests is not forgotten."""
    ran = []

    @world.queue.processor("sync", debounce=Debounce(quiet_seconds=15, at_most_seconds=60))
    def sync(value):
        ran.append(value)

    for value in range(20):
        sync.delay(value=value)
        world.session.advance(10)
        drain(world.queue)

    assert 2 <= len(ran) <= 3


def test_price(world):
    """docs/store.md: one write at the send, one when the last comes, two for the first that is skipped, then one."""

    @world.queue.processor("sync", debounce=Debounce(quiet_seconds=15))
    def sync():
        pass

    sync.delay()
    assert world.store.taken() == {"update": 1}
    world.session.advance(16)
    drain(world.queue)
    assert world.store.taken() == {"update": 1}

    for _ in range(3):
        sync.delay()
    world.store.taken()
    world.session.advance(16)
    assert drain(world.queue).skipped == 2
    assert world.store.taken()["update"] <= 2 + 1 + 2


def test_store_that_is_down_lets_all_run(world):
    """Once more is better than not at all."""
    ran = []

    @world.queue.processor("sync", debounce=Debounce(quiet_seconds=15))
    def sync(value):
        ran.append(value)

    world.store.is_down = True
    for value in range(3):
        sync.delay(value=value)
    world.session.advance(16)
    drain(world.queue)

    assert sorted(ran) == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"debounce": Debounce(by="nothing")}, "none of its parameters"),
        ({"debounce": True}, "must be a Debounce"),
        ({"debounce": Debounce(quiet_seconds=30), "delay_seconds": 10}, "is less than quiet_seconds=30"),
    ],
)
def test_what_cannot_work_is_refused(world, options, text):
    """At the registration."""
    with pytest.raises(ConfigurationError, match=text):
        world.queue.processor("sync", **options)(lambda value: None)
    with pytest.raises(ConfigurationError):
        Debounce(quiet_seconds=901)


class Sends(RuleBasedStateMachine):
    """Sends whose note comes late or never, deliveries in any order and twice, deaths, clocks, a store that is down.

    A job that is gone was followed by a run that began after its send, or a later one is in the queue.
    """

    def __init__(self):
        super().__init__()
        self.moment, self.skew = 1_000_000.0, 0.0
        self.store = CountingStore(now=lambda: self.moment)
        env = SimpleNamespace(store=self.store, client=SimpleNamespace(now=lambda: self.moment + self.skew))
        self.guard = Debouncing(env, Debounce(quiet_seconds=QUIET, at_most_seconds=90), scope="q.t")
        self.waiting: dict[int, float] = {}
        self.sent: dict[int, float] = {}
        self.unnoted: list[int] = []
        self.unguarded: set[int] = set()
        self.running: list[tuple[int, float]] = []
        self.good: list[float] = []

    @rule(note=st.sampled_from(["at once", "at once", "late", "never"]))
    def send(self, note):
        self.moment += 0.01
        number = len(self.sent)
        self.sent[number] = self.waiting[number] = self.moment
        if note == "at once":
            self.guard.sent(f"{number:012d}", {})
        elif note == "late":
            self.unnoted.append(number)

    @rule()
    def late_note(self):
        if self.unnoted:
            number = self.unnoted.pop(0)
            if number not in self.unguarded:
                self.guard.sent(f"{number:012d}", {})

    @rule(seconds=st.sampled_from([1.0, 5.0, QUIET + 1.0, 50.0]))
    def time_passes(self, seconds):
        # A sender that is stopped for five minutes between two lines is not in the model.
        if not self.unnoted or self.moment + seconds - self.sent[self.unnoted[0]] < 250:
            self.moment += seconds

    @rule(skew=st.floats(-QUIET / 8, QUIET / 8))
    def another_machine(self, skew):
        self.skew = skew

    @rule(down=st.booleans())
    def store_goes_or_comes(self, down):
        self.store.is_down = down

    @rule(choice=st.integers(0, 10_000))
    def deliver(self, choice):
        due = [number for number in sorted(self.waiting) if self.sent[number] + QUIET <= self.moment]
        if due:
            self._deliver(due[choice % len(due)])

    @rule(choice=st.integers(0, 10_000), succeeds=st.booleans())
    def end(self, choice, succeeds):
        if self.running:
            number, began = self.running.pop(choice % len(self.running))
            if succeeds:
                self.good.append(began)
                self.waiting.pop(number, None)

    def _deliver(self, number):
        self.moment += 0.01
        message = ReceivedMessage(f"m{number}", "h", "{}", {"SentTimestamp": str(int(self.sent[number] * 1000))})
        job = Job("t", {}, {}, "q", message, f"{number:012d}")
        run = GuardedRun(job=job, run_id=f"r{number}", started_at=self.moment)
        if self.guard.enter(run) is None:
            if self.store.is_down:  # a note that is later than this is not in the model
                self.unguarded.add(number)
            self.running.append((number, self.moment))
        else:
            del self.waiting[number]

    @invariant()
    def no_update_is_lost(self):
        """A run began after each send that is gone and succeeded, or a later job or its retry is in the queue."""
        for number, sent_at in self.sent.items():
            if number not in self.waiting:
                began_after = any(began >= sent_at for began in self.good)
                assert began_after or any(self.sent[other] >= sent_at for other in self.waiting)

    def teardown(self):
        self.store.is_down = False
        self.running.clear()
        self.moment += 100
        for number in sorted(self.waiting, reverse=True):
            self._deliver(number)
            while self.running:
                self.end(0, succeeds=True)
        for sent_at in self.sent.values():
            assert any(began >= sent_at for began in self.good)
        self.store.close()


Sends.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


class TestSends(Sends.TestCase):
    """Every update is followed by a run that began after it."""


def test_newest_job_runs_though_its_send_was_not_noted():
    """What is noted before it proves nothing: its arguments win."""
    sends = Sends()
    sends.send("at once")
    sends.send("at once")
    sends.send("never")
    sends.time_passes(QUIET + 1.0)
    sends.deliver(2)

    assert [number for number, _ in sends.running] == [2]
    sends.end(0, succeeds=True)
    sends.deliver(0)
    sends.deliver(0)
    assert (sends.waiting, sends.running) == ({}, []), "both are older than what has begun"
    sends.teardown()


def test_note_that_comes_after_its_job_was_decided_changes_nothing():
    """Otherwise later jobs would wait for one that never comes."""
    sends = Sends()
    sends.send("late")
    sends.send("at once")
    sends.time_passes(QUIET + 1.0)
    sends.deliver(1)
    sends.end(0, succeeds=True)
    sends.deliver(0)
    assert sends.waiting == {}
    sends.late_note()

    sends.send("at once")
    sends.guard.sent("000000000000", {})
    sends.time_passes(QUIET + 1.0)
    sends.deliver(0)

    assert [number for number, _ in sends.running] == [2]
    sends.end(0, succeeds=True)
    sends.teardown()
