"""Schedules as a part of a task's registration: what they send, and what is refused where it is written."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

import pytest

from sqs_tasks import At, Cron, Every, MemorySession, Schedule, SQSEnv
from sqs_tasks.errors import ConfigurationError, MessageTooLargeError, SerializationError
from sqs_tasks.testing import drain
from sqs_tasks_cdk.manifest import Manifest
from tests.support.queues import Desk

NIGHT = Cron("0 2 * * ? *", timezone="Europe/Berlin")
NOON = datetime(2026, 5, 2, 12, tzinfo=UTC)


def reports(**options):
    """A queue of an environment in memory."""
    return SQSEnv(MemorySession(), queue_prefix="shop-").queue(options.pop("name", "reports"), **options)


def test_registration_schedules_a_task() -> None:
    """The schedule is named by queue and task, and its job can be read in the console."""
    queue = reports()

    @queue.processor("nightly", schedule=NIGHT)
    def nightly(full: bool = False) -> None: ...

    (schedule,) = queue.env.schedules.values()
    assert (schedule.name, schedule.queue_name, schedule.job_name) == ("reports.nightly", "reports", "nightly")
    assert schedule.schedule == Schedule(NIGHT)
    assert schedule.request() == {
        "MessageBody": "{}",
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": value}
            for name, value in {
                "ContentType": "json",
                "JobContext": "{}",
                "JobName": "nightly",
                "JobId": "reports.nightly@<aws.scheduler.scheduled-time>",
                "ScheduledFor": "<aws.scheduler.scheduled-time>",
            }.items()
        },
    }


def test_task_takes_several_schedules() -> None:
    """Each with a name of its own, arguments and options."""
    queue = reports()

    @queue.processor("nightly", schedule=Every(days=1))
    def nightly(full: bool = False) -> None: ...

    returned = nightly.schedule("monday", Cron("0 3 ? * MON *"), arguments={"full": True}, enabled=False).schedule(
        "once", At(NOON), start=NOON - timedelta(days=1), end=NOON, flexible_minutes=5, late_seconds=600
    )

    assert returned is nightly
    assert list(nightly.schedules) == ["", "monday", "once"]
    assert list(queue.env.schedules) == ["reports.nightly", "reports.nightly.monday", "reports.nightly.once"]
    assert nightly.schedules["monday"].request()["MessageBody"] == '{"full": true}'
    assert not nightly.schedules["monday"].schedule.enabled


def test_environment_changes_nothing_in_a_schedule() -> None:
    """Neither the context of who happens to register nor a hook is part of it, and nothing is asked of SQS."""
    desk = Desk()
    desk.env.context["request"] = "r-1"
    desk.env.pre_send(lambda message: pytest.fail("nothing is sent"))
    desk.env.queue("orders.fifo").processor("nightly", schedule=NIGHT)(lambda: None)

    (schedule,) = desk.env.schedules.values()

    assert schedule.request()["MessageAttributes"]["JobContext"]["StringValue"] == "{}"
    assert desk.sqs.calls == []


def test_fifo_takes_the_run_as_deduplication_id_and_groups_by_argument() -> None:
    """So a run that is delivered twice within five minutes is one message."""
    queue = reports(name="orders.fifo")
    task = queue.processor("close", group_by="shop")(lambda shop=None: None)
    task.schedule("blue", NIGHT, arguments={"shop": "blue"}).schedule("all", NIGHT)

    blue, everyone = (one.request() for one in task.schedules.values())

    assert blue["MessageGroupId"] == "blue"
    assert everyone["MessageGroupId"] == "default"
    assert blue["MessageDeduplicationId"] == "orders.fifo.close.blue@<aws.scheduler.scheduled-time>"
    assert blue["MessageAttributes"]["JobId"]["StringValue"] == blue["MessageDeduplicationId"]


def test_fair_queue_takes_its_tenant_and_a_delayed_task_its_delay() -> None:
    """What a send would take from the registration, the schedule takes too."""
    task = reports().processor("bill", fair_by="tenant", delay_seconds=60)(lambda tenant: None)
    task.schedule("blue", NIGHT, arguments={"tenant": "blue"})

    request = task.schedules["blue"].request()

    assert (request["MessageGroupId"], request["DelaySeconds"]) == ("blue", 60)
    assert "MessageDeduplicationId" not in request


def test_message_of_a_run_runs_the_task_under_the_runs_id() -> None:
    """The same time gives the same job id, in any zone; the task can ask which run it is."""
    desk, seen = Desk(), []
    queue = desk.env.queue("reports")

    @queue.processor("nightly", schedule=Schedule(NIGHT, arguments={"day": "<aws.scheduler.scheduled-time>"}))
    def nightly(day: str) -> None:
        seen.append(day)

    desk.env.pre_task(lambda job: seen.append((job.job_id, job.scheduled_for)))
    desk.create()
    schedule = nightly.schedules[""]
    run = next(schedule.schedule.runs(NOON))
    queue.outbox.send(schedule.message_at(run))
    drain(queue)

    assert seen == [("reports.nightly@2026-05-03T00:00:00Z", run), "2026-05-03T00:00:00Z"]


def test_other_jobs_are_for_no_run() -> None:
    """A job that was sent by hand has no scheduled time."""
    desk, seen = Desk(), []
    queue = desk.env.queue("reports")
    task = queue.processor("nightly", schedule=NIGHT)(lambda: None)
    desk.env.pre_task(lambda job: seen.append(job.scheduled_for))
    desk.create()

    task.delay()
    drain(queue)

    assert seen == [None]


def test_arguments_are_encoded_by_the_codec_at_registration() -> None:
    """They are values, and changing the mapping later changes nothing."""
    arguments = {"id": UUID(int=7), "at": NOON, "tags": ["a"]}
    task = reports().processor("nightly")(lambda id, at, tags: None)  # noqa: A006
    task.schedule("monday", NIGHT, arguments=arguments)
    arguments["tags"].append("b")

    body = json.loads(task.schedules["monday"].request()["MessageBody"])

    assert body["tags"] == ["a"]
    assert body["id"] == {"$uuid": str(UUID(int=7))}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (None, "missing a required argument: 'full'"),
        ({"full": True, "nope": 1}, "unexpected keyword argument 'nope'"),
        ([True], "arguments=\\[True\\] must be a mapping"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_at_registration(arguments, said) -> None:
    """Not every night, by the dead-letter queue."""
    task = reports().processor("nightly")(lambda full: None)

    with pytest.raises(ConfigurationError, match=said):
        task.schedule("monday", NIGHT, arguments=arguments)
    assert task.schedules == {}


def test_task_whose_schedule_is_refused_is_not_registered() -> None:
    """A module that is imported again after the repair registers it."""
    queue = reports()
    with pytest.raises(ConfigurationError, match="missing a required argument"):
        queue.processor("nightly", schedule=NIGHT)(lambda full: None)

    queue.processor("nightly", schedule=NIGHT)(lambda full=True: None)


def test_arguments_that_cannot_travel_are_refused() -> None:
    """The text names the argument."""
    task = reports().processor("nightly")(lambda full: None)

    with pytest.raises(SerializationError, match="full"):
        task.schedule("monday", NIGHT, arguments={"full": object()})


def test_job_that_scheduler_cannot_hold_is_refused() -> None:
    """SQS could hold it, and EventBridge Scheduler cannot."""
    task = reports(compress_above_bytes=None).processor("nightly")(lambda text: None)

    with pytest.raises(MessageTooLargeError, match="131072 are allowed"):
        task.schedule("monday", NIGHT, arguments={"text": "a" * 140_000})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"enabled": 1}, "enabled=1 must be True or False"),
        ({"start": datetime(2026, 1, 1)}, "start=.*timezone-aware"),
        ({"end": "2026-01-01"}, "end='2026-01-01' is a str"),
        ({"start": NOON, "end": NOON}, "end=2026-05-02T12:00:00\\+00:00 must be after start"),
        ({"flexible_minutes": 0}, "1 to 1440 whole minutes"),
        ({"flexible_minutes": 1441}, "1 to 1440 whole minutes"),
        ({"flexible_minutes": 1.5}, "1 to 1440 whole minutes"),
        ({"late_seconds": 59}, "60 seconds or more.*try late_seconds=300"),
        ({"late_seconds": 600, "flexible_minutes": 15}, "960 seconds or more.*flexible_minutes more"),
        ({"late_seconds": "60"}, "late_seconds='60' must be"),
        ({"overlap": "never"}, "overlap='never' must be 'allow'"),
    ],
)
def test_options_that_cannot_work_are_refused(options, said) -> None:
    """With what is allowed and what to do."""
    with pytest.raises(ConfigurationError, match=said):
        Schedule(NIGHT, **options)


@pytest.mark.parametrize("overlap", ["skip", "queue"])
def test_runs_that_must_not_overlap_need_a_store(overlap) -> None:
    """Otherwise nobody knows which runs are in progress."""
    with pytest.raises(ConfigurationError, match="no store to remember it in; try a period longer than a run"):
        reports().processor("nightly", schedule=Schedule(NIGHT, overlap=overlap))(lambda: None)


def test_delay_that_makes_all_runs_late_is_refused() -> None:
    """A task that is delayed by ten minutes has no run that begins within five."""
    with pytest.raises(ConfigurationError, match=r"late_seconds=300 and each job is delayed for 600 s.*be 660 or more"):
        reports().processor("nightly", delay_seconds=600, schedule=Schedule(NIGHT, late_seconds=300))(lambda: None)
    with pytest.raises(ConfigurationError, match="delayed for 900 s"):
        reports(delay_seconds=900).processor("nightly", schedule=Schedule(NIGHT, late_seconds=300))(lambda: None)


@pytest.mark.parametrize("expression", ["0 2 * * ? *", None, 900, timedelta(minutes=15)])
def test_schedule_that_is_no_expression_is_refused(expression) -> None:
    """A text alone does not say which of three it is."""
    task = reports().processor("nightly")(lambda: None)

    with pytest.raises(ConfigurationError, match=r"must be Cron\(\.\.\.\), Every\(\.\.\.\) or At\(\.\.\.\)"):
        task.schedule("monday", expression)


@pytest.mark.parametrize("name", ["", "on monday", "é", "a" * 65, ".hidden", 5, None])
def test_schedule_names_that_aws_would_refuse_are_refused(name) -> None:
    """The text says which characters there are."""
    task = reports().processor("nightly")(lambda: None)

    with pytest.raises(ConfigurationError, match="try 'monday'"):
        task.schedule(name, NIGHT)


def test_schedule_name_stands_for_one() -> None:
    """On its task, and in the registry however it came to be."""
    queue = reports()
    task = queue.processor("nightly")(lambda: None)
    task.schedule("monday", NIGHT)

    with pytest.raises(ConfigurationError, match="has a schedule 'monday' already"):
        task.schedule("monday", NIGHT)
    queue.processor("nightly.monday", schedule=NIGHT)(lambda: None)
    with pytest.raises(ConfigurationError, match=r"'reports\.nightly\.monday' stands for a schedule of task"):
        _ = queue.env.schedules
    with pytest.raises(ConfigurationError, match="give one of the tasks or schedules another name"):
        queue.env.manifest()


def test_names_that_aws_does_not_take_get_a_digest() -> None:
    """They last, they differ, and they fit."""
    queue = reports()
    for name in ("send mail", "send-mail", "a" * 100, "a" * 99 + "b", "größe"):
        queue.processor(name, schedule=NIGHT)(lambda: None)

    names = list(queue.env.schedules)

    assert names[0] == "reports.send-mail-5c282dd6"
    assert names[1] == "reports.send-mail"
    assert len(set(names)) == 5
    assert all(len(name) <= 64 and name.isascii() for name in names)


def test_dead_letters_worked_in_place_are_not_scheduled_again() -> None:
    """Processors that are copied leave their schedules behind."""
    env = SQSEnv(MemorySession())
    queue = env.queue("reports")
    queue.processor("nightly", schedule=NIGHT)(lambda: None)
    queue.copy_processors(env.queue("reports_again"))

    assert list(env.schedules) == ["reports.nightly"]


def test_schedule_that_is_off_has_no_runs() -> None:
    """And one that is on has those between its start and its end."""
    on = Schedule(Every(hours=6), end=NOON + timedelta(hours=12))

    assert list(Schedule(NIGHT, enabled=False).runs(NOON)) == []
    assert [run.hour for run in on.runs(NOON, made_at=NOON - timedelta(hours=1))] == [17, 23]
    assert [run.hour for run in islice(Schedule(Every(hours=6), start=NOON).runs(NOON), 2)] == [18, 0]


def test_manifest_has_the_schedules() -> None:
    """With everything that a stack needs; a task without schedules is as it was."""
    queue = reports()
    queue.processor("plain")(lambda: None)
    task = queue.processor("nightly", schedule=Schedule(NIGHT, late_seconds=3600))(lambda: None)
    task.schedule("often", Every(minutes=15), start=NOON, end=NOON + timedelta(days=1), flexible_minutes=5)

    (told,) = queue.env.manifest()["queues"]
    plain, nightly = told["tasks"]

    assert "schedules" not in plain
    assert nightly["schedules"][0] == {
        "name": "reports.nightly",
        "expression": "cron(0 2 * * ? *)",
        "timezone": "Europe/Berlin",
        "enabled": True,
        "start": None,
        "end": None,
        "flexible_minutes": None,
        "late_seconds": 3600,
        "overlap": "allow",
        "period_seconds": 86_400,
        "request": task.schedules[""].request(),
    }
    assert nightly["schedules"][1]["expression"] == "rate(15 minutes)"
    assert nightly["schedules"][1]["start"] == "2026-05-02T12:00:00+00:00"
    assert nightly["schedules"][1]["end"] == "2026-05-03T12:00:00+00:00"
    assert nightly["schedules"][1]["flexible_minutes"] == 5
    assert json.loads(json.dumps(told)) == told


def test_stack_reads_what_the_registry_writes() -> None:
    """The two sides of the manifest agree on every field of a schedule."""
    queue = reports()
    task = queue.processor("nightly", schedule=Schedule(NIGHT, late_seconds=3600))(lambda: None)
    task.schedule("often", Every(minutes=15), start=NOON, end=NOON + timedelta(days=1), flexible_minutes=5)

    read = Manifest.from_json(json.dumps(queue.env.manifest()))

    one, often = read.queue("reports").tasks[0].schedules
    assert (one.name, one.late_seconds, one.timezone) == ("reports.nightly", 3600, "Europe/Berlin")
    assert (often.start, often.flexible_minutes, often.period_seconds) == ("2026-05-02T12:00:00+00:00", 5, 900)
    assert often.request == task.schedules["often"].request()


def test_batch_processors_can_be_scheduled() -> None:
    """Their jobs take whatever arguments are given by name, as their sends do."""
    task = reports().batch_processor("many", schedule=Schedule(NIGHT, arguments={"any": 1}))(lambda jobs: None)

    assert task.schedules[""].request()["MessageBody"] == '{"any": 1}'
