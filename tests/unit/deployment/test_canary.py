"""Canaries: sent to real queues in memory, received by real workers, and found in what those workers log."""

from __future__ import annotations

import json
import logging

import pytest
from botocore.exceptions import ClientError

from sqs_tasks import MemorySession, SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.cli.logs import JSONFormatter
from sqs_tasks.deployment.canary import Canaries
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.testing import lambda_context, lambda_event


class _Lambda:
    """Mappings by the name of their queue, to functions with and without a log group of their own."""

    def __init__(self, **functions: dict[str, object]) -> None:
        self.functions = functions

    def list_event_source_mappings(self, *, EventSourceArn: str, Marker: str = "") -> dict[str, object]:
        function = self.functions.get(EventSourceArn.rpartition(":")[2].removesuffix(".fifo"))
        if function is None:
            return {"EventSourceMappings": []}
        if not Marker:
            return {"EventSourceMappings": [], "NextMarker": "more"}
        return {"EventSourceMappings": [{"FunctionArn": function["FunctionName"]}]}

    def get_function_configuration(self, *, FunctionName: str) -> dict[str, object]:
        return next(one for one in self.functions.values() if one["FunctionName"] == FunctionName)


class _Logs(logging.Handler):
    """The log groups of workers: what they log here is found there, by the text of a filter."""

    def __init__(self, group: str) -> None:
        super().__init__()
        self.group, self.lines, self.formatter = group, [], JSONFormatter()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def filter_log_events(self, *, logGroupName: str, filterPattern: str, startTime: int) -> dict[str, object]:
        assert startTime > 0
        if logGroupName != self.group:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": ""}}, "FilterLogEvents")
        found = [line for line in self.lines if filterPattern.strip('"') in line]
        return {"events": [{"message": line} for line in found]}


class _Clock:
    """Time that passes when somebody waits; meanwhile the worker works."""

    def __init__(self, work: object) -> None:
        self.now, self.work = 1_000.0, work

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.work()


@pytest.fixture
def env():
    env = SQSEnv(MemorySession())
    emails, orders = env.queue("emails"), env.queue("orders.fifo")
    emails.processor("send")(lambda: None)
    orders.processor("place")(lambda: None)
    env.create_queues()
    return env


@pytest.fixture
def logs():
    handler = _Logs("/shop/emails")
    root = logging.getLogger("sqs_tasks")
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)


def _canaries(env, logs, work, **settings):
    clock = _Clock(work)
    functions = _Lambda(
        emails={"FunctionName": "emails-worker", "LoggingConfig": {"LogGroup": "/shop/emails"}},
    )
    return Canaries(
        sqs=env.client(),
        lambda_client=functions,
        logs=logs,
        now=lambda: clock.now,
        sleep=clock.sleep,
        **settings,
    )


def test_canary_is_seen_when_a_worker_receives_it(env, logs):
    """A worker receives it, says so, and deletes it: no task runs and nothing is left."""
    canaries = _canaries(env, logs, lambda: env.process_batch("emails", wait_seconds=0))
    sent = canaries.send(env.queues["emails"])

    (received,) = canaries.wait(timeout_seconds=60)

    assert received is sent
    assert received.seconds == 3
    (line,) = [json.loads(line) for line in logs.lines if sent.job_id in line]
    assert (line["action"], line["queue_name"], line["job_name"]) == ("job_skipped", "emails", "sqs_tasks.canary")
    assert not env.client().receive_message(QueueUrl=env.queues["emails"].queue_url).get("Messages")


def test_function_receives_canaries_too(env, logs):
    """The handler of a function answers success and logs the same line."""
    emails = env.queues["emails"]
    canaries = _canaries(
        env, logs, lambda: answers.append(SQSEventHandler(env)(lambda_event(emails), lambda_context()))
    )
    answers = []
    canaries.send(emails)

    assert len(list(canaries.wait(timeout_seconds=60))) == 1
    assert answers == [{"batchItemFailures": []}]


def test_canary_that_nobody_receives_is_missed(env, logs):
    """A queue without a worker: the time is over, and the canary says where it was looked for."""
    canaries = _canaries(env, logs, lambda: None)
    sent = canaries.send(env.queues["emails"])

    assert list(canaries.wait(timeout_seconds=10)) == []
    assert (sent.seconds, sent.log_groups) == (None, ["/shop/emails"])


def test_service_is_found_by_its_log_group(env, logs):
    """A FIFO queue whose worker is no function; each canary has a group, and none is taken for a duplicate."""
    canaries = _canaries(
        env, logs, lambda: env.process_batch("orders.fifo", wait_seconds=0), log_groups=["/gone", "/shop/emails"]
    )
    for _ in range(2):
        canaries.send(env.queues["orders.fifo"])

    assert len(list(canaries.wait(timeout_seconds=60))) == 2


def test_queue_whose_logs_are_not_known_is_refused(env, logs):
    """Before anything is sent: nobody could see the canary."""
    with pytest.raises(
        ConfigurationError, match=r"'orders.fifo' feeds no function .*give its log group \(--log-group\)"
    ):
        _canaries(env, logs, lambda: None).send(env.queues["orders.fifo"])
    assert not env.client().receive_message(QueueUrl=env.queues["orders.fifo"].queue_url).get("Messages")
