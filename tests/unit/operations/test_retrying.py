"""Letters back to work or elsewhere: nothing lost, nothing doubled, all attempts again."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from sqs_tasks import ConstantBackoff, Postpone, current_job
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.operations import Report, Selection, drop, move, retry
from sqs_tasks.testing import drain
from tests.support.scripted_client import ScriptedClient, raising


def test_all_go_back_with_their_ids_and_without_their_end(shop):
    """The job is the one that it was; its letter's attributes are gone, and what the sender set is there."""
    shop.queue.task("ship").options(message_attributes={"own": "x"}).delay(number=1)
    drain(shop.queue, raise_errors=False)
    [letter] = shop.seen()

    report = retry(shop.letters)

    assert (report.done, report.seen, report.ids) == (1, 1, [letter.id])
    [message] = shop.queue.get_raw_messages()
    assert set(message.message_attributes) == {"JobName", "ContentType", "JobContext", "JobId", "own"}
    assert message.job_id == letter.job_id
    assert shop.counts() == (0, 0, 0)


def test_some_go_back_and_the_others_stay_visible(shop):
    """Selected letters alone; each is named before it is sent."""
    shop.bury(1, 2, 3)
    shop.bury(4, task="pay")
    named = []

    report = retry(shop.letters, Selection(tasks=("ship",), where="number != `2`"), before=named.append)

    assert (report.done, report.matched, report.seen) == (2, 2, 4)
    assert [one.arguments["number"] for one in named] == [1, 3]
    assert shop.work() == [1, 3]
    assert shop.counts() == (2, 0, 0)


def test_a_retried_job_has_all_its_attempts_again(shop):
    """Also one that had gone on by copies, whose attempts are in its attributes, and that SQS moved."""
    attempts = []

    def flaky() -> None:
        job = current_job()
        attempts.append(job.attempt)
        if job.attempt == 2:
            raise Postpone(60)
        if len(attempts) < 5:
            raise LookupError

    shop.queue.processor("flaky", max_attempts=3, backoff_policy=ConstantBackoff(1))(flaky)
    shop.queue.add_job("flaky")
    shop.queue.process_batch()
    shop.session.advance(2)
    shop.queue.process_batch()
    shop.session.advance(61)
    for _ in range(7):  # a worker that is killed each time
        shop.queue.get_raw_messages()
        shop.session.advance(43_200)
    [letter] = shop.seen()
    assert letter.message.attribute("Attempt") == "1"
    attempts.clear()

    retry(shop.letters)
    for _ in range(5):
        shop.queue.process_batch()
        shop.session.advance(61)

    assert attempts[:2] == [1, 2]
    assert shop.counts() == (0, 0, 0)


def test_a_letter_of_a_shared_queue_goes_where_it_comes_from():
    """A worker's letter says which queue it was in; so does SQS of what it moved; nobody of the others."""
    from tests.unit.operations.conftest import Shop

    shop = Shop(dead_letter_queue="shared_dead")
    other = shop.env.queue("parcels", dead_letter_queue="shared_dead")
    other.processor("ship", max_attempts=1)(shop.ship)
    shop.env.create_queues()
    other.add_job("ship", number=5)
    drain(other, raise_errors=False)
    shop.queue.add_job("ship", number=6)
    for _ in range(6):
        shop.queue.get_raw_messages()
        shop.session.advance(43_200)

    assert retry(shop.letters).done == 2
    assert [shop.queue.statistics().available, other.statistics().available] == [1, 1]
    shop.raw("nobody's")
    with pytest.raises(ConfigurationError, match="does not say which queue it comes from, and s-shared_dead holds"):
        retry(shop.letters)
    assert shop.counts() == (1, 0, 0)


def test_elsewhere_by_url_and_not_to_another_kind_of_queue(shop):
    """``to`` takes any queue of the same kind, and not the dead-letter queue itself."""
    shop.bury(1)
    shop.env.create_standard_queue("quarantine")
    url = shop.env.get_queue_url("quarantine")

    with pytest.raises(ConfigurationError, match=r"s-orders_dead is standard, so '.*' must be standard too"):
        retry(shop.letters, to=url + ".fifo")
    with pytest.raises(ConfigurationError, match="is where the letters are"):
        move(shop.letters, to=shop.letters.url)
    assert move(shop.letters, to=url).done == 1

    [letter] = shop.env.queue("quarantine").get_raw_messages()
    assert letter.attribute("FailureType") == "LookupError", "as it is"


def test_what_dies_again_meanwhile_is_not_retried_twice(shop):
    """The letters that there were at the start go back once, although they are dead again at once."""
    shop.bury(1, 2, 3)

    def die_at_once(_: object) -> None:
        drain(shop.queue, raise_errors=False)

    report = retry(shop.letters, before=die_at_once)

    assert report.done == 3
    drain(shop.queue, raise_errors=False)
    assert sum(shop.counts()) == 3


def test_a_fifo_group_comes_back_whole_and_in_order(fifo_shop):
    """Twelve of one group are more than one look shows; each is sent once, although SQS knew its deduplication id."""
    for number in range(12):
        fifo_shop.bury(number)

    report = retry(fifo_shop.letters)

    assert report.done == 12
    assert fifo_shop.work() == list(range(12))


def test_a_dry_run_changes_nothing_and_says_how_many(shop):
    """Nothing is sent, and nothing hidden afterwards."""
    shop.bury(1, 2)

    report = retry(shop.letters, Selection(limit=1), dry_run=True)

    assert (report.done, report.matched, report.why_none()) == (0, 1, "this was a dry run")
    assert shop.counts() == (2, 0, 0)


def test_the_rate_is_kept(shop):
    """Five at two a second wait half a second after each."""
    shop.bury(*range(5))
    waits = []

    retry(shop.letters, messages_per_second=2, sleep=waits.append)

    assert waits == [0.5] * 5


def test_none_says_why(shop):
    """Empty, held by others, or nothing fits."""
    assert retry(shop.letters).why_none() == "the dead-letter queue is empty"
    shop.bury(1)
    assert retry(shop.letters, Selection(tasks=("pay",))).why_none() == "none of 1 fits the selection"
    shop.env.client().receive_message(QueueUrl=shop.letters.url)
    assert "1 cannot be received at present: somebody has received it" in retry(shop.letters).why_none()


def test_a_stop_is_heeded_between_two_letters(shop):
    """The letter that is being sent is finished, the others are let go, and the same call goes on."""
    shop.bury(1, 2, 3)
    named = []

    report = retry(shop.letters, before=named.append, should_stop=lambda: len(named) == 2)

    assert (report.done, report.stopped, report.doubtful) == (2, True, None)
    assert shop.counts() == (1, 0, 0)
    assert retry(shop.letters).done == 1
    assert shop.work() == [1, 2, 3]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_lost_answer_is_not_sent_again_but_named(shop, moment):
    """Nobody knows whether SQS has the job: it is not sent twice, and the letter stays for somebody to decide."""
    shop.bury(1, 2)
    client = ScriptedClient(shop.session.client("sqs"))

    def lost(request):
        if moment == "after":
            shop.session.client("sqs").send_message(**request)
        raise ConnectionResetError("cut")

    client.script("send_message", lost)

    with shop.env.connected_to(client):
        report = retry(shop.letters)

    assert (report.done, report.doubtful.arguments) == (0, {"number": 1})
    assert "no answer from SQS" in report.problem
    assert shop.counts() == (2, 0, 0), "nothing is lost, nothing hidden"
    assert shop.queue.statistics().available == (moment == "after")


def test_what_sqs_refuses_stays(shop):
    """A queue that is too small, a missing right: the letter is where it was, and the error is SQS's."""
    shop.bury(1)
    client = ScriptedClient(shop.session.client("sqs"))
    refusal = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "SendMessage")
    client.script("send_message", raising(refusal))
    report = Report()

    with shop.env.connected_to(client), pytest.raises(ClientError, match="AccessDenied"):
        retry(shop.letters, report=report)

    assert (report.done, report.doubtful) == (0, None)
    assert shop.counts() == (1, 0, 0)


def test_a_letter_that_cannot_be_deleted_is_named(shop):
    """It was sent, and is still here: whoever retries it again runs its job twice, so it is said."""
    shop.bury(1, 2)
    client = ScriptedClient(shop.session.client("sqs"))
    failed = {"Successful": [], "Failed": [{"Id": "0", "Code": "ReceiptHandleIsInvalid", "SenderFault": True}]}
    client.script("delete_message_batch", lambda _: failed)

    with shop.env.connected_to(client):
        report = retry(shop.letters)

    assert report.doubtful is not None
    assert "it was sent, and could not be deleted here" in report.problem
    assert shop.queue.statistics().available == 1, "no second one was begun"


def test_a_letter_near_the_limit_goes_back(shop):
    """What was said of its end goes, so it is no larger than it was."""
    shop.bury(1, text="x" * 1_048_000)

    assert retry(shop.letters).done == 1
    assert shop.counts() == (0, 0, 0)


def test_dropping_takes_what_is_meant(shop):
    """And nothing else; a dry run takes nothing."""
    shop.bury(1, 2)
    shop.bury(3, task="pay")

    assert drop(shop.letters, Selection(tasks=("ship",)), dry_run=True).matched == 2
    assert shop.counts() == (3, 0, 0)
    assert drop(shop.letters, Selection(tasks=("ship",))).done == 2
    assert [one.task for one in shop.seen()] == ["pay"]


def test_a_lost_answer_on_a_fifo_queue_is_sent_again_and_is_there_once(fifo_shop):
    """SQS drops the second by its deduplication id, so nothing is in doubt."""
    fifo_shop.bury(1)
    client = ScriptedClient(fifo_shop.session.client("sqs"))

    def lost(request):
        fifo_shop.session.client("sqs").send_message(**request)
        raise ConnectionResetError("cut")

    client.script("send_message", lost)

    with fifo_shop.env.connected_to(client):
        report = retry(fifo_shop.letters)

    assert (report.done, report.doubtful) == (1, None)
    assert client.counts["send_message"] == 2
    assert fifo_shop.work() == [1]


def test_a_throttled_send_is_made_again(shop):
    """SQS says that it has not taken the message."""
    shop.bury(1)
    client = ScriptedClient(shop.session.client("sqs"))
    throttled = ClientError({"Error": {"Code": "RequestThrottled", "Message": "slow down"}}, "SendMessage")
    client.script("send_message", raising(throttled))

    with shop.env.connected_to(client):
        report = retry(shop.letters)

    assert (report.done, report.doubtful) == (1, None)
    assert shop.work() == [1]
