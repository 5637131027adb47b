"""FIFO queues in Lambda: order within a group, and independence between groups (S22, S23, S27, S28, T2)."""

from __future__ import annotations

import json
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqs_tasks import ConstantBackoff, Reject, Retry, SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.batching import BatchMessages
from tests.support.accepting_client import AcceptingClient
from tests.support.lambda_app import LambdaApp
from tests.support.lambda_events import FIFO_ARN, FakeContext, event, failures, record
from tests.support.scripted_client import ScriptedClient


class Ordered:
    """A handler of one FIFO queue, and what ran in it."""

    def __init__(self, name="work.fifo", **handler):
        self.client = AcceptingClient()
        self.env = SQSEnv(sqs_client=self.client, backoff_policy=ConstantBackoff(40))
        self.queue = self.env.queue(name)
        self.ran = []
        self.lock = threading.Lock()
        self.queue.processor("work")(self.work)
        self.handler = SQSEventHandler(self.env, **handler)

    def work(self, x, does="succeed"):
        with self.lock:
            self.ran.append(x)
        if does == "fail":
            raise ValueError("no")
        if does == "retry":
            raise Retry(delay_seconds=7)
        if does == "reject":
            raise Reject("never")

    def __call__(self, *jobs, arn=FIFO_ARN):
        """Run (message id, group, what it does) in this order."""
        return failures(
            self.handler(
                event(
                    *(record(one, "work", {"x": one, "does": does}, arn=arn, group=group) for one, group, does in jobs)
                ),
                FakeContext(),
            )
        )


def test_failure_returns_the_rest_of_its_group_unstarted_s27():
    """Powertools' case: a1, b2 (fails), a3, b4; the default there returns 2, 3 and 4, and it should be 2 and 4."""
    function = Ordered()

    listed = function(("1", "a", "succeed"), ("2", "b", "fail"), ("3", "a", "succeed"), ("4", "b", "succeed"))

    assert sorted(listed) == ["2", "4"]
    assert function.ran == ["1", "3", "2"]


def test_returned_successors_may_come_at_once_s22():
    """The failed one in flight keeps its group locked; with the queue's own visibility they would wait for hours."""
    function = Ordered()
    function(("1", "a", "fail"), ("2", "a", "succeed"), ("3", "a", "succeed"))

    assert function.client.visibilities == {"1": 40, "2": 0, "3": 0}


def test_rejected_job_with_a_dead_letter_lets_its_group_go_on():
    """Once the dead-letter queue has the copy, the group's next job runs."""
    function = Ordered()

    assert function(("1", "a", "reject"), ("2", "a", "succeed")) == []
    assert function.ran == ["1", "2"]


def test_group_on_a_standard_queue_is_a_tenant_and_no_order_s2():
    """The ARN says what kind of queue it is (S39)."""
    function = Ordered("work")

    listed = function(("1", "a", "fail"), ("2", "a", "succeed"), arn=FIFO_ARN.removesuffix(".fifo"))

    assert listed == ["1"]
    assert function.ran == ["1", "2"]


def test_t3_groups_of_one_invocation_are_unknown_to_the_next_s28():
    """powertools-typescript#3673: a warm environment still held what had failed before."""
    function = Ordered()
    function(("1", "a", "fail"))

    assert function(("1", "a", "succeed"), ("2", "a", "succeed")) == []
    assert function.ran == ["1", "1", "2"]


def test_t3_what_was_done_in_one_invocation_is_not_in_the_next():
    """SQS may deliver a message again that succeeded; when it fails then, it stays."""
    function = Ordered()

    assert function(("1", "a", "succeed")) == []
    assert function(("1", "a", "fail")) == ["1"]


jobs = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["succeed", "succeed", "fail", "retry", "reject"])), max_size=10
).map(lambda drawn: [(str(i), group, does) for i, (group, does) in enumerate(drawn)])


@pytest.mark.parametrize("concurrency", [1, 3])
@settings(max_examples=150, deadline=None)
@given(batch=jobs)
def test_t2_order_holds_in_every_group(concurrency, batch):
    """After a failure in a group nothing of it runs and all of it is listed; the other groups run as if alone."""
    function = Ordered(concurrency=concurrency)

    listed = set(function(*batch))

    for group in "abc":
        members = [(one, does) for one, of, does in batch if of == group]
        stop = next((i for i, (_, does) in enumerate(members) if does in ("fail", "retry")), len(members))
        expected = [one for one, _ in members[: stop + 1]]
        assert [one for one in function.ran if one in dict(members)] == expected
        assert listed & set(dict(members)) == {one for one, _ in members[stop:]}
        if stop < len(members):
            failed = function.client.visibilities[members[stop][0]]
            assert all(function.client.visibilities[one] <= failed for one, _ in members[stop + 1 :])


def test_order_holds_behind_a_queue_over_several_deliveries():
    """Retries over several deliveries leave each group in the order in which it was sent."""
    app = LambdaApp("work.fifo", backoff_policy=ConstantBackoff(5))
    ran, tries = [], {}

    @app.queue.processor("work", group_by="group")
    def work(group, x):
        tries[group, x] = tries.get((group, x), 0) + 1
        if x == 1 and tries[group, x] < 3:
            raise ValueError("not yet")
        ran.append((group, x))

    app.deploy()
    for x in range(4):
        for group in "ab":
            work.delay(group=group, x=x)
    for _ in range(4):
        app.drain()
        app.advance(5)

    assert app.left() == 0
    for group in "ab":
        assert [x for of, x in ran if of == group] == [0, 1, 2, 3]


def test_groups_run_side_by_side_by_option_s29():
    """Each group waits for the other to have begun, which they can only do together."""
    function = Ordered(concurrency=2)
    both = threading.Barrier(2)

    @function.queue.processor("meet")
    def meet():
        both.wait(10)

    answer = function.handler(
        event(*(record(group, "meet", arn=FIFO_ARN, group=group) for group in "ab")), FakeContext()
    )

    assert failures(answer) == []


def test_batch_processor_keeps_the_order_of_a_group():
    """After a failed job in a batch the later ones of its group run again, in order."""
    app = LambdaApp("work.fifo", batching_policy=BatchMessages(2), backoff_policy=ConstantBackoff(5))
    calls = []

    @app.queue.processor("index")
    def index(jobs):
        calls.append([job["x"] for job in jobs])
        return [ValueError("no") if job["x"] == 1 and len(calls) == 1 else None for job in jobs]

    app.deploy()
    for x in range(4):
        app.queue.add_job("index", x=x)
    app.drain()
    app.advance(5)
    app.drain()

    assert calls == [[0, 1], [1, 2], [3]]
    assert app.left() == 0


class Trap(LambdaApp):
    """A FIFO group of six of which some fail for ever, behind a redrive policy of three receives."""

    def __init__(self, *culprits, **options):
        super().__init__("work.fifo", backoff_policy=ConstantBackoff(5), **options)
        self.ran = []
        self.culprits = culprits

        @self.queue.processor("work")
        def work(x):
            self.ran.append(x)
            if x in culprits:
                raise ValueError("always")

    def run(self, names=("work",) * 6, **source):
        self.deploy(**source)
        for x, name in enumerate(names):
            self.queue.add_job(name, x=x)
        for _ in range(3 * len(names)):
            self.drain()
            self.advance(300)
        assert self.left() == 0
        return [int(letter["Body"].strip('{"x: }')) for letter in self.dead_letters()]


@pytest.mark.parametrize("batch_size", [1, 10])
@pytest.mark.parametrize("culprits", [(0,), (0, 1, 3), (0, 1, 2, 3, 4, 5), (5,)])
def test_s23_receive_count_trap_takes_no_innocent(batch_size, culprits):
    """Successors that come along and are returned unstarted use up receives too, and SQS would move them unrun.

    The worker moves the culprit at its last receive, and its group goes on in the same invocation.
    """
    app = Trap(*culprits, max_receive_count=3)

    assert app.run(batch_size=batch_size) == list(culprits)
    assert set(app.ran) == set(range(6))
    assert app.ran.count(culprits[0]) == 3, "it had every receive that the queue allows"


def test_s23_task_that_nobody_knows_takes_no_innocent_along_either():
    """An unknown task uses up its own receives, not those of the jobs behind it."""
    app = Trap(max_receive_count=3)

    assert app.run(["unknown", *["work"] * 5], batch_size=10) == [0]
    assert app.ran == [1, 2, 3, 4, 5]
    assert app.dead_letters()[0]["MessageAttributes"]["FailureType"]["StringValue"] == "UnknownTaskError"


def test_s23_queue_without_a_known_limit_is_left_to_its_redrive_policy(monkeypatch):
    """What somebody else set up may allow more receives than we would: no attempt is taken away."""
    app = Trap(0)
    app.env.create_queues()
    function = SQSEventHandler(app.env)

    assert function._max_receive_count(app.queue) is None
    monkeypatch.setenv("SQS_TASKS_QUEUE_URLS", json.dumps({"work.fifo": app.queue.queue_url}))
    assert SQSEventHandler(app.env)._max_receive_count(app.queue) == 5
    # One that is registered by its URL was there before the stack, which tells the function its URL all the same.
    elsewhere = app.env.queue("elsewhere.fifo", queue_url=app.queue.queue_url)
    monkeypatch.setenv("SQS_TASKS_QUEUE_URLS", json.dumps({"elsewhere.fifo": app.queue.queue_url}))
    assert SQSEventHandler(app.env)._max_receive_count(elsewhere) is None


def test_s23_attempts_of_its_own_move_the_culprit_alone():
    """A task with max_attempts is rejected by the worker before SQS counts to its limit, and its group goes on."""
    app = LambdaApp("work.fifo", backoff_policy=ConstantBackoff(5))
    ran = []

    @app.queue.processor("work", max_attempts=3)
    def work(x):
        ran.append(x)
        if x == 0:
            raise ValueError("always")

    app.deploy(batch_size=10)
    for x in range(4):
        work.delay(x=x)
    for _ in range(6):
        app.drain()
        app.advance(5)

    assert len(app.dead_letters()) == 1
    assert ran == [0, 0, 0, 1, 2, 3]


def test_unused_client_is_not_asked_for_a_group_that_succeeds():
    """A group that succeeds costs no request."""
    function = Ordered()
    function.env.client._given = client = ScriptedClient(function.client)
    function(("1", "a", "succeed"))

    assert not client.calls
