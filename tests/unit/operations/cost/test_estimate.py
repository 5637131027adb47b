"""What an application costs in a month: the sums, by hand."""

from __future__ import annotations

import json

import pytest

from sqs_tasks import Cron, MemorySession, SQSEnv
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.operations.cost import Load, Prices, estimate
from sqs_tasks.operations.cost.prices import OWN_PRICES


@pytest.fixture
def env():
    env = SQSEnv(MemorySession())
    env.queue("mail").processor("send")(lambda: None)
    env.queue("video", runs_on="fargate").processor("cut")(lambda: None)
    env.queue("log.fifo", runs_on="external").processor("write")(lambda: None)
    return env


def dollars(found):
    return {(line.what, line.of): pytest.approx(line.dollars, rel=1e-3) for line in found.lines}


def test_the_sums(env):
    """A million jobs of each task, by the list prices."""
    load = Load(jobs=0, jobs_of={"send": 1e6, "cut": 1e6, "write": 1e6}, seconds=0.2, seconds_of={"cut": 60})

    found = estimate(env, load)

    # Lambda: 3 requests a job and 5 polls of 20 s; a container for each 10 x 2,592,000 s of jobs.
    assert dollars(found) == {
        ("SQS requests", "mail"): (3e6 + 648_000) * 0.4e-6,
        ("Lambda calls", "mail"): 0.20,
        ("Lambda time", "mail"): 1e6 * 0.2 * 0.5 * 0.0000133334,
        ("alarms", "mail"): 1.10,
        ("metrics of jobs", "mail"): 2.40,
        ("logs", "mail"): 0.20,
        ("SQS requests", "video"): (3e6 + 3 * 129_600) * 0.4e-6,
        ("Fargate time", "video"): 3 * 720 * (0.25 * 0.03238 + 0.5 * 0.00356),
        ("alarms", "video"): 0.80,
        ("metrics of jobs", "video"): 2.10,
        ("logs", "video"): 0.20,
        ("SQS requests", "log.fifo"): (3e6 + 129_600) * 0.5e-6,
        ("logs", "log.fifo"): 0.20,
        ("dashboard", "all"): 3.00,
    }
    assert found.dollars == pytest.approx(sum(line.dollars for line in found.lines))


def test_jobs_are_shared_by_the_tasks_that_have_no_number(env):
    """Ten in a request cost a tenth of the requests."""
    found = estimate(env, Load(jobs=2e6, jobs_of={"cut": 0}, jobs_per_request=10))

    [mail] = [line for line in found.lines if (line.what, line.of) == ("SQS requests", "mail")]
    assert mail.quantity == 3 * 1e5 + 648_000


def test_runs_of_schedules_are_counted(env):
    """The next thirty days of all that are on."""
    env.queue("mail").processor("nightly", schedule=Cron("0 2 * * ? *"))(lambda: None)

    [line] = [line for line in estimate(env, Load(jobs=0)).lines if line.what == "schedules"]

    assert line.quantity == 30


def test_an_unknown_task_is_refused(env):
    """With those that there are."""
    with pytest.raises(ConfigurationError, match="there is no task 'nope'; there are send, cut, write"):
        estimate(env, Load(jobs=1, seconds_of={"nope": 1}))


def test_prices_of_ones_own(tmp_path, env):
    """A file like the library's; one that lacks a price is refused."""
    prices = json.loads(OWN_PRICES.read_text())
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({**prices, "dashboard_month": 99}))

    assert ("dashboard", "all") in dollars(estimate(env, Load(jobs=0), Prices.read(file)))
    assert dollars(estimate(env, Load(jobs=0), Prices.read(file)))["dashboard", "all"] == 99
    file.write_text("{}")
    with pytest.raises(ConfigurationError, match=r"is no file of prices .*copy"):
        Prices.read(file)


def test_the_assumptions_are_said(env):
    """With the date of the prices."""
    text = "\n".join(estimate(env, Load(jobs=0, memory_mib=1024)).assumptions)

    assert Prices.read().as_of in text
    assert "functions have 1024 MiB" in text
    assert "not counted" in text
