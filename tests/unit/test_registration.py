"""What cannot work is refused where it is registered, with the option, its value, what is allowed and what to do."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sqs_tasks import ConstantBackoff, MemorySession, RawQueue, SQSEnv, readers
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.queue import JobQueue


@pytest.fixture
def env() -> SQSEnv:
    return SQSEnv(MemorySession())


@pytest.fixture
def queue(env: SQSEnv) -> JobQueue:
    return env.queue("q")


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


class Mailer:
    def send(self, to: str) -> None:
        """A method, which needs an instance."""

    @classmethod
    def send_all(cls) -> None:
        """One that has what it needs."""

    def __call__(self, to: str) -> None:
        """An instance is a function as well."""


REFUSED: dict[str, tuple[Callable[[JobQueue], Any], str]] = {
    "delay beyond max_age": (
        lambda q: q.processor("t", max_age=300, delay_seconds=600)(print),
        "task 't' on queue 'q': max_age=300 counts from the send, and delay_seconds=600 lets every job pass it",
    ),
    "delay of the queue beyond max_age": (
        lambda q: q.env.queue("slow", delay_seconds=300).processor("t", max_age=300)(print),  # type: ignore[attr-defined]
        "task 't' on queue 'slow': max_age=300 counts from the send, and delay_seconds=300",
    ),
    "backoff beyond max_age": (
        lambda q: q.processor("t", max_age=300, max_attempts=5, backoff_policy=ConstantBackoff(400))(print),
        "lets even the first retry come after 400 s, too late to run; give a greater max_age, a shorter backoff, or",
    ),
    "delay and backoff together": (
        lambda q: q.processor("t", max_age=300, delay_seconds=200, backoff_policy=ConstantBackoff(100))(print),
        "lets even the first retry come after 300 s",
    ),
    "delay of a send beyond max_age": (
        lambda q: q.processor("t", max_age=60)(lambda: None).options(delay_seconds=60).delay(),
        "task 't': a job with delay_seconds=60 would be older than max_age=60 when it comes; give a shorter delay",
    ),
    "enqueues is a queue": (
        lambda q: q.processor("t", enqueues=[q])(print),  # type: ignore[list-item]
        "must be a list of names of queues; try enqueues=['q']",
    ),
    "enqueues is a task": (
        lambda q: q.processor("t", enqueues=[q.processor("u")(print)])(print),  # type: ignore[list-item]
        "must be a list of names of queues; try enqueues=['q']",
    ),
    "enqueues is a text": (
        lambda q: q.processor("t", enqueues="emails")(print),
        "enqueues='emails' must be a list of names of queues; try enqueues=['emails']",
    ),
    "readers are names": (
        lambda q: q.env.queue("old", readers=["celery"]),  # type: ignore[attr-defined]
        "queue 'old': 'celery' in readers= is no reader, which is a function; try readers=[readers.celery]",
    ),
    "a generator": (lambda q: q.processor("t")(generator), "is a generator, of which a call runs nothing"),
    "an async generator": (lambda q: q.processor("t")(async_generator), "is a generator, of which a call runs nothing"),
    "a method without an instance": (
        lambda q: q.processor("t")(Mailer.send),
        "is a method of the class 'Mailer', and no job has a 'self' for it; register a function, or the method of an",
    ),
    "nothing that can be called": (lambda q: q.processor("t")("send"), "'send' cannot be called; register a function"),  # type: ignore[arg-type]
    "a function without a signature": (lambda q: q.processor("t")(max), "does not say its parameters; wrap it in a"),
    "fair_by names no parameter": (
        lambda q: q.processor("t", fair_by="tenant")(lambda tenant_id: None),
        "task 't': fair_by='tenant' is none of its parameters, which are tenant_id; name one of them",
    ),
    "raw generator": (
        lambda q: q.env.queue("raw", RawQueue).raw_processor()(generator),  # type: ignore[attr-defined]
        "is a generator",
    ),
    "raw max_age": (
        lambda q: q.env.queue("raw", RawQueue).raw_processor(max_age=5, delay_seconds=5)(print),  # type: ignore[attr-defined]
        "max_age=5 counts from the send",
    ),
}


@pytest.mark.parametrize(("register", "text"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused(queue: JobQueue, register: Callable[[JobQueue], Any], text: str) -> None:
    """At the registration or at the send, and not when every job has become a dead letter."""
    with pytest.raises(ConfigurationError, match=re.escape(text)):
        register(queue)


def test_what_works_is_taken(env: SQSEnv, queue: JobQueue) -> None:
    """The neighbours of what is refused."""
    queue.processor("a", max_age=300, delay_seconds=200, max_attempts=1, backoff_policy=ConstantBackoff(400))(print)
    queue.processor("b", max_age=301, max_attempts=5, backoff_policy=ConstantBackoff(300))(print)
    queue.processor("c", enqueues=["q"])(Mailer().send)
    queue.processor("d", enqueues=[])(Mailer.send_all)
    queue.processor("e")(Mailer())
    queue.processor("f", fair_by="tenant")(lambda **anything: None)
    env.queue("old", readers=[readers.celery])


def test_a_backoff_of_the_queue_that_is_too_long_for_a_task_is_logged(
    env: SQSEnv, caplog: pytest.LogCaptureFixture
) -> None:
    """The policy was chosen for other tasks; this one may not need its retries."""
    env.queue("slow", backoff_policy=ConstantBackoff(400)).processor("t", max_age=300)(print)

    [record] = caplog.records
    assert record.__dict__["action"] == "retries_too_late"
    assert "give a greater max_age" in record.getMessage()


@pytest.mark.parametrize("queues", [(), ("mail",)])
def test_a_registry_without_tasks_is_no_manifest(env: SQSEnv, queues: tuple[str, ...]) -> None:
    """The modules with the tasks were not imported: the stack would remove the workers that are deployed."""
    for name in queues:
        env.queue(name)

    with pytest.raises(
        ConfigurationError, match=r"app:env has no task \(its queues: (none|mail)\).*import the modules"
    ):
        env.manifest(app="app:env")
    assert len(env.manifest(app="app:env", without_tasks=True)["queues"]) == len(queues)


def test_the_command_refuses_a_registry_without_tasks(tmp_path: Path) -> None:
    """In one line, and with the option by which it can be had all the same."""
    (tmp_path / "app.py").write_text("from sqs_tasks import SQSEnv\nenv = SQSEnv()\nenv.queue('mail')\n")

    def manifest(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sqs_tasks", "manifest", "app:env", *options]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    refused, allowed = manifest(), manifest("--without-tasks")

    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
    assert "app:env has no task (its queues: mail)" in refused.stderr
    assert (allowed.returncode, allowed.stderr) == (0, "")


def test_a_name_is_registered_again_with_replace(env: SQSEnv, queue: JobQueue) -> None:
    """Tests put their own function in the place of one that an import has registered."""
    ran: list[str] = []
    queue.processor("send", aliases=["mail"])(lambda: ran.append("first"))
    queue.processor("other", aliases=["post"])(lambda: ran.append("other"))

    with pytest.raises(ConfigurationError, match="pass replace=True to replace the other"):
        queue.processor("send")(lambda: ran.append("second"))
    queue.processor("send", replace=True)(lambda: ran.append("second"))
    env.create_queues()
    queue.add_job("send")
    queue.process_batch()

    assert ran == ["second"]
    assert queue.get_processor("mail") is None
    assert queue.get_processor("post") is not None
    assert [task.name for task in queue.tasks] == ["other", "send"]


def test_all_ways_to_register_may_replace(env: SQSEnv, queue: JobQueue) -> None:
    """Plain tasks, batch processors, raw processors, with a decorator and without."""
    raw = env.queue("raw", RawQueue)

    def first(jobs: list[Any]) -> None:
        """Replaced."""

    def second(jobs: list[Any]) -> None:
        """Registered in its place."""

    for function in (first, second):
        queue.processor("a", replace=True)(function)
        queue.batch_processor("b", replace=True)(function)
        queue.connect_processor("c", function, replace=True)
        raw.connect_raw_processor(function, replace=True)

    assert [task.processor.fn for task in queue.tasks] == [second] * 3
    assert raw.processor is second


def test_the_function_of_a_batch_processor_runs_with_one_item(queue: JobQueue) -> None:
    """``run`` takes the arguments of one job, as ``delay`` does; a list of several is passed on."""

    @queue.batch_processor("index")
    def index(jobs: list[dict[str, int]]) -> int:
        return sum(job["n"] for job in jobs)

    assert index.run(n=5) == 5
    assert index.run([{"n": 1}, {"n": 2}]) == 3


@pytest.mark.parametrize("size", [0, -1, 2.5, True])
def test_a_batch_of_no_jobs_is_refused(queue: JobQueue, size: Any) -> None:
    """It would be no batch processor."""
    with pytest.raises(ConfigurationError, match="must be a whole number from 1 to 10000"):
        queue.batch_processor("index", batch_size=size)
