"""Message move tasks: dead letters on their way back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.sqs import SQS, refused, rule


def buried(sqs: SQS, *bodies: str) -> tuple[str, str]:
    """A queue and its dead-letter queue with these dead letters."""
    url, dead = sqs.with_dead_letters()
    for body in bodies:
        sqs.send(url, body)
        sqs.receive(url)
        sqs.receive(url)
    return url, dead


def finished(sqs: SQS, source_arn: str) -> dict[str, Any]:
    """The latest task of a queue, once it does not run any more."""
    for _ in range(50):
        (task,) = sqs.client.list_message_move_tasks(SourceArn=source_arn)["Results"]
        if task["Status"] != "RUNNING":
            return task  # type: ignore[no-any-return]
        sqs.wait(0.1)
    raise AssertionError(f"still running: {task}")


@rule("S44", "API_StartMessageMoveTask")
def test_dead_letters_go_back_to_where_they_came_from(sqs: SQS) -> None:
    """Without a destination each goes to its own source."""
    url, dead = buried(sqs, "a", "b")

    sqs.client.start_message_move_task(SourceArn=sqs.arn(dead))
    task = finished(sqs, sqs.arn(dead))

    assert task["Status"] == "COMPLETED"
    assert task["ApproximateNumberOfMessagesMoved"] == 2
    assert task["ApproximateNumberOfMessagesToMove"] == 2
    assert task["SourceArn"] == sqs.arn(dead)
    assert "TaskHandle" not in task
    assert sorted(sqs.bodies(url)) == ["a", "b"]
    assert sqs.receive(dead) == []


@rule("S44", "sqs-configure-dead-letter-queue-redrive")
def test_a_moved_message_is_a_new_one(sqs: SQS) -> None:
    """A new message id, and no receive count or source from before."""
    url, dead = buried(sqs, "a")
    letter = sqs.one(dead, VisibilityTimeout=0)

    sqs.client.start_message_move_task(SourceArn=sqs.arn(dead))
    finished(sqs, sqs.arn(dead))

    message = sqs.one(url, AttributeNames=["All"])
    assert message["MessageId"] != letter["MessageId"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    assert "DeadLetterQueueSourceArn" not in message["Attributes"]


@rule("API_StartMessageMoveTask")
def test_another_destination_can_be_named(sqs: SQS) -> None:
    """Everything goes there; the task tells."""
    url, dead = buried(sqs, "a", "b")
    other = sqs.queue()

    sqs.client.start_message_move_task(SourceArn=sqs.arn(dead), DestinationArn=sqs.arn(other))
    task = finished(sqs, sqs.arn(dead))

    assert task["DestinationArn"] == sqs.arn(other)
    assert sorted(sqs.bodies(other)) == ["a", "b"]
    assert sqs.receive(url) == []


@rule("S43")
def test_a_message_that_was_sent_to_the_dead_letter_queue_needs_a_destination(sqs: SQS) -> None:
    """It has no source, so the task fails and leaves it where it is."""
    _, dead = buried(sqs)
    sqs.send(dead, "direct")

    sqs.client.start_message_move_task(SourceArn=sqs.arn(dead))
    task = finished(sqs, sqs.arn(dead))

    assert task["Status"] == "FAILED"
    assert task["FailureReason"] == "CouldNotDetermineMessageSource"
    assert sqs.bodies(dead) == ["direct"]


@rule("API_StartMessageMoveTask")
@pytest.mark.long_time
def test_a_rate_is_kept(sqs: SQS) -> None:
    """MaxNumberOfMessagesPerSecond, with progress on the way."""
    url, dead = buried(sqs, "a", "b", "c", "d")
    sqs.client.start_message_move_task(SourceArn=sqs.arn(dead), MaxNumberOfMessagesPerSecond=2)

    sqs.wait(1)
    (task,) = sqs.client.list_message_move_tasks(SourceArn=sqs.arn(dead))["Results"]
    on_the_way = len(sqs.receive(url, 10, VisibilityTimeout=600))
    sqs.wait(1)

    assert task["Status"] == "RUNNING"
    assert task["MaxNumberOfMessagesPerSecond"] == 2
    assert task["ApproximateNumberOfMessagesMoved"] == on_the_way == 2
    assert task["TaskHandle"]
    assert finished(sqs, sqs.arn(dead))["ApproximateNumberOfMessagesMoved"] == 4


@rule("API_CancelMessageMoveTask")
def test_a_task_can_be_cancelled(sqs: SQS) -> None:
    """What was moved stays moved, the rest stays where it is."""
    _, dead = buried(sqs, "a", "b", "c")
    start = {"SourceArn": sqs.arn(dead), "MaxNumberOfMessagesPerSecond": 1}
    handle = sqs.client.start_message_move_task(**start)["TaskHandle"]

    moved = sqs.client.cancel_message_move_task(TaskHandle=handle)["ApproximateNumberOfMessagesMoved"]
    task = finished(sqs, sqs.arn(dead))

    assert moved < 3
    assert task["Status"] in ("CANCELLED", "CANCELLING")
    assert sqs.counts(dead)[0] == 3 - moved


@rule("API_StartMessageMoveTask")
def test_one_task_at_a_time(sqs: SQS) -> None:
    """Only one active task is allowed for a source."""
    _, dead = buried(sqs, "a", "b")
    start = {"SourceArn": sqs.arn(dead), "MaxNumberOfMessagesPerSecond": 1}
    sqs.client.start_message_move_task(**start)

    with refused("InvalidParameterValue"):
        sqs.client.start_message_move_task(**start)


@rule("API_StartMessageMoveTask")
def test_the_source_must_be_a_dead_letter_queue(sqs: SQS) -> None:
    """Of another SQS queue."""
    with refused("InvalidParameterValue") as caught:
        sqs.client.start_message_move_task(SourceArn=sqs.arn(sqs.queue()))

    assert caught.message == "Source queue must be configured as a Dead Letter Queue."


@rule("API_StartMessageMoveTask")
def test_queues_of_a_task_must_exist(sqs: SQS) -> None:
    """ResourceNotFoundException, with status 404."""
    _, dead = buried(sqs)

    with refused("ResourceNotFoundException", status=404):
        sqs.client.start_message_move_task(SourceArn=sqs.arn(dead) + "x")
    with refused("ResourceNotFoundException", status=404):
        sqs.client.start_message_move_task(SourceArn=sqs.arn(dead), DestinationArn=sqs.arn(dead) + "x")


@rule("S44", "API_StartMessageMoveTask")
@pytest.mark.parametrize("rate", [0, 501])
def test_rates_out_of_range_are_refused(sqs: SQS, rate: int) -> None:
    """1 to 500 messages a second."""
    _, dead = buried(sqs)

    with refused("InvalidParameterValue"):
        sqs.client.start_message_move_task(SourceArn=sqs.arn(dead), MaxNumberOfMessagesPerSecond=rate)


@rule("API_CancelMessageMoveTask")
def test_an_unknown_task_cannot_be_cancelled(sqs: SQS) -> None:
    """A handle that is none."""
    with refused("InvalidParameterValue"):
        sqs.client.cancel_message_move_task(TaskHandle="garbage")


@rule("API_ListMessageMoveTasks")
def test_tasks_are_remembered_the_latest_first(sqs: SQS) -> None:
    """One by default, up to ten when asked."""
    _, dead = buried(sqs, "a")
    for _ in range(2):
        sqs.client.start_message_move_task(SourceArn=sqs.arn(dead))
        finished(sqs, sqs.arn(dead))

    one = sqs.client.list_message_move_tasks(SourceArn=sqs.arn(dead))["Results"]
    both = sqs.client.list_message_move_tasks(SourceArn=sqs.arn(dead), MaxResults=10)["Results"]

    assert len(one) == 1
    assert [task["ApproximateNumberOfMessagesMoved"] for task in both] == [0, 1]


@rule("S31", "sqs-configure-dead-letter-queue-redrive")
def test_fifo_dead_letters_go_back_in_order(sqs: SQS) -> None:
    """With their group, and not caught by deduplication."""
    url, dead = sqs.with_dead_letters(fifo=True)
    for body in ("a", "b"):
        sqs.send(url, body, "g")
    sqs.receive(url, 10)
    sqs.receive(url, 10)

    sqs.client.start_message_move_task(SourceArn=sqs.arn(dead))
    finished(sqs, sqs.arn(dead))

    assert sqs.bodies(url) == ["a", "b"]


@rule("API_StartMessageMoveTask")
@pytest.mark.long_time
def test_a_task_fails_when_its_destination_is_deleted(sqs: SQS) -> None:
    """What was moved before counts; the reason is the error's code, as observed on AWS by LocalStack's authors."""
    _, dead = buried(sqs, "a", "b", "c")
    other = sqs.queue()
    start = {"SourceArn": sqs.arn(dead), "DestinationArn": sqs.arn(other), "MaxNumberOfMessagesPerSecond": 1}
    sqs.client.start_message_move_task(**start)
    sqs.wait(1)

    sqs.client.delete_queue(QueueUrl=other)
    task = finished(sqs, sqs.arn(dead))

    assert task["Status"] == "FAILED"
    assert task["FailureReason"] == "AWS.SimpleQueueService.NonExistentQueue"
    assert task["ApproximateNumberOfMessagesMoved"] == 1
    assert sqs.counts(dead) == (2, 0, 0)


@rule("API_StartMessageMoveTask", "S44")
def test_a_destination_must_be_another_queue_of_the_same_type(sqs: SQS) -> None:
    """Neither the source itself nor a FIFO queue for a standard one."""
    _, dead = buried(sqs)

    for destination in (dead, sqs.fifo()):
        with refused("InvalidParameterValue"):
            sqs.client.start_message_move_task(SourceArn=sqs.arn(dead), DestinationArn=sqs.arn(destination))


@rule("API_CancelMessageMoveTask")
def test_a_task_that_is_over_cannot_be_cancelled(sqs: SQS) -> None:
    """A movement can only be cancelled when its status is RUNNING."""
    _, dead = buried(sqs, "a")
    handle = sqs.client.start_message_move_task(SourceArn=sqs.arn(dead))["TaskHandle"]
    finished(sqs, sqs.arn(dead))

    with refused("UnsupportedOperation"):
        sqs.client.cancel_message_move_task(TaskHandle=handle)


@rule("API_ListMessageMoveTasks")
def test_tasks_of_an_unknown_queue_cannot_be_listed(sqs: SQS) -> None:
    """ResourceNotFoundException."""
    with refused("ResourceNotFoundException", status=404):
        sqs.client.list_message_move_tasks(SourceArn=sqs.arn(sqs.queue()) + "x")
