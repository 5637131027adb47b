"""What middleware may wrap: plain context managers all tasks, async ones async tasks."""

from __future__ import annotations

import asyncio
import contextlib
import functools

import pytest

from sqs_tasks import MemorySession, RawQueue, SQSEnv, context_middleware
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.execution.event_loop import run_coroutine
from sqs_tasks.message import ReceivedMessage, string_attribute
from sqs_tasks.outcome import Rejected, Retried, Succeeded


class Steps(list):
    """What happened, in its order."""

    def around(self, name):
        """A factory of async context managers."""

        @contextlib.asynccontextmanager
        async def session(job):
            self.append(f"{name} entered")
            await asyncio.sleep(0)
            try:
                yield
            finally:
                await asyncio.sleep(0)
                self.append(f"{name} left")

        return session


@pytest.fixture
def steps():
    return Steps()


def execute(queue, job="go"):
    message = ReceivedMessage("m", "r", "{}", message_attributes={"JobName": string_attribute(job)})
    return queue.executor(run_coroutine=run_coroutine).execute(message)


class AsyncOnly:
    def __init__(self, job):
        pass

    async def __aenter__(self):
        pass

    async def __aexit__(self, *_):
        pass


class Both(AsyncOnly):
    entered = None

    def __enter__(self):
        Both.entered = "plain"

    def __exit__(self, *_):
        pass

    async def __aenter__(self):
        Both.entered = "async"


def test_async_context_manager_is_around_async_tasks(steps):
    """Until the task has finished, and also when it fails: a session of a database, say."""
    queue = SQSEnv(middleware=[context_middleware(steps.around("session"))]).queue("work")

    @queue.processor("go")
    async def go() -> None:
        await asyncio.sleep(0)
        steps.append("ran")

    @queue.processor("fail")
    async def fail() -> None:
        raise ValueError("no")

    assert isinstance(execute(queue), Succeeded)
    assert steps == ["session entered", "ran", "session left"]
    assert isinstance(execute(queue, "fail"), Retried)
    assert steps[3:] == ["session entered", "session left"]


def test_plain_and_async_context_managers_wrap_each_other(steps):
    """In the order of the list, the first outermost."""

    @contextlib.contextmanager
    def plain(job):
        steps.append("plain entered")
        yield
        steps.append("plain left")

    middleware = [context_middleware(plain), context_middleware(steps.around("async")), context_middleware(plain)]
    queue = SQSEnv(middleware=middleware).queue("work")

    @queue.processor("go")
    async def go() -> None:
        pass

    execute(queue)

    assert steps == ["plain entered", "async entered", "plain entered", "plain left", "async left", "plain left"]


@pytest.mark.parametrize(
    "factory",
    [
        Steps().around("session"),
        functools.partial(Steps().around("session")),
        AsyncOnly,
    ],
    ids=["asynccontextmanager", "partial", "class"],
)
@pytest.mark.parametrize("kind", ["task", "batch processor", "raw processor"])
def test_plain_task_under_an_async_context_manager_is_refused(factory, kind):
    """At registration, and not by failing each of its jobs."""
    env = SQSEnv(middleware=[context_middleware(factory)])
    register = {
        "task": lambda: env.queue("work").processor("go")(lambda: None),
        "batch processor": lambda: env.queue("work").batch_processor("go")(lambda jobs: None),
        "raw processor": lambda: env.queue("raw", RawQueue).connect_raw_processor(lambda message: None),
    }[kind]

    with pytest.raises(ConfigurationError, match=r"is plain and the context manager of middleware .* is async"):
        register()


def generator(job):
    yield


async def async_generator(job):
    yield


async def coroutine(job):
    return contextlib.nullcontext()


@pytest.mark.parametrize(
    ("factory", "says"),
    [
        (generator, "decorate it with contextlib.contextmanager"),
        (async_generator, "decorate it with contextlib.asynccontextmanager"),
        (coroutine, "returns a coroutine"),
        (contextlib.nullcontext(), "pass the function"),
    ],
)
def test_what_makes_no_context_manager_is_refused(factory, says):
    """Where it is written: a decorator is easily forgotten."""
    with pytest.raises(ConfigurationError, match=says):
        context_middleware(factory)


def test_factory_that_hides_its_kind_fails_the_job_with_a_word():
    """A function cannot be looked into before it is called."""

    def hidden(job):
        return AsyncOnly(job)

    queue = SQSEnv(middleware=[context_middleware(hidden)]).queue("work")
    queue.processor("go")(lambda: None)

    outcome = execute(queue)

    assert isinstance(outcome, Retried)
    assert "is plain and the context manager" in outcome.reason


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_context_manager_of_both_kinds_serves_both(kind):
    """As the task is."""
    queue = SQSEnv(middleware=[context_middleware(Both)]).queue("work")

    async def go() -> None:
        pass

    queue.processor("go")(go if kind == "async" else lambda: None)

    assert isinstance(execute(queue), Succeeded)
    assert Both.entered == kind


async def async_around(job, call_next):
    return await call_next()


@pytest.mark.parametrize("middleware", [async_around, context_middleware(AsyncOnly)])
def test_middleware_of_a_lambda_handler_is_checked_too(middleware):
    """It wraps the tasks that are registered when the handler is made."""
    env = SQSEnv(MemorySession())
    env.queue("work").processor("go")(lambda: None)

    with pytest.raises(ConfigurationError, match="'go' is plain"):
        SQSEventHandler(env, middleware=[middleware])


def test_rejected_is_no_matter_of_middleware(steps):
    """What cannot run is not wrapped."""
    queue = SQSEnv(middleware=[context_middleware(steps.around("session"))]).queue("work")

    @queue.processor("go", max_age=1)
    async def go() -> None:
        pass

    message = ReceivedMessage(
        "m", "r", "{}", attributes={"SentTimestamp": "1"}, message_attributes={"JobName": string_attribute("go")}
    )

    assert isinstance(queue.executor(run_coroutine=run_coroutine).execute(message), Rejected)
    assert steps == []
