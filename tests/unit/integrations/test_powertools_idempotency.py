"""Each job once, by its own id, with a store in memory; test_lambda_idempotency.py has DynamoDB's."""

from __future__ import annotations

import asyncio
import time

import pytest

pytest.importorskip("aws_lambda_powertools", reason="an optional integration")

from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyItemAlreadyExistsError,
    IdempotencyItemNotFoundError,
)
from aws_lambda_powertools.utilities.idempotency.persistence.base import BasePersistenceLayer

from sqs_tasks import ConstantBackoff, Reject, Retry, SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.integrations.powertools.idempotency import IdempotentJobs
from sqs_tasks.outcome import Postponed, Rejected, Succeeded
from tests.support.accepting_client import AcceptingClient
from tests.support.lambda_events import FakeContext, event, failures, record


class MemoryStore(BasePersistenceLayer):
    """Powertools' records in a dict, by the rules of its DynamoDB layer."""

    def __init__(self, *, tells_old_record=True):
        super().__init__()
        self.records = {}
        self.tells_old_record = tells_old_record
        self.fails_at = set()

    def _check(self, step):
        if step in self.fails_at:
            raise ConnectionError(step)

    def _get_record(self, idempotency_key):
        self._check("get")
        if idempotency_key not in self.records:
            raise IdempotencyItemNotFoundError
        return self.records[idempotency_key]

    def _put_record(self, data_record):
        self._check("put")
        old = self.records.get(data_record.idempotency_key)
        if old is not None and not old.is_expired:
            lease = old.in_progress_expiry_timestamp
            if not (old.status == "INPROGRESS" and lease is not None and lease < time.time() * 1000):
                raise IdempotencyItemAlreadyExistsError(old_data_record=old if self.tells_old_record else None)
        self.records[data_record.idempotency_key] = data_record

    def _update_record(self, data_record):
        self._check("update")
        self.records[data_record.idempotency_key] = data_record

    def _delete_record(self, data_record):
        self._check("delete")
        del self.records[data_record.idempotency_key]


class Function:
    """A handler whose jobs are idempotent."""

    def __init__(self, store=None, **options):
        self.store = store or MemoryStore()
        self.client = AcceptingClient()
        self.ran = []
        self.outcomes = []
        self.env = SQSEnv(
            sqs_client=self.client,
            backoff_policy=ConstantBackoff(40),
            middleware=[IdempotentJobs(self.store, **options)],
        )
        self.queue = self.env.queue("work")
        self.does = None

        @self.queue.processor("work", max_attempts=3)
        def work(x=0):
            self.ran.append(x)
            if self.does is not None:
                self.does()

        @self.queue.processor("async")
        async def concurrent(x=0):
            await asyncio.sleep(0)
            self.ran.append(x)

        self.handler = SQSEventHandler(self.env)
        self.handler.on_settled(lambda report: self.outcomes.append(report.outcome))

    def __call__(self, *records):
        return failures(self.handler(event(*records), FakeContext()))


def redelivered(one, **changes):
    """The same job in another message, as after a redrive."""
    again = record("another-message", one["messageAttributes"]["JobName"]["stringValue"], **changes)
    again["messageAttributes"]["JobId"] = one["messageAttributes"]["JobId"]
    return again


@pytest.mark.parametrize("job", ["work", "async"])
def test_job_that_was_done_is_not_run_again(job):
    """Also when a redrive gave it another message id: the job's own id is the key."""
    function = Function()
    first = record("a", job)

    assert function(first) == []
    assert function(first) == []
    assert function(redelivered(first)) == []
    assert function.ran == [0]


def test_jobs_are_told_apart_by_their_ids():
    """Two jobs with the same arguments both run."""
    function = Function()
    function(record("a", "work", {"x": 1}), record("b", "work", {"x": 1}))

    assert function.ran == [1, 1]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), Retry(delay_seconds=1)])
def test_job_that_failed_may_be_tried_again(error):
    """After any kind of failure the next delivery runs."""

    def fail():
        raise error

    function = Function()
    function.does = fail

    assert function(record("a", "work")) == ["a"]
    function.does = None
    assert function(record("a", "work", count=2)) == []
    assert len(function.ran) == 2


def test_rejected_job_may_be_redriven():
    """A dead letter that is pushed back runs again."""

    def reject():
        raise Reject("no")

    function = Function()
    function.does = reject
    assert function(record("a", "work")) == []
    function.does = None

    assert function(redelivered(record("a", "work"))) == []
    assert len(function.ran) == 2


@pytest.mark.parametrize("count", [1, 3, 7], ids=["first", "last attempt", "beyond it"])
@pytest.mark.parametrize("tells_old_record", [True, False])
@pytest.mark.parametrize("job", ["work", "async"])
def test_job_at_work_elsewhere_waits_for_the_lease_and_loses_no_attempt(job, count, tells_old_record):
    """The second delivery of a running job is put off until the lease ends, even at its last attempt."""
    function = Function(MemoryStore(tells_old_record=tells_old_record), lease_seconds=60)
    elsewhere = Function(function.store, lease_seconds=60)
    listed = []

    def meanwhile():
        listed.extend(elsewhere(record("a", job, count=count)))

    function.does = meanwhile
    function(record("a", "work"))

    assert listed == []
    assert isinstance(elsewhere.outcomes[0], Postponed)
    assert elsewhere.ran == []
    (copy,) = elsewhere.client.sent
    assert 55 <= copy["DelaySeconds"] <= 61
    assert copy["MessageAttributes"]["Attempt"]["StringValue"] == str(count - 1)


def test_job_of_a_worker_that_died_runs_when_its_lease_is_over():
    """A record that could not be removed blocks the job until its lease is over, not longer."""
    store = MemoryStore()
    dying = Function(store, lease_seconds=-1)
    dying.store.fails_at = {"delete"}
    dying.does = lambda: 1 / 0

    assert dying(record("a", "work")) == ["a"]
    assert Function(store)(record("a", "work", count=2)) == []


@pytest.mark.parametrize("count", [1, 3], ids=["first", "last attempt"])
def test_job_does_not_run_unprotected_when_the_store_is_away(count, caplog):
    """And an outage of the store uses up no attempt."""
    function = Function()
    function.store.fails_at = {"put"}

    assert function(record("a", "work", count=count)) == []
    assert function.ran == []
    assert isinstance(function.outcomes[0], Postponed)
    (copy,) = function.client.sent
    assert copy["DelaySeconds"] in (30, 31)
    assert copy["MessageAttributes"]["Attempt"]["StringValue"] == str(count - 1)
    assert "ConnectionError: put" in caplog.text


def test_job_that_cannot_be_remembered_is_done_all_the_same(caplog):
    """A job is done although its record could not be written; the log warns that it may run again."""
    function = Function()
    function.store.fails_at = {"update"}

    assert function(record("a", "work")) == []
    assert isinstance(function.outcomes[0], Succeeded)
    assert "is done, but its record could not be written" in caplog.text


def test_record_that_vanishes_while_it_is_looked_at_is_taken_over():
    """A record that is gone between two requests does not hold up the job."""

    class Vanishing(MemoryStore):
        def _get_record(self, idempotency_key):
            self.records.pop(idempotency_key, None)
            return super()._get_record(idempotency_key)

    store = Vanishing(tells_old_record=False)
    first = Function(store)
    again = []
    first.does = lambda: again.extend(Function(store)(record("a", "work")))

    first(record("a", "work"))

    assert again == []


def test_batch_processor_is_refused_and_not_taken_for_one_job():
    """A batch has no one id; the middleware refuses it with a reason."""
    function = Function()
    function.queue.batch_processor("index")(lambda jobs: function.ran.append("index"))

    assert function(record("a", "index")) == ["a"]
    assert function.ran == []
    assert "is a batch processor" in function.outcomes[0].reason


def test_expired_attempts_still_reject():
    """The last attempt that ran and failed is the last."""

    def fail():
        raise ValueError("no")

    function = Function()
    function.does = fail
    function(record("a", "work", count=3))

    assert isinstance(function.outcomes[0], Rejected)
