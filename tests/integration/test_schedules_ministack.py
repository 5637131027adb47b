"""Schedules in an EventBridge Scheduler that is not ours: MiniStack's API, by boto3.

MiniStack stores schedules and does not run the universal target, so what a schedule sends is sent here, by boto3's own
check of SendMessage.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import boto3
import pytest

from sqs_tasks import Cron, Every, Schedule, SQSEnv
from sqs_tasks.deployment.schedules import DeployedSchedules
from sqs_tasks.scheduling.eventbridge import Scheduler
from sqs_tasks.testing import drain
from tests.support import ministack

pytestmark = pytest.mark.skipif(not ministack.is_installed(), reason="needs .venv-ministack")

SCHEDULER = Scheduler(
    group="shop",
    role_arn="arn:aws:iam::000000000000:role/shop",
    dead_letter_arn="arn:aws:sqs:us-east-1:000000000000:undelivered",
)


@pytest.fixture(scope="module")
def server():
    """A MiniStack for this file."""
    with ministack.ministack() as running:
        yield running


@pytest.fixture
def clients(server, monkeypatch):
    """boto3's clients of it: SQS and Scheduler."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    made = [boto3.client(service, endpoint_url=server.endpoint_url) for service in ("sqs", "scheduler")]
    yield made
    for client in made:
        client.close()


def application(sqs, seen, *, prefix):
    """Reports on a standard queue and orders on a FIFO queue, each with a schedule."""
    env = SQSEnv(sqs_client=sqs, queue_prefix=prefix)
    reports, orders = env.queue("reports"), env.queue("orders.fifo")
    nightly = Schedule(
        Cron("0 2 * * ? *", timezone="Europe/Berlin"),
        arguments={"text": 'ü "quoted" \\ <b>'},
        start=datetime.now(UTC) + timedelta(hours=1),
        end=datetime(2038, 1, 1, tzinfo=UTC),
        flexible_minutes=5,
    )
    reports.processor("nightly", schedule=nightly)(lambda text: seen.append(text))  # noqa: PLW0108 - the name is the argument
    orders.processor("close", schedule=Every(minutes=15))(lambda: seen.append("closed"))
    env.create_queues()
    return env


def deployed(scheduler, env):
    """The environment's schedules there."""
    return DeployedSchedules(
        client=scheduler,
        scheduler=SCHEDULER,
        app="shop.tasks:env",
        queue_prefix=env.queue_prefix,
        queue_url=env.get_queue_url,
    )


def test_schedules_are_made_compared_paused_and_deleted(clients):
    """All of it over the wire: what comes back from GetSchedule is what was asked for."""
    sqs, scheduler = clients
    env = application(sqs, [], prefix="a-")
    place = deployed(scheduler, env)

    def actions():
        return {change.name: change.action for change in place.apply(place.plan(env.schedules.values()))}

    assert actions() == {"reports.nightly": "create", "orders.fifo.close": "create"}
    assert set(actions().values()) == {"keep"}
    assert place.set_state("reports.nightly", enabled=False)
    assert place.state("reports.nightly") == "DISABLED"
    assert actions() == {"reports.nightly": "update", "orders.fifo.close": "keep"}
    assert set(actions().values()) == {"keep"}
    changes = place.plan([])
    assert {change.action for change in changes} == {"delete"}
    list(place.apply(changes))
    assert place.plan([]) == []


def test_what_a_schedule_sends_runs_its_task(clients):
    """The input of the target is a request of SendMessage, once the time of the run stands in it."""
    sqs, scheduler = clients
    seen: list[str] = []
    env = application(sqs, seen, prefix="b-")
    ids: list[str] = []
    env.pre_task(lambda job: ids.append(job.job_id))
    place = deployed(scheduler, env)
    list(place.apply(place.plan(env.schedules.values())))

    for name in env.schedules:
        target = scheduler.get_schedule(Name=name, GroupName="shop")["Target"]
        assert target["Arn"] == "arn:aws:scheduler:::aws-sdk:sqs:sendMessage"
        filled = target["Input"].replace("<aws.scheduler.scheduled-time>", "2030-01-31T01:00:00Z")
        for _ in range(2):  # at least once, says Scheduler
            sqs.send_message(**json.loads(filled))
    drain(env.queue("reports"))
    drain(env.queue("orders.fifo"))

    assert seen == ['ü "quoted" \\ <b>'] * 2 + ["closed"], "a FIFO queue drops what is delivered twice"
    assert ids[0] == ids[1] == "reports.nightly@2030-01-31T01:00:00Z"
