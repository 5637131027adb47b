"""A letter sent again with other arguments."""

from __future__ import annotations

from datetime import date

import pytest

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.operations import EditedJob, edit
from sqs_tasks.testing import drain
from tests.support.scripted_client import ScriptedClient, raising


def test_the_new_job_names_the_old_and_keeps_what_surrounds_it(shop):
    """Context, attributes and group are the letter's; its id begins with the old one; the letter is gone."""
    with shop.env.context(user="anna"):
        shop.queue.task("ship").options(message_attributes={"own": "x"}).delay(number=1)
    drain(shop.queue, raise_errors=False)
    [letter] = shop.seen()

    report, job_id = edit(shop.letters, letter, {"number": 7})

    assert report.done == 1
    assert job_id.startswith(f"{letter.job_id}/edit-")
    [message] = shop.queue.get_raw_messages()
    assert (message.job_id, message.attribute("own")) == (job_id, "x")
    assert '"user"' in message.attribute("JobContext")
    assert message.attribute("FailureReason") is None
    assert shop.queue.job(message).kwargs == {"number": 7}
    assert shop.counts() == (0, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [({"nope": 1}, "the arguments do not fit task 'pay'"), ({"number": 1, "more": 2}, "do not fit task 'pay'")],
)
def test_arguments_that_do_not_fit_are_refused_before_anything_is_sent(shop, arguments, problem):
    """The signature is the task's own."""
    shop.bury(1, task="pay")
    [letter] = shop.seen()

    with pytest.raises(ConfigurationError, match=problem):
        edit(shop.letters, letter, arguments)

    assert shop.counts() == (1, 0, 0)
    assert shop.queue.statistics().total == 0


def test_a_letter_that_somebody_else_has_taken_meanwhile_sends_nothing(shop):
    """While the editor was open another retried it: its job must not run twice."""
    shop.bury(1)
    [letter] = shop.seen()
    shop.env.client().purge_queue(QueueUrl=shop.letters.url)

    report, _ = edit(shop.letters, letter, {"number": 2})

    assert (report.done, report.matched) == (0, 0)
    assert shop.queue.statistics().total == 0


def test_values_that_json_does_not_have_stay_what_they_are(shop):
    """They are edited as tags, and arrive as values."""
    got = []

    def book(day: date) -> None:
        if shop.fails:
            raise LookupError
        got.append(day)

    shop.queue.processor("book", max_attempts=1)(book)
    shop.queue.add_job("book", day=date(2026, 12, 1))
    drain(shop.queue, raise_errors=False)
    [letter] = shop.seen()
    edited = EditedJob.of(shop.letters, letter)
    assert '"$date": "2026-12-01"' in edited.text

    edit(shop.letters, letter, edited.arguments_in(edited.text.replace("12-01", "12-24")))
    shop.work()

    assert got == [date(2026, 12, 24)]


@pytest.mark.parametrize("text", ["{nope", "[1]", ""])
def test_a_text_that_is_no_object_is_refused(shop, text):
    """With what it must be."""
    shop.bury(1)
    edited = EditedJob.of(shop.letters, shop.seen()[0])

    with pytest.raises(ConfigurationError, match=r"arguments (are not JSON|must be an object)"):
        edited.arguments_in(text)


def test_what_is_no_job_of_a_known_task_cannot_be_edited(shop):
    """Nobody could check its arguments."""
    shop.raw("foreign")
    shop.queue.add_job("unknown", a=1)
    for _ in range(6):
        shop.queue.get_raw_messages()
        shop.session.advance(43_200)

    for letter in shop.seen():
        with pytest.raises(ConfigurationError, match=r"cannot be edited: (no job of this|queue 'orders' has no task)"):
            EditedJob.of(shop.letters, letter)


def test_a_lost_answer_leaves_the_letter_and_is_said(shop):
    """The new job may be sent; the letter is still there, and the report names it."""
    shop.bury(1)
    [letter] = shop.seen()
    client = ScriptedClient(shop.session.client("sqs"))
    client.script("send_message", raising(ConnectionResetError("cut")))

    with shop.env.connected_to(client):
        report, _ = edit(shop.letters, letter, {"number": 2})

    assert (report.done, report.doubtful.id) == (0, letter.id)
    assert shop.counts() == (1, 0, 0)
