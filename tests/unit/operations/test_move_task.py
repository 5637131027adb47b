"""All letters moved by SQS itself, with progress and cancellation."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from sqs_tasks.operations import MoveTask


def test_progress_until_the_end(shop):
    """SQS moves the letters that workers rejected, too, since their queue is named."""
    shop.bury(1, 2, 3)

    task = MoveTask.start(shop.letters, messages_per_second=1)
    assert (task.progress().status, task.progress().to_move) == ("RUNNING", 3)
    assert MoveTask.running(shop.letters) == task
    shop.session.advance(4)

    progress = task.progress()
    assert (progress.status, progress.moved, progress.is_over) == ("COMPLETED", 3, True)
    assert MoveTask.running(shop.letters) is None
    assert shop.work() == [1, 2, 3]


def test_a_cancelled_move_keeps_what_it_has_not_moved(shop):
    """What was moved stays moved."""
    shop.bury(*range(10))
    task = MoveTask.start(shop.letters, messages_per_second=1)
    shop.session.advance(3)

    assert task.cancel() == 3

    assert task.progress().is_over
    assert shop.counts() == (7, 0, 0)
    assert shop.queue.statistics().available == 3


def test_sqs_refuses_a_second_move(shop):
    """One at a time; the one that runs can be found."""
    shop.bury(*range(10))
    MoveTask.start(shop.letters, messages_per_second=1)

    with pytest.raises(ClientError, match="Only one active task"):
        MoveTask.start(shop.letters)


def test_a_move_keeps_what_is_said(shop):
    """Attributes stay: ``retry`` is what lets a job begin anew."""
    shop.bury(1)
    MoveTask.start(shop.letters)
    shop.session.advance(1)

    [message] = shop.queue.get_raw_messages()

    assert message.attribute("FailureType") == "LookupError"
