"""Reserved words in others' data: what looks like a tag is one in our messages, and where a task asks for its type."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from sqs_tasks import DeadLetterQueue, MemorySession, SQSEnv
from sqs_tasks.message import string_attribute
from sqs_tasks.queue import JobQueue

DATE = {"$date": "2026-05-01"}


class Color(enum.Enum):
    RED = 1


@dataclass
class Point:
    x: int
    at: date


@pytest.fixture
def seen() -> list[Any]:
    return []


@pytest.fixture
def queue(seen: list[Any]) -> JobQueue:
    env = SQSEnv(MemorySession())
    queue = env.queue("q")

    @queue.processor("plain")
    def plain(value) -> None:  # type: ignore[no-untyped-def]
        seen.append(value)

    @queue.processor("annotated")
    def annotated(
        day: date | None = None,
        days: list[date] | None = None,
        amount: Decimal = Decimal(0),
        color: Color = Color.RED,
        point: Point | None = None,
        names: dict[int, str] | None = None,
        document: dict[str, Any] | None = None,
        anything: Any = None,
        moment: datetime | None = None,
    ) -> None:
        given = {k: v for k, v in locals().items() if k != "seen" and v not in (None, Decimal(0), Color.RED)}
        seen.append(given)

    env.create_queues()
    return queue


def send(queue: JobQueue, job: str, arguments: Mapping[str, Any], context: str = "{}", **attributes: str) -> None:
    """A message as sqs-workers writes it, or whoever else knows the format."""
    names = {"JobName": job, "ContentType": "json", "JobContext": context, **attributes}
    queue.env.client().send_message(
        QueueUrl=queue.queue_url,
        MessageBody=json.dumps(arguments),
        MessageAttributes={name: string_attribute(value) for name, value in names.items()},
    )


@pytest.mark.parametrize("value", [DATE, {"$set": [1, 1]}, {"$uuid": "no"}, {"$enum": ["X", "Y"]}, [{"a": DATE}]])
def test_a_dictionary_of_somebody_else_is_a_dictionary(queue: JobQueue, seen: list[Any], value: Any) -> None:
    """MongoDB's extended JSON has words of its own that look like our tags; none is an error, or another value."""
    send(queue, "plain", {"value": value})

    queue.process_batch()

    assert seen == [value]


def test_a_tag_is_read_where_the_task_asks_for_its_type(queue: JobQueue, seen: list[Any]) -> None:
    """A sender in another language writes what docs/wire-format.md says, for the parameters that are annotated."""
    arguments = {
        "day": DATE,
        "days": [DATE, DATE],
        "amount": {"$decimal": "9.90"},
        "point": {"$dataclass": ["Point", {"x": 1, "at": DATE}]},
        "names": {"$dict": [[1, "a"]]},
        "document": DATE,
        "anything": {"a": DATE},
        "moment": DATE,
    }
    send(queue, "annotated", arguments)

    queue.process_batch()

    day = date(2026, 5, 1)
    assert seen == [
        {
            "day": day,
            "days": [day, day],
            "amount": Decimal("9.90"),
            "point": Point(1, day),
            "names": {1: "a"},
            "document": DATE,
            "anything": {"a": DATE},
            "moment": DATE,  # a date is no datetime
        }
    ]


@pytest.mark.parametrize("mark", [{"JobId": "5f0c8a52"}, {"WireFormat": "1"}])
def test_tags_of_our_own_messages_are_read_whatever_the_task_says(
    queue: JobQueue, seen: list[Any], mark: dict[str, str]
) -> None:
    """Also of those in flight: each has had a JobId since the first version."""
    send(queue, "plain", {"value": DATE}, **mark)

    queue.process_batch()

    assert seen == [date(2026, 5, 1)]


@pytest.mark.parametrize("options", [{}, {"deduplication_id": "d"}])
def test_everything_that_we_send_arrives_as_it_was(seen: list[Any], options: dict[str, Any]) -> None:
    """Jobs with a JobId and those that go by their message id; dictionaries that look like tags, and tags."""
    env = SQSEnv(MemorySession())
    queue = env.queue("q.fifo")
    task = queue.processor("plain")(lambda value: seen.append(value))  # noqa: PLW0108 - it needs a signature
    env.create_queues()
    values = [DATE, date(2026, 5, 1), {"a": DATE, "b": {1, 2}}]

    for n, value in enumerate(values):
        task.options(**{k: f"{v}{n}" for k, v in options.items()}).delay(value)
    for _ in values:
        queue.process_batch()

    assert seen == values


def test_the_context_of_somebody_else_holds_no_tags(queue: JobQueue) -> None:
    """Nobody annotates it."""
    contexts: list[Any] = []
    queue.env.pre_task(lambda job: contexts.append(dict(job.context)))
    send(queue, "plain", {"value": 1}, context=json.dumps({"since": DATE}))

    queue.process_batch()

    assert contexts == [{"since": DATE}]


def test_a_dead_letter_of_somebody_else_is_not_taken_for_ours_on_its_way_back(seen: list[Any]) -> None:
    """The copy bears no mark that the message had not."""
    env = SQSEnv(MemorySession())
    queue = env.queue("q")
    dead = env.queue("q_dead", DeadLetterQueue.maker(queue))

    @queue.processor("plain", max_attempts=1)
    def plain(value: Any) -> None:
        seen.append(value)
        raise ValueError

    env.create_queues()
    send(queue, "plain", {"value": DATE})

    for _ in range(2):
        queue.process_batch(5)
        dead.push_back()

    assert seen == [DATE, DATE]


def test_a_tag_that_a_task_asks_for_and_that_cannot_be_read_is_refused(queue: JobQueue, seen: list[Any]) -> None:
    """The error has no value of the message in it."""
    send(queue, "annotated", {"day": {"$date": "the secret day"}})

    queue.process_batch()

    [letter] = queue.env.queue("q_dead").get_raw_messages()  # type: ignore[attr-defined]
    assert "'$date' cannot be read" in letter.attribute("FailureReason")
    assert "secret" not in letter.attribute("FailureReason")
    assert seen == []
