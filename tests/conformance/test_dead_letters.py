"""Dead letters: when messages become them, how they look, and how they come back."""

from __future__ import annotations

import json

import pytest

from tests.conformance.sqs import SQS, refused, rule


@rule("S42", "sqs-dead-letter-queues")
@pytest.mark.parametrize("count", [1, 3])
def test_a_message_is_received_as_often_as_allowed_and_then_moves(sqs: SQS, count: int) -> None:
    """As many deliveries as maxReceiveCount says; the receive after them moves it and returns nothing."""
    url, dead = sqs.with_dead_letters(count)
    sqs.send(url, "poison")

    received = [sqs.bodies(url) for _ in range(count + 1)]

    assert received == [["poison"]] * count + [[]]
    assert sqs.bodies(dead) == ["poison"]
    assert sqs.counts(url) == (0, 0, 0)


@rule("S43", "sqs-dead-letter-queues")
def test_a_dead_letter_keeps_its_identity(sqs: SQS) -> None:
    """Message id, body, attributes and the time it was sent stay; its source is told."""
    url, dead = sqs.with_dead_letters()
    attributes = {"k": {"DataType": "String", "StringValue": "v"}}
    sent = sqs.send(url, "poison", MessageAttributes=attributes)
    first = sqs.system(url)
    sqs.receive(url)

    letter = sqs.one(dead, AttributeNames=["All"], MessageAttributeNames=["All"])

    assert letter["MessageId"] == sent["MessageId"]
    assert letter["MessageAttributes"] == attributes
    assert letter["Attributes"]["SentTimestamp"] == first["SentTimestamp"]
    assert letter["Attributes"]["DeadLetterQueueSourceArn"] == sqs.arn(url)


@rule("API_ReceiveMessage")
def test_receives_are_counted_across_queues(sqs: SQS) -> None:
    """ApproximateReceiveCount: the number of times received across all queues but not deleted."""
    url, dead = sqs.with_dead_letters(2)
    sqs.send(url)
    for _ in range(3):
        sqs.receive(url)

    assert sqs.system(dead)["ApproximateReceiveCount"] == "3"


@rule("sqs-dead-letter-queues")
def test_an_ended_visibility_timeout_counts(sqs: SQS) -> None:
    """What counts is the receive, not how it ended."""
    url, dead = sqs.with_dead_letters(1, VisibilityTimeout="1")
    sqs.send(url, "slow")
    sqs.one(url)

    sqs.wait(1.1)

    assert sqs.receive(url) == []
    assert sqs.bodies(dead) == ["slow"]


@rule("sqs-dead-letter-queues")
def test_other_messages_are_still_delivered(sqs: SQS) -> None:
    """A receive that moves a dead letter returns what else there is."""
    url, dead = sqs.with_dead_letters()
    sqs.send(url, "poison")
    sqs.receive(url)
    sqs.send(url, "healthy")

    assert sqs.bodies(url) == ["healthy"]
    assert sqs.bodies(dead) == ["poison"]


@rule("sqs-dead-letter-queues")
def test_a_raised_count_gives_another_chance(sqs: SQS) -> None:
    """The policy of the moment decides."""
    url, dead = sqs.with_dead_letters(1)
    sqs.send(url, "again")
    sqs.receive(url)
    policy = json.dumps({"deadLetterTargetArn": sqs.arn(dead), "maxReceiveCount": 5})

    sqs.client.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": policy})

    assert sqs.bodies(url) == ["again"]


@rule("API_SetQueueAttributes")
def test_an_empty_redrive_policy_removes_it(sqs: SQS) -> None:
    """Then messages come back for ever."""
    url, _ = sqs.with_dead_letters()
    sqs.send(url, "again")

    sqs.client.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": ""})

    assert [sqs.bodies(url) for _ in range(3)] == [["again"]] * 3
    assert sqs.attribute(url, "RedrivePolicy") is None


@rule("API_SetQueueAttributes")
def test_the_policy_comes_back_as_json(sqs: SQS) -> None:
    """The maxReceiveCount is a number, whatever it was given as."""
    dead = sqs.queue()
    url = sqs.queue(RedrivePolicy={"deadLetterTargetArn": sqs.arn(dead), "maxReceiveCount": "7"})

    policy = json.loads(sqs.attribute(url, "RedrivePolicy") or "{}")

    assert policy == {"deadLetterTargetArn": sqs.arn(dead), "maxReceiveCount": 7}


@rule("API_SetQueueAttributes", "sqs-dead-letter-queues")
@pytest.mark.parametrize(
    "policy",
    [
        "no json",
        {"maxReceiveCount": 1},
        {"deadLetterTargetArn": "DEAD"},
        {"deadLetterTargetArn": "DEAD", "maxReceiveCount": 0},
        {"deadLetterTargetArn": "DEAD", "maxReceiveCount": 1001},
        {"deadLetterTargetArn": "DEAD", "maxReceiveCount": "often"},
        {"deadLetterTargetArn": "dummy", "maxReceiveCount": 1},
    ],
    ids=["text", "no-target", "no-count", "zero", "1001", "word", "no-arn"],
)
def test_bad_redrive_policies_are_refused(sqs: SQS, policy: object) -> None:
    """Both parts are needed, and a count from 1 to 1,000."""
    dead = sqs.arn(sqs.queue())
    text = json.dumps(policy).replace("DEAD", dead) if isinstance(policy, dict) else str(policy)

    with refused("InvalidParameterValue"):
        sqs.client.set_queue_attributes(QueueUrl=sqs.queue(), Attributes={"RedrivePolicy": text})


@rule("API_SetQueueAttributes")
def test_the_dead_letter_queue_must_exist(sqs: SQS) -> None:
    """An ARN of nothing is refused."""
    arn = sqs.arn(sqs.queue()) + "x"

    with refused("InvalidParameterValue"):
        sqs.queue(RedrivePolicy={"deadLetterTargetArn": arn, "maxReceiveCount": 1})


@rule("S30", "sqs-dead-letter-queues")
def test_source_and_dead_letter_queue_are_of_one_type(sqs: SQS) -> None:
    """FIFO to FIFO, standard to standard."""
    standard, fifo = sqs.arn(sqs.queue()), sqs.arn(sqs.fifo())

    with refused("InvalidParameterValue"):
        sqs.queue(RedrivePolicy={"deadLetterTargetArn": fifo, "maxReceiveCount": 1})
    with refused("InvalidParameterValue"):
        sqs.fifo(RedrivePolicy={"deadLetterTargetArn": standard, "maxReceiveCount": 1})


@rule("S45", "API_SetQueueAttributes")
def test_a_queue_can_refuse_to_be_a_dead_letter_queue(sqs: SQS) -> None:
    """By the redrivePermission denyAll."""
    dead = sqs.queue(RedriveAllowPolicy={"redrivePermission": "denyAll"})

    with refused("InvalidParameterValue"):
        sqs.queue(RedrivePolicy={"deadLetterTargetArn": sqs.arn(dead), "maxReceiveCount": 1})


@rule("S45", "API_SetQueueAttributes")
def test_a_queue_can_name_its_sources(sqs: SQS) -> None:
    """The redrivePermission byQueue lets those in and no others."""
    friend, stranger = sqs.queue(), sqs.queue()
    allow = {"redrivePermission": "byQueue", "sourceQueueArns": [sqs.arn(friend)]}
    dead = sqs.queue(RedriveAllowPolicy=allow)
    policy = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": sqs.arn(dead), "maxReceiveCount": 1})}

    sqs.client.set_queue_attributes(QueueUrl=friend, Attributes=policy)

    with refused("InvalidParameterValue"):
        sqs.client.set_queue_attributes(QueueUrl=stranger, Attributes=policy)


@rule("S45", "API_SetQueueAttributes")
@pytest.mark.parametrize(
    "policy",
    [
        {"redrivePermission": "sometimes"},
        {"redrivePermission": "byQueue"},
        {"redrivePermission": "allowAll", "sourceQueueArns": ["arn:aws:sqs:us-east-1:000000000000:q"]},
        {
            "redrivePermission": "byQueue",
            "sourceQueueArns": [f"arn:aws:sqs:us-east-1:000000000000:q{number}" for number in range(11)],
        },
    ],
    ids=["word", "no-sources", "needless-sources", "eleven"],
)
def test_bad_allow_policies_are_refused(sqs: SQS, policy: dict[str, object]) -> None:
    """Three permissions, and up to ten sources with byQueue only."""
    with refused("InvalidParameterValue"):
        sqs.queue(RedriveAllowPolicy=policy)


@rule("API_ListDeadLetterSourceQueues")
def test_sources_of_a_dead_letter_queue_are_listed(sqs: SQS) -> None:
    """The queues whose RedrivePolicy names it."""
    dead = sqs.queue()
    policy = {"deadLetterTargetArn": sqs.arn(dead), "maxReceiveCount": 1}
    sources = {sqs.queue(RedrivePolicy=policy) for _ in range(2)}

    assert set(sqs.client.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"]) == sources


@rule("S44")
@pytest.mark.long_time
def test_a_standard_dead_letter_lives_from_its_first_send(sqs: SQS) -> None:
    """Retention in the dead-letter queue counts from the original send."""
    url, dead = sqs.with_dead_letters()
    sqs.client.set_queue_attributes(QueueUrl=dead, Attributes={"MessageRetentionPeriod": "3600"})
    sqs.send(url)
    sqs.receive(url)
    sqs.wait(3_000)
    sqs.receive(url)

    sqs.wait(500)
    young = sqs.counts(dead)
    sqs.wait(100)

    assert young == (1, 0, 0)
    assert sqs.counts(dead) == (0, 0, 0)


@rule("S44")
@pytest.mark.long_time
def test_a_fifo_dead_letter_starts_anew(sqs: SQS) -> None:
    """The enqueue time is renewed by the move."""
    url, dead = sqs.with_dead_letters(fifo=True)
    sqs.client.set_queue_attributes(QueueUrl=dead, Attributes={"MessageRetentionPeriod": "3600"})
    sqs.send(url, group="g")
    sqs.receive(url)
    sqs.wait(3_000)
    sqs.receive(url)

    sqs.wait(3_500)
    assert sqs.counts(dead) == (1, 0, 0)
    sqs.wait(100)
    assert sqs.counts(dead) == (0, 0, 0)


@rule("S31", "sqs-dead-letter-queues")
def test_a_fifo_dead_letter_keeps_its_group(sqs: SQS) -> None:
    """And takes its message id for deduplication."""
    url, dead = sqs.with_dead_letters(fifo=True)
    sent = sqs.send(url, "poison", "g")
    sqs.receive(url)
    sqs.receive(url)

    letter = sqs.one(dead, AttributeNames=["All"])

    assert letter["MessageId"] == sent["MessageId"]
    assert letter["Attributes"]["MessageGroupId"] == "g"
    assert letter["Attributes"]["MessageDeduplicationId"] == sent["MessageId"]
