"""What a dead letter says of its end, within SQS's ten attributes and its size limit."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from sqs_tasks import JobQueue, MemorySession, Reject, SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.execution.failure_details import MAX_FRAMES, details_text
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.message import OutgoingMessage, ReceivedMessage
from sqs_tasks.testing import lambda_context, lambda_event


class Shop:
    """A queue in memory with a task that fails deep down, and the letters it leaves."""

    def __init__(self) -> None:
        self.session = MemorySession(clock=ManualClock(1_700_000_000))
        self.env = SQSEnv(self.session)
        self.orders = self.env.queue("orders", compress_above_bytes=None)
        self.orders.processor("ship", max_attempts=1)(ship)
        self.env.create_queues()

    def death(self, queue: JobQueue | None = None) -> ReceivedMessage:
        (queue or self.orders).process_batch()
        [letter] = self.env.queue("orders_dead").get_raw_messages()
        return letter


def ship(depth: int = 0, text: str = "", exact: bool = True) -> None:
    if depth:
        ship(depth - 1, text=text)
    try:
        raise KeyError(text)
    except KeyError as error:
        if not exact:
            raise
        raise ValueError("no such address") from error


@pytest.fixture
def shop() -> Shop:
    return Shop()


def details(letter: ReceivedMessage) -> dict[str, Any]:
    return json.loads(letter.attribute("FailureDetails") or "{}")


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def test_a_letter_says_when_where_by_whom_and_at_which_line(shop: Shop) -> None:
    """First sent, failed, the queue, the worker's host and process, and the lines of the application alone."""
    shop.orders.add_job("ship", depth=1, text="secret")
    shop.session.advance(90)

    letter = shop.death()

    found = details(letter)
    assert found["first_sent"] == moment(1_700_000_000)
    assert found["failed"] == moment(1_700_000_090)
    assert found["queue"] == "orders"
    assert " pid " in found["worker"]
    assert found["cause"] == "KeyError"
    assert [frame.rpartition("/")[2].split(":")[0] for frame in found["frames"]] == ["test_failure_details.py"] * 2
    assert all(frame.endswith(":ship") for frame in found["frames"])
    assert "secret" not in json.dumps(found), "no value of the job"
    assert "reason" not in found, "it has an attribute of its own"


def test_a_function_is_named_with_its_log_stream(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """In Lambda the log stream is what leads to the log; the request id has an attribute of its own."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "shop-orders")
    monkeypatch.setenv("AWS_LAMBDA_LOG_STREAM_NAME", "2026/12/01/[$LATEST]abc")
    shop.orders.add_job("ship")

    SQSEventHandler(shop.env)(lambda_event(shop.orders), lambda_context())

    [letter] = shop.env.queue("orders_dead").get_raw_messages()
    assert details(letter)["worker"] == "shop-orders 2026/12/01/[$LATEST]abc"
    assert letter.attribute("FailureRequestId")


@pytest.mark.parametrize("senders_own", [4, 5, 6])
def test_with_few_attributes_left_the_details_have_it_all(shop: Shop, senders_own: int) -> None:
    """A sender may use six attributes; with five there is room for one more, which has the rest in it."""
    own = {f"own{number}": "x" for number in range(senders_own)}
    shop.orders.task("ship").options(message_attributes=own).delay()

    letter = shop.death()

    assert len(letter.message_attributes) == 10
    found = details(letter)
    if senders_own == 6:
        assert found == {}, "SQS allows ten"
    else:
        assert found["type"] == "ValueError"
        assert found["attempts"] == "1"
        assert found["reason"] == "1 attempts used up: ValueError: no such address"


@pytest.mark.parametrize("left", [0, 40, 150, 400, 900])
def test_a_message_near_the_limit_still_moves(shop: Shop, left: int) -> None:
    """What is said of the end gets the bytes that are left, and no more."""
    shop.orders.add_job("ship", text="")
    [empty] = shop.orders.get_raw_messages()
    used = OutgoingMessage(body=empty.body, attributes=empty.message_attributes).size_bytes
    shop.orders.drain_queue()
    shop.session.advance(100_000)
    shop.orders.drain_queue()
    shop.orders.add_job("ship", text="x" * (1_048_576 - used - left))

    letter = shop.death()

    size = OutgoingMessage(body=letter.body, attributes=letter.message_attributes).size_bytes
    assert size <= 1_048_576
    assert (letter.attribute("FailureReason") is not None) is (left >= 150)
    assert bool(details(letter)) is (left >= 900)


def test_frames_are_bounded_and_the_innermost_stay(shop: Shop) -> None:
    """A deep recursion leaves its last lines; short of room, the outermost go first."""
    shop.orders.add_job("ship", depth=30)

    found = details(shop.death())

    assert len(found["frames"]) == MAX_FRAMES
    shorter = json.loads(details_text(found, len(json.dumps(found)) - 100))
    assert shorter["frames"] == found["frames"][-len(shorter["frames"]) :]
    assert 0 < len(shorter["frames"]) < MAX_FRAMES
    assert details_text(found, 20) == ""


def test_an_unreadable_message_has_no_frames(shop: Shop) -> None:
    """Nothing ran, so there is no line to name; the rest is there."""
    shop.env.client().send_message(QueueUrl=shop.orders.queue_url, MessageBody="not a job")

    found = details(shop.death())

    assert found["queue"] == "orders"
    assert "frames" not in found


def test_a_rejection_names_its_line(shop: Shop) -> None:
    """The task says no at a line, too."""

    def refuse() -> None:
        raise Reject("out of stock")

    shop.orders.processor("refuse")(refuse)
    shop.orders.add_job("refuse")

    assert details(shop.death())["frames"][0].endswith(":refuse")
