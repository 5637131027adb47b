"""``sqs-tasks schedules``: what it prints, and its exit codes; what it deploys is in ``deployment/test_schedules.py``."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

import pytest

from sqs_tasks.app_path import load_app
from sqs_tasks.testing import drain
from tests.support.scheduler import StoredSchedules

APP = """
from datetime import UTC, datetime

from sqs_tasks import Cron, Every, MemorySession, Schedule, SQSEnv

env = SQSEnv(MemorySession(), queue_prefix="t-")
reports = env.queue("reports")
done = []


@reports.processor("nightly", schedule=Cron("0 2 * * ? *", timezone="Europe/Berlin"))
def nightly(full: bool = False) -> None:
    done.append(full)


nightly.schedule("monday", Cron("0 3 ? * MON *"), arguments={"full": True})
nightly.schedule("off", Every(hours=1), enabled=False)
nightly.schedule("over", Cron("0 3 * * ? 2020"))
"""

PLACE = ("--group", "shop", "--role-arn", "arn:aws:iam::123456789012:role/shop")


@pytest.fixture
def scheduled(directory):
    """An application with four schedules, its queues created."""
    (directory / "scheduled_app.py").write_text(APP)
    sys.path.insert(0, str(directory))
    env = load_app("scheduled_app:env")
    env.create_queues()
    return "scheduled_app:env"


@pytest.fixture
def scheduler(monkeypatch):
    """EventBridge Scheduler, where boto3 would be asked for it."""
    client = StoredSchedules()

    def made(service, endpoint_url=None):
        assert service == "scheduler"
        client.endpoint_url = endpoint_url
        return client

    monkeypatch.setattr("boto3.client", made)
    return client


def test_ls_shows_each_schedule_with_its_next_run(run, scheduled):
    """On the clock of its zone; one that is off has none, nor one whose years are over."""
    result = run("schedules", "ls", scheduled)

    lines = result.stdout.splitlines()
    assert result.exit_code == 0, result.output
    assert lines[0].split() == ["schedule", "expression", "zone", "next", "run"]
    assert lines[1].startswith("reports.nightly         cron(0 2 * * ? *)     Europe/Berlin  ")
    assert " 02:00 +0" in lines[1]
    assert "Mon " in lines[2]
    assert lines[3].split()[-1] == "off"
    assert lines[4].split()[-1] == "-"


def test_ls_as_json_has_moments_in_utc(run, scheduled):
    """For other programs."""
    listed = json.loads(run("schedules", "ls", scheduled, "--json").stdout)

    assert listed[0].keys() == {"name", "queue", "task", "expression", "timezone", "enabled", "next"}
    assert listed[0]["name"] == "reports.nightly"
    assert datetime.fromisoformat(listed[0]["next"]) > datetime.now(UTC)
    assert [one["next"] is None for one in listed] == [False, False, True, True]


def test_ls_with_a_group_asks_what_is_deployed(run, scheduled, scheduler):
    """Before and after the deploy, and after a pause."""
    assert run("schedules", "ls", scheduled, "--group", "shop").stdout.count("not there") == 4
    run("schedules", "apply", scheduled, *PLACE)
    run("schedules", "pause", scheduled, "reports.nightly", "--group", "shop")

    listed = json.loads(run("schedules", "ls", scheduled, "--group", "shop", "--json").stdout)

    assert [one["deployed"] for one in listed] == ["DISABLED", "ENABLED", "DISABLED", "ENABLED"]


def test_next_merges_the_runs_of_all(run, scheduled):
    """In order, as many as asked for."""
    result = run("schedules", "next", scheduled, "--count", "9", "--json")

    runs = json.loads(result.stdout)
    assert [one["at"] for one in runs] == sorted(one["at"] for one in runs)
    assert len(runs) == 9
    assert {one["name"] for one in runs} == {"reports.nightly", "reports.nightly.monday"}


def test_next_of_one_schedule(run, scheduled):
    """Named as in the list."""
    result = run("schedules", "next", scheduled, "reports.nightly.monday", "--count", "2")

    lines = result.stdout.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("Mon ") and " 03:00 +0000" in line for line in lines[1:])


@pytest.mark.parametrize("words", [("next",), ("pause", "--group", "shop"), ("resume", "--group", "shop"), ("run",)])
def test_unknown_schedules_are_refused_with_those_that_are_there(run, scheduled, scheduler, words):
    """A name is typed more easily than remembered."""
    command, *options = words
    result = run("schedules", command, scheduled, "nightly", *options)

    assert result.exit_code == 2
    assert "there is no schedule 'nightly'; there are reports.nightly, reports.nightly.monday" in result.stderr


def test_apply_says_what_it_did(run, scheduled, scheduler):
    """A dry run says what it would do, and does not; doing it again does nothing."""
    dry = run("schedules", "apply", scheduled, *PLACE, "--dry-run")
    assert dry.stdout.splitlines()[0] == "reports.nightly: would be created"
    assert scheduler.changed() == []

    first = run("schedules", "apply", scheduled, *PLACE)
    assert first.stdout.splitlines()[0] == "reports.nightly: created"
    assert len(scheduler.schedules) == 4

    again = run("schedules", "apply", scheduled, *PLACE, "--json")
    assert {one["action"] for one in json.loads(again.stdout)} == {"keep"}


def test_place_may_stand_in_the_environment(run, scheduled, scheduler, monkeypatch):
    """As the stack sets it for workers."""
    monkeypatch.setenv("SQS_TASKS_SCHEDULE_GROUP", "shop")
    monkeypatch.setenv("SQS_TASKS_SCHEDULER_ROLE_ARN", "arn:aws:iam::123456789012:role/shop")
    monkeypatch.setenv("SQS_TASKS_SCHEDULER_DEAD_LETTER_ARN", "arn:aws:sqs:us-east-1:123456789012:undelivered")

    assert run("schedules", "apply", scheduled).exit_code == 0
    assert "DeadLetterConfig" in scheduler.schedules["shop", "reports.nightly"]["Target"]


def test_diff_tells_by_its_exit_code(run, scheduled, scheduler, directory):
    """0 as registered, 1 different, 2 no telling."""
    assert run("schedules", "diff", scheduled, *PLACE).exit_code == 1
    run("schedules", "apply", scheduled, *PLACE)
    assert run("schedules", "diff", scheduled, *PLACE).exit_code == 0
    scheduler.schedules["shop", "reports.nightly"]["ScheduleExpression"] = "rate(1 day)"

    result = run("schedules", "diff", scheduled, *PLACE)

    assert result.exit_code == 1
    assert "reports.nightly: would be changed" in result.stdout
    assert "  ScheduleExpression: deployed rate(1 day), registered cron(0 2 * * ? *)" in result.stdout
    assert run("schedules", "diff", scheduled, "--group", "shop").exit_code == 2


def test_no_answer_is_no_difference(run, scheduled, monkeypatch):
    """A build must not take a missing right for a schedule that is gone."""
    from botocore.exceptions import EndpointConnectionError

    class Unreachable(StoredSchedules):
        def get_schedule(self, **request):
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

    monkeypatch.setattr("boto3.client", lambda *_args, **_options: Unreachable())

    result = run("schedules", "diff", scheduled, *PLACE)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "EndpointConnectionError" in result.stderr


def test_pause_and_resume(run, scheduled, scheduler):
    """Each says what it did, or that there was nothing to do."""
    run("schedules", "apply", scheduled, *PLACE)

    def say(command):
        return run("schedules", command, scheduled, "reports.nightly", "--group", "shop").stdout.strip()

    assert say("pause") == "reports.nightly: paused"
    assert say("pause") == "reports.nightly: already paused"
    assert say("resume") == "reports.nightly: on"
    assert say("resume") == "reports.nightly: already on"


def test_run_adds_the_job_of_a_schedule_now(run, scheduled):
    """With its arguments, under an id of this second."""
    result = run("schedules", "run", scheduled, "reports.nightly.monday")

    assert result.exit_code == 0, result.output
    env = load_app(scheduled)
    seen = []
    env.pre_task(lambda job: seen.append((job.job_id, job.kwargs)))
    drain(env.queue("reports"))
    ((job_id, kwargs),) = seen
    assert kwargs == {"full": True}
    assert result.stdout.startswith(f"{job_id}  ")
    assert job_id.startswith(f"reports.nightly.monday@{datetime.now(UTC).year}-")


def test_scheduler_is_asked_where_a_local_sqs_is(run, scheduled, scheduler):
    """And never at an interface endpoint, which is SQS's alone."""
    run("schedules", "ls", scheduled, "--group", "shop", "--endpoint-url", "http://127.0.0.1:9324")
    assert scheduler.endpoint_url == "http://127.0.0.1:9324"

    vpce = "https://vpce-1.sqs.eu-central-1.vpce.amazonaws.com"
    run("schedules", "ls", scheduled, "--group", "shop", "--endpoint-url", vpce)
    assert scheduler.endpoint_url is None


def test_application_without_schedules_has_nothing_to_do(run, app, scheduler):
    """And says so."""
    assert run("schedules", "next", app.name).stdout.split() == ["next", "run", "zone", "schedule", "task"]
    assert "no schedules are registered" in run("schedules", "apply", app.name, *PLACE).stdout
