"""A batch that failed as a whole, run again one by one."""

from __future__ import annotations

import dataclasses
import json
from typing import NamedTuple

import attrs
import pydantic
import pytest

from sqs_tasks import MemorySession, Reject, Retry, SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.errors import TaskTimeoutError
from sqs_tasks.shutdown_policies import IdleShutdown
from sqs_tasks.testing import drain, in_memory, lambda_event


class Batches:
    """A batch processor of invoices that notes its calls and fails for some numbers."""

    def __init__(self, *, error=KeyError, isolate=True, bad=(3,)):
        self.env = SQSEnv()
        self.queue = self.env.queue("q")
        self.calls: list[list[int]] = []

        @self.queue.batch_processor("index", batch_size=10, max_attempts=3, isolate_failures=isolate)
        def index(jobs: list[dict]) -> None:
            numbers = [job["n"] for job in jobs]
            self.calls.append(numbers)
            if set(numbers) & set(bad):
                raise error("bad")

        self.index = index


def test_one_bad_job_fails_alone(caplog):
    """The others succeed in the same receive; the bad one goes its way to the dead letters."""
    batches = Batches()
    with in_memory(batches.env):
        batches.index.map({"n": n} for n in range(5))
        first = drain(batches.queue, raise_errors=False)
        rest = drain(batches.queue, raise_errors=False, wait=True)

    assert (first.succeeded, first.failed) == (4, 1)
    assert (rest.succeeded, rest.failed) == (0, 2)
    assert batches.calls[:6] == [[0, 1, 2, 3, 4], [0], [1], [2], [3], [4]]
    assert "a batch of 5 jobs index failed (KeyError: 'bad'); each runs again alone" in caplog.text


@pytest.mark.parametrize("error", [Retry, Reject, TaskTimeoutError])
def test_what_is_meant_for_the_whole_batch_is_no_reason_to_run_again(error):
    """Steering, and time that is used up."""
    batches = Batches(error=lambda text: error() if error is Retry else error(text))
    with in_memory(batches.env):
        batches.index.map({"n": n} for n in range(5))
        drain(batches.queue, raise_errors=False)

    assert batches.calls == [[0, 1, 2, 3, 4]]


def test_without_the_option_all_of_a_batch_fail():
    """Nothing is run twice that has not asked for it."""
    batches = Batches(isolate=False)
    with in_memory(batches.env):
        batches.index.map({"n": n} for n in range(5))
        assert drain(batches.queue, raise_errors=False).failed == 5

    assert batches.calls == [[0, 1, 2, 3, 4]]


def test_both_runtimes_isolate():
    """Lambda's answer lists the bad job alone; a worker deletes the others."""
    batches = Batches()
    memory = MemorySession()
    event = lambda_event(*(batches.index.bake(n=n) for n in range(5)))
    with batches.env.connected_to(memory.client("sqs")):
        batches.env.create_queues()
        answer = SQSEventHandler(batches.env)(event, None)
        batches.index.map({"n": n} for n in range(5))
        batches.queue.process_queue(IdleShutdown(0), wait_seconds=0)
        left = batches.queue.statistics()

    failed = [one["itemIdentifier"] for one in answer["batchItemFailures"]]
    bodies = {record["messageId"]: json.loads(record["body"]) for record in event["Records"]}
    assert [bodies[one] for one in failed] == [{"n": 3}]
    assert left.available + left.in_flight + left.delayed == 1


@dataclasses.dataclass
class Plain:
    number: int
    note: str = ""


@attrs.define
class Attrs:
    _number: int
    note: str = ""

    @property
    def number(self):
        return self._number


class Named(NamedTuple):
    number: int
    note: str = ""


class Model(pydantic.BaseModel):
    number: int = pydantic.Field(alias="n", gt=0)
    note: str = ""


@pytest.mark.parametrize("cls", [Plain, Attrs, Named, Model])
def test_a_list_of_a_class_gives_its_instances(cls):
    """By the names of its fields; a job that does not fit is refused at the send, and alone when it is received."""
    env, got = SQSEnv(), []
    name = "_number" if cls is Attrs else "number"

    def index(orders) -> None:
        got.extend(orders)

    index.__annotations__["orders"] = list[cls]
    task = env.queue("q").batch_processor("index", batch_size=10)(index)
    loose = SQSEnv()
    loose.queue("q").batch_processor("index")(lambda jobs: None)

    with in_memory(env):
        task.delay(**{name: 1}, note="x")
        with pytest.raises(
            TypeError, match=rf"a job of this batch is of the type {cls.__name__}, and {name} is missing"
        ):
            task.delay(note="x")
        with loose.connected_to(env.client()):
            loose.queue("q").add_job("index", nubmer=1)
        result = drain(env, raise_errors=False)
    task.run(**{name: 2})

    assert (result.succeeded, result.failed) == (1, 1)
    assert [type(one) for one in got] == [cls, cls]
    assert [(getattr(one, name), one.note) for one in got] == [(1, "x"), (2, "")]


def test_what_the_class_of_the_items_refuses_is_refused_at_the_send():
    """Without the value, which may be personal."""
    env = SQSEnv()

    @env.queue("q").batch_processor("index")
    def index(orders: list[Model]) -> None: ...

    with pytest.raises(TypeError, match="of the type Model, and number: Input should be greater than 0"):
        index.delay(number=-1)
