"""Queues and their upkeep, statistics, stopping, and what the package promises of itself."""

from __future__ import annotations

import ast
import json
import logging
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import sqs_tasks
from sqs_tasks import ConstantBackoff, SQSEnv, create_fifo_queue, create_standard_queue, delete_queue
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.outcome import BatchProcessingResult
from sqs_tasks.queue_statistics import QueueStatistics, report, reporting
from sqs_tasks.shutdown_policies import (
    ASAP_SHUTDOWN,
    AndShutdown,
    IdleShutdown,
    MaxRuntimeShutdown,
    MaxTasksShutdown,
    NeverShutdown,
    OrShutdown,
)
from sqs_tasks.worker import queue_loop
from tests.support.queues import Desk
from tests.support.scripted_client import failing

PACKAGE = Path(sqs_tasks.__file__).parent


@pytest.fixture
def desk() -> Desk:
    return Desk()


def attributes(desk: Desk, name: str) -> dict[str, str]:
    url = desk.env.get_queue_url(name)
    return desk.memory.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]


def test_queues_are_created_idempotently_and_brought_up_to_date(desk: Desk) -> None:
    """Retention, visibility, redrive and more; a second call with other values changes them."""
    create_standard_queue(desk.env, "emails_dead")
    for visibility in (30, 60):
        create_standard_queue(
            desk.env,
            "emails",
            message_retention_period=3600,
            visibility_timeout=visibility,
            redrive_policy=desk.env.redrive_policy("emails_dead", 4),
            attributes={"ReceiveMessageWaitTimeSeconds": "5"},
        )
    create_fifo_queue(desk.env, "orders.fifo", content_based_deduplication=True)

    told = attributes(desk, "emails")
    assert (told["VisibilityTimeout"], told["MessageRetentionPeriod"]) == ("60", "3600")
    assert told["ReceiveMessageWaitTimeSeconds"] == "5"
    assert json.loads(told["RedrivePolicy"])["maxReceiveCount"] in (4, "4")
    assert attributes(desk, "orders.fifo")["ContentBasedDeduplication"] == "true"
    delete_queue(desk.env, "orders.fifo")
    with pytest.raises(LookupError):
        desk.env.get_queue_url("orders.fifo")
    with pytest.raises(ConfigurationError, match=r"must end with '\.fifo'.*try 'orders\.fifo'"):
        create_fifo_queue(desk.env, "orders")
    with pytest.raises(ConfigurationError, match="visibility_timeout=50000 must be a whole number"):
        create_standard_queue(desk.env, "x", visibility_timeout=50_000)


def test_registered_queues_come_with_dead_letter_queues_that_keep_longer(desk: Desk) -> None:
    """Of the same kind, with fourteen days, and with deliveries to spare for those that never ran."""
    queue = desk.env.queue("emails")
    queue.processor("send", max_attempts=7, timeout=20)(lambda: None)
    desk.env.queue("orders.fifo", max_receive_count=9)
    desk.env.queue("single", dead_letter_queue=None)

    created = desk.env.create_queues()

    assert created == ["emails_dead", "emails", "orders_dead.fifo", "orders.fifo", "single"]
    assert int(attributes(desk, "emails_dead")["MessageRetentionPeriod"]) == 14 * 86_400
    assert int(json.loads(attributes(desk, "emails")["RedrivePolicy"])["maxReceiveCount"]) == 10
    assert int(attributes(desk, "emails")["VisibilityTimeout"]) == 120
    assert attributes(desk, "orders_dead.fifo")["FifoQueue"] == "true"
    assert "RedrivePolicy" not in attributes(desk, "single")


def test_redrive_counts_deliveries(desk: Desk) -> None:
    """With a count of one, one delivery, and then the dead-letter queue."""
    queue, runs = desk.env.queue("emails", max_receive_count=1, backoff_policy=ConstantBackoff(1)), []
    queue.processor("bad")(lambda: runs.append(1 / 0 if runs else runs.append(1)) or 1 / 0)
    desk.create()
    queue.add_job("bad")
    desk.drain(queue)

    assert runs[0] == 1
    assert len(desk.bodies("emails_dead")) == 1


def test_a_queue_is_drained_unrun_or_purged(desk: Desk) -> None:
    """drain_queue counts what it deletes."""
    queue = desk.env.queue("emails")
    desk.create()
    for n in range(23):
        queue.add_job("send", n=n)
    assert [message.job_name for message in queue.get_raw_messages(max_messages=2)] == ["send"] * 2
    desk.session.advance(60)

    assert queue.drain_queue() == 23
    queue.add_job("send")
    queue.purge()
    assert desk.bodies("emails") == []


def test_two_workers_share_a_queue(desk: Desk) -> None:
    """Workers keep no state, so more of them on more machines need nothing but the queue."""
    both, seen = threading.Barrier(2, timeout=10), []
    envs = [SQSEnv(sqs_client=desk.memory) for _ in range(2)]
    for env in envs:
        env.queue("emails").processor("send")(lambda: seen.append(both.wait()))
    envs[0].create_queues()
    for _ in range(2):
        envs[0].queue("emails").add_job("send")
    # One message a receive, as two machines would get them.
    workers = [
        threading.Thread(
            target=env.queue("emails").process_queue, args=(MaxTasksShutdown(1),), kwargs={"concurrency": 1}
        )
        for env in envs
    ]
    original = desk.memory.receive_message
    desk.memory.receive_message = lambda **request: original(**{**request, "MaxNumberOfMessages": 1})
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)

    assert sorted(seen) == [0, 1]


def test_statistics_are_reported_while_a_worker_runs(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Depth, in flight, delayed, dead letters and the oldest message's age; at once, then at each interval."""
    queue, reports, twice = desk.env.queue("emails"), [], threading.Event()
    queue.processor("wait")(lambda: twice.wait(10))
    desk.create()

    @desk.env.report_queue_stats
    def listen(queue_name: str, statistics: QueueStatistics) -> None:
        reports.append((queue_name, statistics))
        if len(reports) >= 2 and statistics.oldest_age_seconds:
            twice.set()

    queue.add_job("wait")
    queue.add_job("later", _delay_seconds=60)
    desk.memory.send_message(QueueUrl=desk.env.get_queue_url("emails_dead"), MessageBody="x")
    sent_at = time.time()
    monkeypatch.setattr(queue_loop.time, "time", lambda: sent_at + 3600)
    queue.process_queue(MaxTasksShutdown(1), report_interval_seconds=0.01)

    name, statistics = reports[1]
    assert name == "emails"
    assert (statistics.delayed, statistics.dead_letters, statistics.total) == (1, 1, 2)
    ages = [statistics.oldest_age_seconds for _, statistics in reports]
    assert ages[-1] == pytest.approx(3600, abs=60)


def test_statistics_cost_nothing_when_nobody_listens(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """No call without a callback; a refused call is logged, and a missing dead-letter queue is not counted."""
    queue, heard = desk.env.queue("emails"), []
    desk.create()
    with reporting([queue], desk.env.report_queue_stats, 60):
        pass
    assert desk.sqs.counts == {}

    desk.env.report_queue_stats(lambda name, statistics: heard.append(statistics.dead_letters))
    desk.sqs.script("get_queue_attributes", failing("AccessDenied"), failing("AccessDenied"))
    report(queue, desk.env.report_queue_stats)
    delete_queue(desk.env, "emails_dead")
    report(queue, desk.env.report_queue_stats)

    assert "cannot count the messages of queue emails: AccessDenied" in caplog.text
    assert heard == [None]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def result(messages: int) -> BatchProcessingResult:
    return BatchProcessingResult("emails", succeeded=[None] * messages)  # type: ignore[list-item]


def test_shutdown_policies_on_the_monotonic_clock() -> None:
    """Idle time counts from the last job, runtime from the start; a clock that is put back changes neither."""
    clock = Clock()
    idle, runtime = IdleShutdown(60, clock=clock), MaxRuntimeShutdown(90, clock=clock)
    seen = []
    for seconds, messages in ((30, 0), (20, 1), (30, 0), (15, 0), (30, 0)):
        clock.now += seconds
        idle.update_state(result(messages))
        runtime.update_state(result(messages))
        seen.append((idle.need_shutdown(), runtime.need_shutdown()))

    assert seen == [(False, False), (False, False), (False, False), (False, True), (True, True)]
    assert MaxRuntimeShutdown(90, clock=clock).longest_wait_seconds() == 90
    assert IdleShutdown(5, clock=clock).longest_wait_seconds() == 5
    assert IdleShutdown(0, clock=clock).longest_wait_seconds() == 1  # a poll of 0 s may miss messages


def test_shutdown_policies_combine() -> None:
    """Or, And, never, and one of one's own."""
    many, asap = MaxTasksShutdown(3), ASAP_SHUTDOWN
    either, both = OrShutdown(many, NeverShutdown()), AndShutdown(MaxTasksShutdown(3), NeverShutdown())
    for policy in (either, both):
        policy.update_state(result(5))
    asap.update_state(result(0))

    assert (either.need_shutdown(), both.need_shutdown()) == (True, False)
    assert (asap.need_shutdown(), asap.need_shutdown()) == (True, False)  # nothing is left for the next use
    assert either.longest_wait_seconds() == 20


def test_a_worker_ends_by_its_policy(desk: Desk) -> None:
    """After so many jobs, and not in the middle of one."""
    queue, ran = desk.env.queue("emails"), []
    queue.processor("send")(lambda: ran.append(1))
    desk.create()
    for _ in range(25):
        queue.add_job("send")

    queue.process_queue(MaxTasksShutdown(12))

    assert 12 <= len(ran) < 25
    assert len(desk.bodies("emails")) == 25 - len(ran)


def test_the_library_configures_no_logging() -> None:
    """Importing and working adds no handler anywhere and changes no level."""
    code = """
import logging
from sqs_tasks import SQSEnv, MemorySession
env = SQSEnv(MemorySession())
queue = env.queue("emails")
queue.processor("send")(lambda: None)
env.create_queues()
queue.add_job("send")
queue.process_batch()
names = [None, "sqs_tasks", *(n for n in logging.root.manager.loggerDict if n.startswith("sqs_tasks"))]
print([(n, logging.getLogger(n).handlers, logging.getLogger(n).level) for n in names
       if logging.getLogger(n).handlers or logging.getLogger(n).level not in (0, 30)])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_log_records_can_be_searched_by_their_fields(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """Each has an action, and those about a queue its name."""
    caplog.set_level(logging.DEBUG, logger="sqs_tasks")
    queue = desk.env.queue("emails")
    queue.processor("send")(lambda: None)
    desk.create()
    queue.add_job("send")
    queue.process_queue(MaxTasksShutdown(1))

    ours = [record for record in caplog.records if record.name.startswith("sqs_tasks")]
    assert {record.action for record in ours} >= {"consumer_started", "job_succeeded", "consumer_stopped"}
    assert {record.queue_name for record in ours} == {"emails"}


def test_the_package_is_typed() -> None:
    """py.typed is there, so that type checkers of users look at the annotations."""
    assert (PACKAGE / "py.typed").is_file()


def test_the_core_needs_no_unix() -> None:
    """No getppid, no fork, no module that Windows lacks: a worker is content to be process 1 of a container."""
    lacking, calls = {"fcntl", "grp", "pwd", "resource", "termios", "pty"}, {"getppid", "fork", "forkpty"}
    found = []
    for path in PACKAGE.rglob("*.py"):
        if "local" in path.parts:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        # What is imported when the module is; a function may import what its platform has.
        imported = [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
        used = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        found += [f"{path.name}: {name}" for name in (lacking & {*imported}) | (calls & {*used})]

    assert found == []


def test_the_project_tells_what_changed_and_how_to_take_part() -> None:
    """A changelog and a guide for contributors."""
    for name in ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"):
        assert (PACKAGE.parent / name).stat().st_size > 200
