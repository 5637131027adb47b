"""The backend for Django's own tasks: what Django's tests check of its backends, and that SQS and a worker are behind it.

Django's suite (tests/tasks) checks of each backend: that TASKS chooses it with its alias and options; enqueue and aenqueue of
plain and async tasks, with the state of the result; the signals and their logs; a task that raises, SystemExit included; a return
value that is no JSON; that results cannot be read or refreshed where the backend keeps none; run_after, priorities and queue names,
refused or taken, also where settings changed after the task was made; takes_context; check(); and that a job does not wait for
a commit by default. Each is here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from sqs_tasks import RawQueue, SQSEnv
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.integrations.django import framework
from sqs_tasks.testing import drain, in_memory
from sqs_tasks.transactions import OnCommit
from tests.support import django_project
from tests.support.django_project import BACKEND

django_project.configure()

from tests.support.django_shop import sqs as shop_sqs  # noqa: E402 - they need settings
from tests.support.django_shop import tasks as shop  # noqa: E402

env = shop_sqs.env
base: Any = framework.part("base")
signals: Any = framework.part("signals")
tasks: Any = framework.part()
Status = base.TaskResultStatus
default = tasks.task_backends["default"]
#: Django calls it InvalidTask.
InvalidTask = (
    getattr(framework.part("exceptions"), "InvalidTask", None) or framework.part("exceptions").InvalidTaskError
)


@pytest.fixture(autouse=True)
def memory() -> Iterator[Any]:
    """Queues in memory, and a clean list of calls."""
    shop.calls.clear()
    with in_memory(env) as session:
        yield session


@pytest.fixture
def heard() -> Iterator[list[tuple[str, Any]]]:
    """The signals, each with the state of its result."""
    heard: list[tuple[str, Any]] = []
    receivers = {}
    for name in ("task_enqueued", "task_started", "task_finished"):

        def receiver(*, sender, task_result, name=name, **_more):
            assert sender is type(default)
            heard.append((name, task_result.status))

        receivers[name] = receiver
        getattr(signals, name).connect(receiver)
    yield heard
    for name, one in receivers.items():
        getattr(signals, name).disconnect(one)


def waiting(queue: str = "default") -> int:
    return env.queue(queue).statistics().total


def test_the_setting_chooses_it() -> None:
    """With its alias, options and queues; it is honest about what SQS can do."""
    assert type(default).__name__ == "SQSBackend"
    assert (default.alias, default.options) == ("default", {})
    assert tasks.task_backends["anywhere"].app == "tests.support.django_shop.sqs:env"
    assert default.env is env
    assert default.supports_defer
    assert default.supports_async_task
    assert not default.supports_get_result
    assert not default.supports_priority


def test_an_enqueued_task_is_ready_and_a_worker_runs_it(heard: list[tuple[str, Any]]) -> None:
    """The result that the caller gets says nothing of what happens later; the signals do."""
    result = shop.greet.enqueue("Ada", greeting="Hi")

    assert result.status == Status.READY
    assert result.enqueued_at is not None
    assert (result.started_at, result.last_attempted_at, result.finished_at) == (None, None, None)
    assert (result.args, result.kwargs, result.attempts, result.errors) == (["Ada"], {"greeting": "Hi"}, 0, [])
    assert result.task == shop.greet
    assert result.backend == "default"
    assert not result.is_finished
    with pytest.raises(ValueError, match="has not finished"):
        _ = result.return_value
    assert waiting() == 1
    assert heard == [("task_enqueued", Status.READY)]

    drain(env.queue("default"))

    assert shop.calls == ["Hi, Ada"]
    assert heard[1:] == [("task_started", Status.RUNNING), ("task_finished", Status.SUCCESSFUL)]


def test_coroutines_enqueue_and_async_tasks_run(heard: list[tuple[str, Any]]) -> None:
    """Both kinds of task by both kinds of call; a receiver may use the ORM, so it is not called on the event loop."""

    async def request() -> None:
        assert (await shop.greet_async.aenqueue("Bob")).status == Status.READY
        assert (await shop.greet.aenqueue("Cem")).enqueued_at is not None

    asyncio.run(request())
    shop.greet_async.enqueue("Dan")
    drain(env.queue("default"))

    assert sorted(shop.calls) == ["Hello, Cem", "async Bob", "async Dan"]
    assert [name for name, _ in heard].count("task_finished") == 3


def test_arguments_that_cannot_travel_or_do_not_fit_are_refused_where_the_author_is() -> None:
    """Django refuses what is no JSON; a signature that does not fit would fail every attempt."""
    for enqueue in (shop.greet.enqueue, async_to_sync(shop.greet.aenqueue)):
        with pytest.raises(TypeError, match="Unsupported type"):
            enqueue(datetime.now())
        with pytest.raises(TypeError, match=r"django_shop.tasks.greet: missing a required argument: 'name'"):
            enqueue(greeting="Hi")
    with pytest.raises(TypeError, match="too many positional"):
        shop.with_context.enqueue(1, 2)
    assert waiting() == 0


def test_a_task_gets_its_context() -> None:
    """Its id is that of the job and of the result; the attempt counts deliveries."""
    result = shop.with_context.enqueue(-1)

    drain(env.queue("default"), raise_errors=False)

    (first, *_), (second, *_) = shop.calls
    assert [attempt for _, attempt, _ in shop.calls] == [1, 2]
    assert first.id == second.id == result.id
    assert first.task == shop.with_context
    assert second.attempts == 2
    assert second.worker_ids[-1]
    assert timezone.is_aware(second.enqueued_at)


@pytest.mark.parametrize(("what", "name"), [("broken", "ValueError"), ("exit", "SystemExit")])
def test_a_job_has_failed_when_no_attempt_is_left(
    what: str, name: str, heard: list[tuple[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """Each attempt is started; the last one is finished, with its error and Django's record of it."""
    finished: list[Any] = []

    def keep(*, task_result, **_more):
        finished.append(task_result)

    signals.task_finished.connect(keep)
    try:
        shop.failing.enqueue(what)
        with caplog.at_level(logging.DEBUG):
            drain(env.queue("default"), raise_errors=False)
    finally:
        signals.task_finished.disconnect(keep)

    assert heard[1:] == [
        ("task_started", Status.RUNNING),
        ("task_started", Status.RUNNING),
        ("task_finished", Status.FAILED),
    ]
    (result,) = finished
    assert result.errors[0].exception_class_path == f"builtins.{name}"
    assert result.errors[0].traceback.endswith(f"{name}: {what}\n")
    assert result.finished_at >= result.started_at
    with pytest.raises(ValueError, match="Task failed"):
        _ = result.return_value
    record = next(one for one in caplog.records if "state=FAILED" in one.getMessage())
    assert result.id in record.getMessage()
    assert record.exc_info
    assert env.queue("default").statistics().dead_letters == 1


def test_what_is_given_up_has_failed_at_once(heard: list[tuple[str, Any]]) -> None:
    """Reject, and what the queue's options say is not worth a second attempt."""
    shop.rejecting.enqueue()
    shop.failing.using(queue_name="emails").enqueue("key")
    for name in ("default", "emails"):
        drain(env.queue(name), raise_errors=False)

    assert heard[2:] == [("task_started", Status.RUNNING), ("task_finished", Status.FAILED)] * 2
    assert [env.queue(name).statistics().dead_letters for name in ("default", "emails")] == [1, 1]


def test_a_return_value_that_is_no_json_fails_nothing(heard: list[tuple[str, Any]]) -> None:
    """Nobody keeps it, and the task has done its work: a second run would do it again."""
    shop.opaque.enqueue()

    assert drain(env.queue("default")).succeeded == 1
    assert heard[-1] == ("task_finished", Status.SUCCESSFUL)


def test_a_receiver_that_raises_neither_fails_nor_repeats_a_job() -> None:
    """Who only watches breaks nothing."""

    def raises(**_more):
        raise OSError("no")

    for name in ("task_enqueued", "task_started", "task_finished"):
        getattr(signals, name).connect(raises)
    try:
        shop.greet.enqueue("Ada")
        assert drain(env.queue("default")).succeeded == 1
    finally:
        for name in ("task_enqueued", "task_started", "task_finished"):
            getattr(signals, name).disconnect(raises)


def test_results_are_not_kept() -> None:
    """Reading and refreshing say so, as Django's backends without a store do."""
    result = shop.greet.enqueue("Ada")

    for ask in (lambda: default.get_result(result.id), result.refresh, lambda: shop.greet.get_result(result.id)):
        with pytest.raises(NotImplementedError, match="does not support retrieving"):
            ask()
    with pytest.raises(NotImplementedError, match="does not support retrieving"):
        asyncio.run(result.arefresh())


def test_a_queue_that_keeps_records_has_the_results() -> None:
    """The library's own way to them, by the id of the result, for plain and async tasks."""
    result = shop.greet.using(queue_name="recorded").enqueue("Ada")
    other = shop.greet_async.using(queue_name="recorded").enqueue("Bob")
    assert env.job(result.id).status() == "queued"
    drain(env.queue("recorded"))

    assert env.job(result.id).result(timeout=0) == len("Ada")
    assert env.job(other.id).result(timeout=0) == "async Bob"


def test_run_after_waits(memory: Any) -> None:
    """SQS holds back what is due within fifteen minutes; a moment that has passed is now, a naive one is refused."""
    later = timezone.now() + timedelta(minutes=10)
    shop.greet.using(run_after=later).enqueue("later")
    shop.greet.using(run_after=timezone.now() - timedelta(days=1)).enqueue("now")
    drain(env.queue("default"))
    assert shop.calls == ["Hello, now"]

    memory.advance(601)
    drain(env.queue("default"))
    assert shop.calls == ["Hello, now", "Hello, later"]
    with pytest.raises(InvalidTask, match="aware"):
        shop.greet.using(run_after=datetime.now())


def test_run_after_of_a_project_without_time_zones_is_local(memory: Any) -> None:
    """With USE_TZ=False moments are naive, in the project's time zone."""
    with override_settings(USE_TZ=False, TIME_ZONE="Asia/Tokyo"):
        shop.greet.using(run_after=timezone.now() + timedelta(minutes=10)).enqueue("later")
        drain(env.queue("default"))
        assert shop.calls == []
        memory.advance(601)
        drain(env.queue("default"))

    assert shop.calls == ["Hello, later"]


def test_priorities_are_refused() -> None:
    """SQS has none, and a promise that is not kept is worse than none."""
    with pytest.raises(InvalidTask, match="priority"):
        shop.greet.using(priority=1)


def test_each_task_is_known_on_each_queue(memory: Any) -> None:
    """So using(queue_name=) reaches a worker that knows the task; the manifest and the stack see all of them."""
    shop.greet.using(queue_name="emails").enqueue("Ada")
    drain(env.queue("emails"))

    assert shop.calls == ["Hello, Ada"]
    assert shop.greet.module_path in {task.name for task in env.queue("emails").tasks}
    with pytest.raises(InvalidTask, match="'other' is not valid"):
        shop.greet.using(queue_name="other")


def test_without_queues_any_may_be_named() -> None:
    """A task is registered on its own then."""
    shop.wanderer.enqueue()
    drain(env.queue("anything"))

    assert shop.calls == ["wanderer"]


def test_settings_that_changed_after_the_task_was_made_are_looked_at_again() -> None:
    """A queue that is gone is refused when something is enqueued, in both ways."""
    with override_settings(TASKS={"default": {"BACKEND": BACKEND, "QUEUES": ["emails"]}}):
        with pytest.raises(InvalidTask, match="'default' is not valid"):
            shop.greet.enqueue("Ada")
        with pytest.raises(InvalidTask, match="'default' is not valid"):
            asyncio.run(shop.greet.aenqueue("Ada"))


def test_functions_that_no_message_could_name_are_refused() -> None:
    """Those of another function, and builtins."""

    def local() -> None: ...

    for function in (local, any):
        with pytest.raises(InvalidTask, match="module level"):
            tasks.task()(function)


def test_by_default_a_job_does_not_wait_for_a_commit() -> None:
    """As Django's own backends."""
    with transaction.atomic():
        assert shop.greet.enqueue("Ada").enqueued_at is not None
        assert waiting() == 1


def test_on_commit_a_job_waits_and_is_not_enqueued_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor what a coroutine enqueues: the transaction is one of the thread that runs the ORM. The id is known at once."""
    monkeypatch.setattr(env, "hold", OnCommit())

    class Nope(Exception):
        """What rolls back."""

    with transaction.atomic():
        result = shop.greet.enqueue("Ada")
        again = async_to_sync(shop.greet.aenqueue)("Bob")
        assert (result.enqueued_at, again.enqueued_at) == (None, None)
        assert result.id
        assert waiting() == 0
    assert waiting() == 2

    def fail() -> None:
        with transaction.atomic():
            shop.greet.enqueue("Cem")
            raise Nope

    with pytest.raises(Nope):
        fail()
    assert waiting() == 2


def test_the_library_s_own_tasks_are_beside_them() -> None:
    """One environment, one worker."""
    shop.send_email.delay("a@example.com")
    drain(env.queue("emails"))

    assert shop.calls == ["a@example.com"]


def test_check_finds_nothing_wrong_and_what_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that does not exist, one that nobody names, and a queue that takes no jobs."""

    def errors(**options: Any) -> list[str]:
        with override_settings(TASKS={"default": {"BACKEND": BACKEND, **options}}, SQS_TASKS={}):
            return [f"{one.id} {one.msg}" for one in tasks.task_backends["default"].check()]

    assert list(default.check()) == []
    assert "E003" in errors()[0]
    assert "must name the environment" in errors()[0]
    assert "no module 'nowhere'" in errors(OPTIONS={"APP": "nowhere:env"})[0]
    other = SQSEnv()
    other.queue("uploads", RawQueue)
    monkeypatch.setattr(shop_sqs, "other", other, raising=False)
    options = {"APP": "tests.support.django_shop.sqs:other"}
    (error,) = errors(QUEUES=["uploads"], OPTIONS=options)
    assert "'uploads' of tests.support.django_shop.sqs:other is a RawQueue" in error


def test_where_django_has_no_tasks_the_backend_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """All else works with Django 5.2."""
    monkeypatch.setattr(framework, "find_spec", lambda name: None)

    with pytest.raises(ImportError, match=r"this is Django \d.*needs Django 6.0 or newer.*django-tasks"):
        framework.backend_class()("default", {})
    with pytest.raises(ConfigurationError, match="must name the environment"), override_settings(SQS_TASKS={}):
        _ = type(default)("default", {"OPTIONS": {}}).app
