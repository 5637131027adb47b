"""Which jobs a batch processor gets together."""

from __future__ import annotations

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.execution.lanes import plan, run_lane
from sqs_tasks.message import ReceivedMessage, string_attribute
from sqs_tasks.outcome import Delete, Rejected, Retried, Succeeded
from sqs_tasks.readers import ForeignJob
from sqs_tasks.testing import drain, in_memory


class Deletes:
    """A settlement with a dead-letter queue that takes everything."""

    def conclude(self, message, outcome):
        """What becomes of a message."""
        return Delete()


def message(number, receives=1, group=None):
    attributes = {"ApproximateReceiveCount": str(receives)}
    if group is not None:
        attributes["MessageGroupId"] = group
    return ReceivedMessage(
        f"m{number}",
        f"r{number}",
        f'{{"number": {number}}}',
        attributes,
        {"JobName": string_attribute("index")},
    )


def run(queue, messages):
    """The numbers that each call got, and the outcomes by number."""
    executor, outcomes = queue.executor(), {}
    for lane in plan(messages, executor, fifo=queue.settings.fifo):
        for one, outcome, _ in run_lane(lane, executor, Deletes(), lambda _: None):
            outcomes[int(one.message_id[1:])] = type(outcome)
    return outcomes


@pytest.fixture
def calls():
    return []


def indexing(calls, name="work", **options):
    queue = SQSEnv().queue(name)

    @queue.batch_processor("index", batch_size=10, **options)
    def index(jobs):
        numbers = [job["number"] for job in jobs]
        calls.append(numbers)
        if 0 in numbers:
            raise KeyError("number 0")

    return queue


def test_a_job_that_fails_every_call_takes_no_other_to_the_dead_letter_queue(calls):
    """At their last attempt jobs of a batch processor run one by one; before, they share their failures."""
    queue = indexing(calls, max_attempts=3)

    assert set(run(queue, [message(n, 2) for n in range(4)]).values()) == {Retried}
    assert run(queue, [message(n, 3) for n in range(4)]) == {0: Rejected, 1: Succeeded, 2: Succeeded, 3: Succeeded}
    assert calls == [[0, 1, 2, 3], [0], [1], [2], [3]]


@pytest.mark.parametrize(("receives", "alone"), [(4, False), (5, True)])
def test_last_receive_of_a_queue_counts_where_the_task_sets_no_limit(calls, receives, alone):
    """SQS moves a message after five receives, unless the registration says otherwise."""
    run(indexing(calls), [message(n, receives) for n in (1, 2)])

    assert calls == ([[1], [2]] if alone else [[1, 2]])


def test_jobs_with_attempts_left_stay_together(calls):
    """Only those at their last attempt run alone."""
    run(indexing(calls, max_attempts=2), [message(1), message(2, 2), message(3)])

    assert sorted(calls) == [[1, 3], [2]]


def test_order_of_a_group_is_kept_around_a_job_that_runs_alone(calls):
    """It has its call of its own between those before and those behind it."""
    queue = indexing(calls, "work.fifo", max_attempts=2)

    run(queue, [message(n, 2 if n == 3 else 1, group="g") for n in (1, 2, 3, 4, 5)])

    assert calls == [[1, 2], [3], [4, 5]]


def test_poison_in_a_queue_in_memory():
    """Twenty-four of twenty-five jobs succeed, and the one that cannot is a dead letter."""
    env = SQSEnv()
    queue = env.queue("work")

    @queue.batch_processor("index", batch_size=25, max_attempts=3)
    def index(jobs):
        for job in jobs:
            assert "invoice_id" in job

    with in_memory(env):
        for number in range(24):
            index.delay(invoice_id=number)
        index.delay(invoiceid=24)

        result = drain(queue, raise_errors=False, wait=True)

        assert result.succeeded == 24
        assert queue.statistics().dead_letters == 1


def test_job_of_another_library_gets_to_a_batch_processor_as_a_list_of_one(calls):
    """Which task it is for is known only when it has been read."""

    def read(body, attributes, *, accept):
        return ForeignJob(job_name="index", args=(), kwargs={"number": 7}, context={}, job_id=None, content_type="json")

    queue = SQSEnv().queue("work", readers=[read])
    queue.batch_processor("index")(calls.append)

    assert isinstance(queue.executor().execute(ReceivedMessage("m", "r", "theirs")), Succeeded)
    assert calls == [[{"number": 7}]]
