"""Our tasks under a Powertools BatchProcessor."""

from __future__ import annotations

import pytest

pytest.importorskip("aws_lambda_powertools", reason="an optional integration")

from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    SqsFifoPartialProcessor,
    process_partial_response,
)

from sqs_tasks import ConstantBackoff, Reject, SQSEnv
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.integrations.powertools.record_handler import JobNotDoneError, TaskRecordHandler
from tests.support.accepting_client import AcceptingClient
from tests.support.lambda_events import FIFO_ARN, FakeContext, event, failures, record


@pytest.fixture
def client():
    return AcceptingClient()


@pytest.fixture
def env(client):
    env = SQSEnv(sqs_client=client, backoff_policy=ConstantBackoff(40))
    for name in ("work", "work.fifo"):
        queue = env.queue(name)

        @queue.processor("work")
        def work(does="succeed"):
            if does == "fail":
                raise ValueError("no")
            if does == "reject":
                raise Reject("never")

    return env


def test_batch_processor_lists_what_stays(env, client):
    """Done, retried with its backoff, and moved to the dead-letter queue."""
    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    jobs = {"a": "succeed", "b": "fail", "c": "reject"}

    answer = process_partial_response(
        event(*(record(one, "work", {"does": does}) for one, does in jobs.items())),
        TaskRecordHandler(env),
        processor,
        FakeContext(),
    )

    assert failures(answer) == ["b"]
    assert client.visibilities == {"b": 40}


def test_fifo_processor_stops_at_a_failure(env):
    """Powertools' FIFO processor lists the failed job and all behind it."""
    answer = process_partial_response(
        event(
            record("a", "work", arn=FIFO_ARN, group="g"),
            record("b", "work", {"does": "fail"}, arn=FIFO_ARN, group="g"),
            record("c", "work", arn=FIFO_ARN, group="g"),
        ),
        TaskRecordHandler(env),
        SqsFifoPartialProcessor(),
        FakeContext(),
    )

    assert failures(answer) == ["b", "c"]


def test_error_says_what_became_of_the_job(env):
    """The exception names job, queue and reason."""
    with pytest.raises(JobNotDoneError, match="job work of queue work: ValueError: no"):
        TaskRecordHandler(env)(record("a", "work", {"does": "fail"}))


def test_record_of_another_source_is_refused(env):
    """A record that is not of SQS is a clear error."""
    with pytest.raises(ConfigurationError, match="not an SQS event"):
        TaskRecordHandler(env)({"eventSource": "aws:kinesis"})


def test_deadline_is_the_invocations(env):
    """Powertools hands the context on to a handler that names it."""
    seen = []
    env.queue("work").processor("look")(lambda: None)
    handler = TaskRecordHandler(env)
    handler.handler.on_start(lambda *_: seen.append(1))
    process_partial_response(
        event(record("a", "look")), handler, BatchProcessor(event_type=EventType.SQS), FakeContext(5)
    )

    assert seen == [1]
