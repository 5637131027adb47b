"""Sending: what is returned, what is kept, what is refused."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.conformance.sqs import SQS, refused, rule

LIMIT = 1_048_576


@rule("API_SendMessage")
def test_a_send_returns_the_id_and_the_digest(sqs: SQS) -> None:
    """The message id comes back on receive, and the digest is of the UTF-8 body."""
    url = sqs.queue()

    sent = sqs.send(url, "grüße ✓")

    received = sqs.one(url)
    digest = hashlib.md5("grüße ✓".encode()).hexdigest()
    assert received["MessageId"] == sent["MessageId"]
    assert sent["MD5OfMessageBody"] == received["MD5OfBody"] == digest
    assert "MD5OfMessageAttributes" not in sent


@rule("API_SendMessage")
@pytest.mark.parametrize("body", ['"&quot;&quot;\r', '{\r\n"a": 1}', "a\tb\nc", "😀" * 10, "<xml/>&amp;", " lead "])
def test_a_body_comes_back_as_it_was(sqs: SQS, body: str) -> None:
    """Nothing is escaped, trimmed or normalised."""
    url = sqs.queue()

    sqs.send(url, body)

    assert sqs.one(url)["Body"] == body


@rule("API_SendMessage", "S38")
@pytest.mark.parametrize("char", ["\x00", "\x08", "\x0b", "\x1f", "\ufffe", "\uffff"])
def test_characters_outside_xml_are_refused(sqs: SQS, char: str) -> None:
    """Only #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF."""
    with refused("InvalidMessageContents"):
        sqs.send(sqs.queue(), f"bad {char}")


@rule("API_SendMessage", "S38")
@pytest.mark.parametrize("char", ["\x7f", "\x85", "\ue000", "\ufffd", "\U0010ffff"])
def test_characters_at_the_edges_of_the_set_are_accepted(sqs: SQS, char: str) -> None:
    """The set's own ends, and the C1 controls, which belong to it."""
    url = sqs.queue()

    sqs.send(url, f"good {char}")

    assert sqs.one(url)["Body"] == f"good {char}"


@rule("API_SendMessage")
def test_an_empty_body_is_refused(sqs: SQS) -> None:
    """The minimum size is one character."""
    with refused("MissingParameter"):
        sqs.send(sqs.queue(), "")


@rule("S38", "API_SendMessage")
def test_a_message_of_a_mebibyte_is_accepted(sqs: SQS) -> None:
    """1,048,576 bytes, exactly."""
    url = sqs.queue()

    sqs.send(url, "x" * LIMIT)

    assert len(sqs.one(url)["Body"]) == LIMIT


@rule("S38", "API_SendMessage")
def test_a_byte_more_is_refused(sqs: SQS) -> None:
    """The limit is the queue's MaximumMessageSize."""
    with refused("InvalidParameterValue"):
        sqs.send(sqs.queue(), "x" * (LIMIT + 1))


@rule("S38", "API_SendMessage")
def test_size_is_in_bytes_of_utf8(sqs: SQS) -> None:
    """Half as many umlauts are too many."""
    url = sqs.queue(MaximumMessageSize="1024")

    sqs.send(url, "ü" * 512)

    with refused("InvalidParameterValue"):
        sqs.send(url, "ü" * 512 + "x")


@rule("S38", "sqs-message-metadata")
def test_attributes_count(sqs: SQS) -> None:
    """Name, type and value of every attribute are part of the size."""
    url = sqs.queue(MaximumMessageSize="1024")
    attributes = {"k": {"DataType": "String", "StringValue": "x"}}

    sqs.send(url, "x" * (1024 - 8), MessageAttributes=attributes)

    with refused("InvalidParameterValue"):
        sqs.send(url, "x" * (1024 - 7), MessageAttributes=attributes)


@rule("API_SendMessage")
def test_trace_header_does_not_count(sqs: SQS) -> None:
    """A message system attribute is not part of the size."""
    url = sqs.queue(MaximumMessageSize="1024")
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}}

    sqs.send(url, "x" * 1024, MessageSystemAttributes=trace)

    assert sqs.system(url)["AWSTraceHeader"].startswith("Root=1-5759e988")


@rule("API_SendMessage")
def test_the_trace_header_has_a_digest_of_its_own(sqs: SQS) -> None:
    """MD5OfMessageSystemAttributes, computed like that of message attributes."""
    url = sqs.queue()
    value = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"

    sent = sqs.send(url, MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": value}})

    assert sent["MD5OfMessageSystemAttributes"] == "5ae4d5d7636402d80f4eb6d213245a88"


@rule("xray/latest/devguide/xray-services-sqs")
@pytest.mark.over_http
def test_the_trace_header_of_a_request_is_its_messages(sqs: SQS) -> None:
    """X-Amzn-Trace-Id holds for every message of the request, and a message's own AWSTraceHeader goes before it."""
    url = sqs.queue()
    request, own = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1", "Root=1-5759e988-000000000000000000000000"
    attribute = {"AWSTraceHeader": {"DataType": "String", "StringValue": own}}

    def add_header(params: dict[str, Any], **_: object) -> None:
        params["headers"]["X-Amzn-Trace-Id"] = request

    sqs.client.meta.events.register("before-call.sqs", add_header)
    try:
        sent = sqs.send(url, "single")
        entries = [
            {"Id": "0", "MessageBody": "batch"},
            {"Id": "1", "MessageBody": "own", "MessageSystemAttributes": attribute},
        ]
        sqs.client.send_message_batch(QueueUrl=url, Entries=entries)
    finally:
        sqs.client.meta.events.unregister("before-call.sqs", add_header)
    received = {}
    while len(received) < 3:
        message = sqs.one(url, AttributeNames=["AWSTraceHeader"])
        received[message["Body"]] = message["Attributes"]["AWSTraceHeader"]

    assert received == {"single": request, "batch": request, "own": own}
    assert "MD5OfMessageSystemAttributes" not in sent


@rule("API_SendMessage")
def test_a_deduplication_id_is_for_fifo_queues(sqs: SQS) -> None:
    """MessageDeduplicationId applies to FIFO queues only."""
    with refused("InvalidParameterValue"):
        sqs.send(sqs.queue(), MessageDeduplicationId="d")


@rule("API_SendMessage", "S2")
def test_a_standard_message_can_have_a_group(sqs: SQS) -> None:
    """A group id on a standard queue makes it fair; it comes back, and no sequence number does."""
    url = sqs.queue()

    sent = sqs.send(url, group="tenant")

    system = sqs.system(url)
    assert system["MessageGroupId"] == "tenant"
    assert "SequenceNumber" not in system
    assert "SequenceNumber" not in sent


@rule("API_SendMessage", "R7")
@pytest.mark.parametrize("group", ["x" * 129, "with space", "ümlaut"], ids=["long", "space", "umlaut"])
def test_bad_group_ids_are_refused(sqs: SQS, group: str) -> None:
    """1 to 128 alphanumeric characters and punctuation."""
    with refused("InvalidParameterValue"):
        sqs.send(sqs.queue(), group=group)


@rule("API_SendMessage")
def test_every_punctuation_is_allowed_in_a_group_id(sqs: SQS) -> None:
    """The documented set."""
    url = sqs.queue()
    group = "aZ09!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

    sqs.send(url, group=group)

    assert sqs.system(url)["MessageGroupId"] == group


@rule("sqs-delay-queues", "API_SendMessage")
def test_a_message_can_be_delayed(sqs: SQS) -> None:
    """DelaySeconds hides a new message; it counts as delayed."""
    url = sqs.queue()
    sqs.send(url, "later", DelaySeconds=1)

    early, counts = sqs.receive(url), sqs.counts(url)
    sqs.wait(1.1)

    assert early == []
    assert counts == (0, 0, 1)
    assert sqs.bodies(url) == ["later"]


@rule("sqs-delay-queues")
def test_a_queue_can_delay_all_messages(sqs: SQS) -> None:
    """The queue's DelaySeconds applies, and a message's own, even zero, overrides it."""
    url = sqs.queue(DelaySeconds="1")
    sqs.send(url, "delayed")
    sqs.send(url, "at once", DelaySeconds=0)

    assert sqs.bodies(url) == ["at once"]
    sqs.wait(1.1)
    assert sqs.bodies(url) == ["delayed"]


@rule("sqs-delay-queues")
def test_a_changed_delay_is_not_for_messages_already_sent(sqs: SQS) -> None:
    """On a standard queue the per-queue delay is not retroactive."""
    url = sqs.queue(DelaySeconds="1")
    sqs.send(url)

    sqs.client.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "0"})

    assert sqs.receive(url) == []


@rule("API_SendMessage")
@pytest.mark.parametrize("delay", [-1, 901])
def test_delays_out_of_range_are_refused(sqs: SQS, delay: int) -> None:
    """0 to 900 seconds."""
    with refused("InvalidParameterValue"):
        sqs.send(sqs.queue(), DelaySeconds=delay)


@rule("API_SendMessage")
@pytest.mark.long_time
def test_the_longest_delay_is_15_minutes(sqs: SQS) -> None:
    """900 seconds, to the second."""
    url = sqs.queue()
    sqs.send(url, DelaySeconds=900)

    sqs.wait(899)
    before = sqs.receive(url)
    sqs.wait(1)

    assert before == []
    assert len(sqs.receive(url)) == 1


@rule("API_SetQueueAttributes")
@pytest.mark.long_time
def test_messages_die_after_the_retention_period(sqs: SQS) -> None:
    """Four days by default, counted from the send; in flight or not."""
    url = sqs.queue()
    sqs.send(url, "old")
    sqs.wait(345_590)
    message = sqs.one(url, VisibilityTimeout=300)
    sqs.send(url, "young")

    sqs.wait(10)

    assert sqs.bodies(url) == ["young"]
    assert sqs.counts(url) == (0, 1, 0)
    sqs.delete(url, message)


@rule("API_SetQueueAttributes")
@pytest.mark.long_time
def test_a_shorter_retention_period_applies_to_old_messages(sqs: SQS) -> None:
    """Reducing it below a message's age deletes the message."""
    url = sqs.queue()
    sqs.send(url)
    sqs.wait(3_600)

    sqs.client.set_queue_attributes(QueueUrl=url, Attributes={"MessageRetentionPeriod": "60"})

    assert sqs.receive(url) == []
    assert sqs.counts(url) == (0, 0, 0)
