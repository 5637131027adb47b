"""Fair queues: quiet tenants before noisy ones."""

from __future__ import annotations

import pytest

from tests.conformance.sqs import SQS, rule


def flood(sqs: SQS, url: str, group: str, batches: int) -> None:
    """Send tens of messages of one tenant."""
    for _ in range(batches):
        sqs.batch(url, *[group] * 10, MessageGroupId=group)


@rule("S39", "sqs-fair-queues-detailed")
def test_quiet_tenants_go_before_a_noisy_one(sqs: SQS) -> None:
    """With 30 in flight and more than a tenth of all, a tenant waits for the others."""
    url = sqs.queue()
    flood(sqs, url, "noisy", 5)
    for _ in range(3):
        sqs.receive(url, 10)
    sqs.batch(url, "quiet", "quiet", MessageGroupId="quiet")
    sqs.send(url, "alone")

    received = sqs.bodies(url)

    assert sorted(received[:3]) == ["alone", "quiet", "quiet"]
    assert received[3:] == ["noisy"] * 7


@rule("S39", "sqs-fair-queues-detailed")
def test_nobody_is_noisy_below_thirty_in_flight(sqs: SQS) -> None:
    """A tenant with 29 in flight is served in its turn."""
    url = sqs.queue()
    flood(sqs, url, "many", 4)
    for most in (10, 10, 9):
        sqs.receive(url, most)
    sqs.send(url, "late", "other")

    assert sqs.bodies(url, 1) == ["many"]


@rule("S39", "sqs-fair-queues-detailed")
def test_a_noisy_tenant_is_served_when_nobody_else_waits(sqs: SQS) -> None:
    """Its messages are not limited."""
    url = sqs.queue()
    flood(sqs, url, "noisy", 5)
    for _ in range(4):
        sqs.receive(url, 10)

    assert sqs.bodies(url) == ["noisy"] * 10


@rule("S39", "sqs-fair-queues-detailed")
@pytest.mark.long_time
def test_among_noisy_tenants_the_one_with_fewest_in_flight_goes_first(sqs: SQS) -> None:
    """Processing is balanced among them."""
    url = sqs.queue(VisibilityTimeout="600")
    for group, batches in (("most", 5), ("fewer", 4)):
        flood(sqs, url, group, batches)
        for _ in range(batches - 1):
            assert sqs.bodies(url) == [group] * 10

    assert sqs.bodies(url, 1) == ["fewer"]


@rule("S39", "sqs-fair-queues-detailed")
@pytest.mark.long_time
def test_a_tenant_is_quiet_again_once_its_messages_are_done(sqs: SQS) -> None:
    """When its share of the messages in flight falls, it is served in its turn."""
    url = sqs.queue(VisibilityTimeout="600")
    flood(sqs, url, "noisy", 5)
    received = [message for _ in range(4) for message in sqs.receive(url, 10)]
    for message in received:
        sqs.delete(url, message)
    sqs.send(url, "late", "other")

    assert sqs.bodies(url, 1) == ["noisy"]
