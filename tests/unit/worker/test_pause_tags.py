"""The tag by which a queue is paused is asked for at an interval, and what cannot be asked for changes nothing."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from sqs_tasks import MemorySession, SQSEnv
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.worker.pause_tags import PAUSED_TAG, PauseTags
from tests.support.scripted_client import ScriptedClient, raising


@pytest.fixture
def queue():
    env = SQSEnv(sqs_client=ScriptedClient(MemorySession().client("sqs")))
    queue = env.queue("jobs")
    env.create_queues()
    return queue


def test_one_request_in_an_interval(queue):
    """A pause and its end are noticed with the next one."""
    now = [0.0]
    tags, client = PauseTags(10, clock=lambda: now[0]), queue.env.client()

    assert not tags.is_paused(queue)
    client.tag_queue(QueueUrl=queue.queue_url, Tags={PAUSED_TAG: "now"})
    assert not tags.is_paused(queue)
    now[0] = 10
    assert tags.is_paused(queue)
    assert tags.is_paused(queue)
    client.untag_queue(QueueUrl=queue.queue_url, TagKeys=[PAUSED_TAG])
    now[0] = 20
    assert not tags.is_paused(queue)

    assert client.counts["list_queue_tags"] == 3


def test_a_refusal_leaves_it_as_it_is_and_is_said_once(queue, caplog):
    """A worker without the right works as ever; one that loses it stays paused."""
    refusal = raising(ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ListQueueTags"))
    queue.env.client().script("list_queue_tags", refusal, refusal)
    tags = PauseTags(1e-9)

    assert [tags.is_paused(queue), tags.is_paused(queue)] == [False, False]
    assert [record.action for record in caplog.records] == ["pause_tag_failed"]
    queue.env.client().tag_queue(QueueUrl=queue.queue_url, Tags={PAUSED_TAG: "now"})
    assert tags.is_paused(queue)
    queue.env.client().script("list_queue_tags", refusal)
    assert tags.is_paused(queue)


def test_an_interval_of_nothing_is_refused():
    """It would ask before each receive."""
    with pytest.raises(ConfigurationError, match="heed_pause=0 must be a number of seconds above 0"):
        PauseTags(0)
