"""The arguments of a batch processor's jobs, by the annotation of its list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, NotRequired, Required, TypedDict

import pytest

from sqs_tasks import BatchMessages, Every, MemorySession, RawQueue, Schedule, SQSEnv
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.message import ReceivedMessage, string_attribute
from sqs_tasks.outcome import Rejected, Succeeded


class Order(TypedDict):
    """A job of the batch processors below."""

    number: int
    note: NotRequired[str]


class Partial(TypedDict, total=False):
    """One whose arguments may be left out."""

    number: Required[int]
    note: str


@pytest.fixture
def env():
    return SQSEnv(MemorySession())


def processors():
    def of_list(orders: list[Order]) -> None: ...
    def of_sequence(orders: Sequence[Order]) -> None: ...
    def of_iterable(orders: Iterable[Partial]) -> None: ...
    def annotated(orders: Annotated[list[Order], "those of a minute"]) -> None: ...

    return [of_list, of_sequence, of_iterable]


@pytest.mark.parametrize("function", processors())
def test_jobs_are_checked_where_they_are_sent(env, function):
    """As those of other tasks are: what the annotation requires must be there, and nothing else may be."""
    queue = env.queue("work")
    index = queue.batch_processor("index")(function)
    env.create_queues()

    index.delay(number=1)
    index.delay(number=1, note="x")
    queue.add_job("index", number=2)
    for send in (index.delay, lambda **kwargs: queue.add_job("index", **kwargs), index.bake):
        with pytest.raises(TypeError, match=r"index: .* and number is missing and nubmer is not part of it; it has n"):
            send(nubmer=3)
    with pytest.raises(TypeError, match="by keyword"):
        index.delay(1)
    with pytest.raises(TypeError, match="number is missing"):
        index.map([{"number": 1}, {}])


@pytest.mark.parametrize("annotation", [list, "list[dict[str, Any]]", "list[Unknown]", "list[int]", Any, None])
def test_jobs_without_an_annotation_of_their_own_take_anything(env, annotation):
    """As before: nothing is known of them."""

    def index(jobs): ...

    if annotation is not None:
        index.__annotations__["jobs"] = annotation
    task = env.queue("work").batch_processor("index")(index)
    env.create_queues()

    task.delay(anything=1)


def messages(*bodies):
    return [
        ReceivedMessage(f"m{n}", f"r{n}", body, message_attributes={"JobName": string_attribute("index")})
        for n, body in enumerate(bodies)
    ]


def test_a_job_that_does_not_fit_is_rejected_alone(env):
    """It never reaches the call that it would share with the others."""
    ran = []
    queue = env.queue("work")

    @queue.batch_processor("index")
    def index(orders: list[Order]) -> None:
        ran.append([order["number"] for order in orders])

    outcomes = queue.executor().execute_batch(messages('{"number": 1}', '{"nubmer": 2}', '{"number": 3, "note": "x"}'))

    assert ran == [[1, 3]]
    assert [type(outcome) for outcome in outcomes] == [Succeeded, Rejected, Succeeded]
    assert "SignatureMismatchError: index: a job is of the type Order" in outcomes[1].reason


def test_unknown_arguments_are_dropped_where_the_task_says_so(env):
    """For deploys in which producers go first."""
    ran = []
    queue = env.queue("work")

    @queue.batch_processor("index", ignore_unknown_arguments=True)
    def index(orders: list[Order]) -> None:
        ran.extend(orders)

    queue.executor().execute_batch(messages('{"number": 1, "new": 2}'))

    assert ran == [{"number": 1}]


def test_context_is_filled_in_by_the_worker(env):
    """It is no argument of a job, although the annotation has it."""

    class WithContext(Order):
        context: dict[str, Any]

    ran = []
    queue = env.queue("work")

    def index(orders):
        ran.extend(orders)

    index.__annotations__["orders"] = list[WithContext]
    task = queue.batch_processor("index", pass_context=True)(index)
    env.create_queues()
    task.delay(number=1)

    queue.executor().execute_batch(queue.get_raw_messages())

    assert ran == [{"number": 1, "context": {}}]


def test_tasks_of_a_queue_with_a_batching_policy_are_checked_too(env):
    """As sqs-workers has it, the queue makes batch processors of them."""
    queue = env.queue("work", batching_policy=BatchMessages(5))

    @queue.processor("index")
    def index(orders: list[Order]) -> None: ...

    env.create_queues()

    with pytest.raises(TypeError, match="number is missing"):
        index.delay()


def test_batches_of_a_raw_queue_are_lists_of_messages(env):
    """Their annotation says nothing of jobs."""
    ran = []
    queue = env.queue("raw", RawQueue, batching_policy=BatchMessages(5))
    queue.connect_raw_processor(ran.extend)

    queue.executor().execute_batch([ReceivedMessage("m", "r", "a"), ReceivedMessage("n", "s", "b")])

    assert [message.body for message in ran] == ["a", "b"]


def test_schedule_of_a_batch_processor_is_checked_at_registration(env):
    """Where its author is."""
    queue = env.queue("work")

    def index(orders: list[Order]) -> None: ...

    with pytest.raises(ConfigurationError, match="number is missing"):
        queue.batch_processor("index", schedule=Schedule(Every(minutes=15), arguments={}))(index)
