"""Attributes, tags and permissions of a queue."""

from __future__ import annotations

import json

import pytest

from tests.conformance.sqs import SQS, refused, rule


@rule("API_GetQueueAttributes", "S38")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DelaySeconds", "0"),
        ("MaximumMessageSize", "1048576"),
        ("MessageRetentionPeriod", "345600"),
        ("ReceiveMessageWaitTimeSeconds", "0"),
        ("VisibilityTimeout", "30"),
        ("SqsManagedSseEnabled", "true"),
    ],
)
def test_defaults(sqs: SQS, name: str, value: str) -> None:
    """What a queue is when nothing is said."""
    assert sqs.attribute(sqs.queue(), name) == value


@rule("API_GetQueueAttributes")
def test_all_attributes_of_a_standard_queue(sqs: SQS) -> None:
    """All means the set ones and the computed ones; a policy that is not set is missing."""
    url = sqs.queue()

    found = sqs.client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]

    assert set(found) == {
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesDelayed",
        "ApproximateNumberOfMessagesNotVisible",
        "CreatedTimestamp",
        "DelaySeconds",
        "LastModifiedTimestamp",
        "MaximumMessageSize",
        "MessageRetentionPeriod",
        "QueueArn",
        "ReceiveMessageWaitTimeSeconds",
        "SqsManagedSseEnabled",
        "VisibilityTimeout",
    }
    assert all(isinstance(value, str) for value in found.values())


@rule("API_GetQueueAttributes")
def test_attributes_of_a_fifo_queue(sqs: SQS) -> None:
    """A FIFO queue shows its four attributes more."""
    url = sqs.fifo(ContentBasedDeduplication="false")

    found = sqs.client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]

    assert found["FifoQueue"] == "true"
    assert found["ContentBasedDeduplication"] == "false"
    assert found["DeduplicationScope"] == "queue"
    assert found["FifoThroughputLimit"] == "perQueue"


@rule("API_GetQueueAttributes")
def test_only_the_attributes_asked_for(sqs: SQS) -> None:
    """Names select, and no names select nothing."""
    url = sqs.queue()

    some = sqs.client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn", "VisibilityTimeout"])
    none = sqs.client.get_queue_attributes(QueueUrl=url)

    assert set(some["Attributes"]) == {"QueueArn", "VisibilityTimeout"}
    assert "Attributes" not in none


@rule("API_GetQueueAttributes")
def test_an_unknown_attribute_cannot_be_asked_for(sqs: SQS) -> None:
    """The name is in the error."""
    with refused("InvalidAttributeName") as caught:
        sqs.client.get_queue_attributes(QueueUrl=sqs.queue(), AttributeNames=["Foobar"])

    assert caught.message == "Unknown Attribute Foobar."


@rule("API_GetQueueAttributes")
def test_the_arn_names_region_account_and_queue(sqs: SQS) -> None:
    """arn:partition:sqs:region:account:name."""
    name = sqs.new_name()
    url = sqs.queue(name)

    parts = sqs.arn(url).split(":")

    assert parts[0] == "arn"
    assert parts[2] == "sqs"
    assert parts[4] == url.rsplit("/", 2)[1]
    assert parts[5] == name


@rule("API_SetQueueAttributes")
def test_attributes_can_be_changed(sqs: SQS) -> None:
    """SetQueueAttributes changes what it names and leaves the rest."""
    url = sqs.queue(VisibilityTimeout="20", DelaySeconds="7")

    sqs.client.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "69"})

    assert sqs.attribute(url, "VisibilityTimeout") == "69"
    assert sqs.attribute(url, "DelaySeconds") == "7"


@rule("API_SetQueueAttributes")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DelaySeconds", "901"),
        ("DelaySeconds", "-1"),
        ("MaximumMessageSize", "1023"),
        ("MaximumMessageSize", "1048577"),
        ("MessageRetentionPeriod", "59"),
        ("MessageRetentionPeriod", "1209601"),
        ("ReceiveMessageWaitTimeSeconds", "21"),
        ("VisibilityTimeout", "43201"),
        ("VisibilityTimeout", "soon"),
    ],
)
def test_values_out_of_range_are_refused(sqs: SQS, name: str, value: str) -> None:
    """Numbers have ranges, and text is no number."""
    url = sqs.queue()

    with refused("InvalidAttributeValue"):
        sqs.client.set_queue_attributes(QueueUrl=url, Attributes={name: value})


@rule("API_SetQueueAttributes")
def test_the_limits_themselves_are_accepted(sqs: SQS) -> None:
    """The greatest values there may be."""
    url = sqs.queue(
        DelaySeconds="900",
        MaximumMessageSize="1048576",
        MessageRetentionPeriod="1209600",
        ReceiveMessageWaitTimeSeconds="20",
        VisibilityTimeout="43200",
    )

    assert sqs.attribute(url, "VisibilityTimeout") == "43200"


@rule("API_SetQueueAttributes")
@pytest.mark.parametrize("name", ["Foobar", "QueueArn", "FifoQueue", "ContentBasedDeduplication"])
def test_attributes_that_cannot_be_set_on_a_standard_queue(sqs: SQS, name: str) -> None:
    """Unknown, computed and FIFO attributes."""
    with refused("InvalidAttributeName"):
        sqs.client.set_queue_attributes(QueueUrl=sqs.queue(), Attributes={name: "true"})


@rule("API_CreateQueue")
def test_the_type_of_a_queue_cannot_change(sqs: SQS) -> None:
    """A FIFO queue stays one."""
    with refused("InvalidAttributeValue"):
        sqs.client.set_queue_attributes(QueueUrl=sqs.fifo(), Attributes={"FifoQueue": "false"})


@rule("API_SetQueueAttributes")
def test_nothing_changes_when_one_attribute_is_refused(sqs: SQS) -> None:
    """All of them or none."""
    url = sqs.queue()

    with refused("InvalidAttributeValue"):
        sqs.client.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "5", "VisibilityTimeout": "-1"})

    assert sqs.attribute(url, "DelaySeconds") == "0"


@rule("FIFO-queues-high-throughput")
def test_throughput_per_group_needs_deduplication_per_group(sqs: SQS) -> None:
    """The value perMessageGroupId is allowed with the scope messageGroup alone."""
    url = sqs.fifo()

    with refused("InvalidAttributeValue"):
        sqs.client.set_queue_attributes(QueueUrl=url, Attributes={"FifoThroughputLimit": "perMessageGroupId"})

    high = {"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}
    sqs.client.set_queue_attributes(QueueUrl=url, Attributes=high)


@rule("API_SetQueueAttributes", "S47")
def test_one_kind_of_encryption_at_a_time(sqs: SQS) -> None:
    """SSE-KMS and SSE-SQS exclude each other."""
    both = {"KmsMasterKeyId": "testKeyId", "SqsManagedSseEnabled": "true"}

    with refused("InvalidAttributeName"):
        sqs.client.set_queue_attributes(QueueUrl=sqs.queue(), Attributes=both)


@rule("API_SetQueueAttributes")
def test_a_policy_is_kept_and_an_empty_one_removes_it(sqs: SQS) -> None:
    """An empty string takes the policy away."""
    url = sqs.queue()
    policy = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sqs:SendMessage", "Resource": sqs.arn(url)}
            ],
        }
    )

    sqs.client.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    kept = sqs.attribute(url, "Policy")
    sqs.client.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})

    assert kept is not None
    assert json.loads(kept)["Statement"][0]["Action"] == "sqs:SendMessage"
    assert sqs.attribute(url, "Policy") is None


@rule("API_TagQueue")
def test_tags_are_added_overwritten_and_removed(sqs: SQS) -> None:
    """Tags are text by text, case counts, and removing an unknown one is no error."""
    url = sqs.queue()

    sqs.client.tag_queue(QueueUrl=url, Tags={"a": "1", "A": "2", "empty": ""})
    sqs.client.tag_queue(QueueUrl=url, Tags={"a": "3"})
    first = sqs.client.list_queue_tags(QueueUrl=url)["Tags"]
    sqs.client.untag_queue(QueueUrl=url, TagKeys=["A", "empty", "unknown"])

    assert first == {"a": "3", "A": "2", "empty": ""}
    assert sqs.client.list_queue_tags(QueueUrl=url)["Tags"] == {"a": "3"}


@rule("API_ListQueueTags")
def test_a_queue_without_tags_lists_none(sqs: SQS) -> None:
    """The key is missing."""
    assert not sqs.client.list_queue_tags(QueueUrl=sqs.queue()).get("Tags")


@rule("API_CreateQueue", "API_TagQueue")
def test_a_queue_can_be_made_with_tags(sqs: SQS) -> None:
    """CreateQueue takes tags."""
    name = sqs.new_name()
    url = sqs.client.create_queue(QueueName=name, tags={"team": "mail"})["QueueUrl"]
    sqs.queue(name)

    assert sqs.client.list_queue_tags(QueueUrl=url)["Tags"] == {"team": "mail"}


@rule("API_AddPermission", "API_RemovePermission")
def test_permissions_are_statements_of_the_policy(sqs: SQS) -> None:
    """A label is a statement's Sid; removing the last statement removes the policy."""
    url = sqs.queue()
    account = url.rsplit("/", 2)[1]

    sqs.client.add_permission(QueueUrl=url, Label="share", AWSAccountIds=[account], Actions=["ReceiveMessage"])
    policy = json.loads(sqs.attribute(url, "Policy") or "{}")
    sqs.client.remove_permission(QueueUrl=url, Label="share")

    statement = policy["Statement"][0]
    assert statement["Sid"] == "share"
    assert statement["Effect"] == "Allow"
    assert statement["Action"] == "SQS:ReceiveMessage"
    assert statement["Resource"] == sqs.arn(url)
    assert sqs.attribute(url, "Policy") is None


@rule("API_AddPermission")
def test_a_label_can_be_used_once(sqs: SQS) -> None:
    """The same label again is refused."""
    url = sqs.queue()
    account = url.rsplit("/", 2)[1]
    sqs.client.add_permission(QueueUrl=url, Label="share", AWSAccountIds=[account], Actions=["SendMessage"])

    with refused("InvalidParameterValue"):
        sqs.client.add_permission(QueueUrl=url, Label="share", AWSAccountIds=[account], Actions=["SendMessage"])


@rule("API_RemovePermission")
def test_an_unknown_label_cannot_be_removed(sqs: SQS) -> None:
    """RemovePermission needs a label that is there."""
    with refused("InvalidParameterValue"):
        sqs.client.remove_permission(QueueUrl=sqs.queue(), Label="nobody")


@rule("API_AddPermission")
def test_a_statement_has_seven_actions_at_most(sqs: SQS) -> None:
    """OverLimit, with status 403."""
    actions = ["SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueUrl"]
    actions += ["GetQueueAttributes", "PurgeQueue", "ListQueueTags"]
    url = sqs.queue()

    with refused("OverLimit", status=403):
        sqs.client.add_permission(QueueUrl=url, Label="all", AWSAccountIds=[url.rsplit("/", 2)[1]], Actions=actions)
