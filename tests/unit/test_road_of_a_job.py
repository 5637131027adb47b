"""How many of our files a job enters on its way: a reader who follows it opens no more than these.

Counted by tracing, once everything is loaded and remembered, with the embedded SQS in AWS's place. A number that grows
is a detour to be looked at; docs/architecture.md shows the roads.
"""

from __future__ import annotations

import pytest

from sqs_tasks import MemorySession, SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.shutdown_policies import MaxTasksShutdown
from tests.support.files_entered import files_entered
from tests.support.lambda_events import FakeContext, event, record
from tests.support.scripted_client import ScriptedClient

FILES_OF_ONE_SEND = 15
FILES_OF_ONE_MESSAGE_IN_THE_WORKER = 32
FILES_OF_ONE_MESSAGE_IN_LAMBDA = 18


@pytest.fixture
def sqs():
    return ScriptedClient(MemorySession().client("sqs"))


@pytest.fixture
def send_email(sqs):
    """A task with a limit on its attempts and its time, whose queue was used before."""
    env = SQSEnv(sqs_client=sqs)

    @env.queue("work").processor("send_email", max_attempts=5, timeout=5)
    def send_email(to, subject):
        """Do nothing."""

    env.create_queues()
    send_email.delay("a@example.com", subject="Hi")
    env.queue("work").process_queue(MaxTasksShutdown(1))
    return send_email


def test_one_send(send_email):
    """From ``delay()`` to the client."""
    with files_entered() as entered:
        send_email.delay("a@example.com", subject="Hi")

    assert {"task.py", "queue.py", "message.py"} <= set(entered.files)
    assert len(entered.files) <= FILES_OF_ONE_SEND, entered.files


def test_one_message_in_the_worker(send_email, sqs):
    """From SQS's answer to the receive until the message is deleted, in all threads."""
    send_email.delay("a@example.com", subject="Hi")

    with files_entered(paused=True) as entered:

        def received(request):
            answer = sqs._client.receive_message(**request)
            entered.resume()
            return answer

        def deleted(request):
            entered.pause()

        sqs.script("receive_message", received)
        sqs.script("delete_message_batch", deleted)
        send_email.queue.process_queue(MaxTasksShutdown(1))

    assert {"worker/queue_loop.py", "execution/executor.py", "execution/settlement.py"} <= set(entered.files)
    assert len(entered.files) <= FILES_OF_ONE_MESSAGE_IN_THE_WORKER, entered.files


def test_one_message_in_lambda(send_email):
    """From the event to the answer."""
    handler = SQSEventHandler(send_email.queue.env)
    good = event(record("m-1", "send_email", {"to": "a@example.com", "subject": "Hi"}))
    assert handler(good, FakeContext()) == {"batchItemFailures": []}

    with files_entered() as entered:
        assert handler(good, FakeContext()) == {"batchItemFailures": []}

    assert {"aws_lambda.py", "execution/executor.py"} <= set(entered.files)
    assert len(entered.files) <= FILES_OF_ONE_MESSAGE_IN_LAMBDA, entered.files
