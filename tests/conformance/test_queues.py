"""The life of a queue: made, found, listed, deleted."""

from __future__ import annotations

import pytest

from tests.conformance.sqs import SQS, refused, rule


@rule("API_CreateQueue")
def test_url_ends_with_the_account_and_the_name(sqs: SQS) -> None:
    """A queue URL's path is the account and the queue's name."""
    name = sqs.new_name()

    url = sqs.queue(name)

    account, last = url.rsplit("/", 2)[1:]
    assert last == name
    assert account.isdecimal()
    assert len(account) == 12


@rule("API_CreateQueue")
def test_creating_again_without_attributes_returns_the_queue(sqs: SQS) -> None:
    """A name that exists gives its URL when no attribute is given."""
    name = sqs.new_name()
    url = sqs.queue(name, VisibilityTimeout="69")

    assert sqs.queue(name) == url


@rule("API_CreateQueue")
def test_creating_again_with_the_same_attributes_returns_the_queue(sqs: SQS) -> None:
    """A name that exists gives its URL when the attributes given are the queue's."""
    name = sqs.new_name()
    url = sqs.queue(name, VisibilityTimeout="69", DelaySeconds="1")

    assert sqs.queue(name, VisibilityTimeout="69") == url


@rule("API_CreateQueue")
def test_creating_again_with_another_value_is_refused(sqs: SQS) -> None:
    """A name that exists is refused when an attribute given differs."""
    name = sqs.new_name()
    sqs.queue(name, DelaySeconds="1")

    with refused("QueueNameExists") as caught:
        sqs.queue(name, DelaySeconds="2")

    assert caught.message.endswith("different value for attribute DelaySeconds")


@rule("API_CreateQueue")
def test_creating_again_knows_changed_attributes(sqs: SQS) -> None:
    """What SetQueueAttributes changed is what CreateQueue compares with."""
    name = sqs.new_name()
    url = sqs.queue(name, DelaySeconds="1")
    sqs.client.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "2"})

    assert sqs.queue(name, DelaySeconds="2") == url
    with refused("QueueNameExists"):
        sqs.queue(name, DelaySeconds="1")


@rule("API_CreateQueue")
@pytest.mark.parametrize(
    "name",
    ["with space", "slash/name", "dot.name", "x" * 81, "ümlaut"],
    ids=["space", "slash", "dot", "long", "umlaut"],
)
def test_bad_queue_names_are_refused(sqs: SQS, name: str) -> None:
    """A name has 1 to 80 letters, digits, hyphens and underscores."""
    with refused("InvalidParameterValue"):
        sqs.client.create_queue(QueueName=name)


@rule("API_CreateQueue", "R7")
def test_a_name_of_80_characters_is_accepted(sqs: SQS) -> None:
    """The longest name there may be."""
    name = sqs.new_name().ljust(80, "x")

    assert sqs.queue(name).endswith(name)


@rule("API_CreateQueue")
def test_a_fifo_queue_must_be_called_fifo(sqs: SQS) -> None:
    """A FIFO queue's name ends with .fifo."""
    with refused("InvalidParameterValue"):
        sqs.client.create_queue(QueueName=sqs.new_name(), Attributes={"FifoQueue": "true"})


@rule("API_CreateQueue")
def test_a_standard_queue_must_not_be_called_fifo(sqs: SQS) -> None:
    """A name with .fifo needs the FifoQueue attribute."""
    with refused("InvalidParameterValue"):
        sqs.client.create_queue(QueueName=sqs.new_name(fifo=True))


@rule("API_GetQueueUrl")
def test_url_is_found_by_name(sqs: SQS) -> None:
    """GetQueueUrl returns what CreateQueue returned."""
    name = sqs.new_name()
    url = sqs.queue(name)

    assert sqs.client.get_queue_url(QueueName=name)["QueueUrl"] == url


@rule("API_GetQueueUrl")
def test_url_of_an_unknown_name_is_refused(sqs: SQS) -> None:
    """An unknown queue is QueueDoesNotExist, with the code of the older protocol beside."""
    with refused("QueueDoesNotExist") as caught:
        sqs.client.get_queue_url(QueueName=sqs.new_name())

    assert caught.error.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"
    assert caught.kind == "QueueDoesNotExist"


@rule("API_ListQueues")
def test_queues_are_listed_by_prefix(sqs: SQS) -> None:
    """ListQueues returns the queues whose names begin alike."""
    prefix = sqs.new_name()
    urls = {sqs.queue(f"{prefix}-{letter}") for letter in "ab"}
    sqs.queue()

    assert set(sqs.client.list_queues(QueueNamePrefix=prefix)["QueueUrls"]) == urls


@rule("API_ListQueues")
def test_a_list_of_nothing_has_no_urls(sqs: SQS) -> None:
    """Without a match the key is missing."""
    assert "QueueUrls" not in sqs.client.list_queues(QueueNamePrefix=sqs.new_name())


@rule("API_ListQueues")
def test_lists_come_in_pages(sqs: SQS) -> None:
    """MaxResults sets a page's size, and NextToken leads to the next page until there is none."""
    prefix = sqs.new_name()
    urls = {sqs.queue(f"{prefix}-{number}") for number in range(5)}
    found: list[str] = []
    token: dict[str, str] = {}
    sizes = []

    while True:
        page = sqs.client.list_queues(QueueNamePrefix=prefix, MaxResults=2, **token)
        found += page["QueueUrls"]
        sizes.append(len(page["QueueUrls"]))
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}

    assert set(found) == urls
    assert sizes == [2, 2, 1]


@rule("API_DeleteQueue")
def test_a_deleted_queue_is_gone(sqs: SQS) -> None:
    """After DeleteQueue every action on the URL fails."""
    url = sqs.queue()

    sqs.client.delete_queue(QueueUrl=url)

    with refused("QueueDoesNotExist"):
        sqs.send(url)


@rule("API_DeleteQueue")
def test_deleting_an_unknown_queue_is_refused(sqs: SQS) -> None:
    """DeleteQueue of a queue that does not exist fails."""
    with refused("QueueDoesNotExist"):
        sqs.client.delete_queue(QueueUrl=sqs.queue() + "x")


@rule("API_DeleteQueue")
def test_a_name_just_deleted_cannot_be_used(sqs: SQS) -> None:
    """For 60 seconds after a delete the name is refused."""
    name = sqs.new_name()
    sqs.client.delete_queue(QueueUrl=sqs.queue(name))

    with refused("QueueDeletedRecently"):
        sqs.client.create_queue(QueueName=name)


@rule("API_DeleteQueue")
@pytest.mark.long_time
def test_a_name_can_be_used_60_seconds_after(sqs: SQS) -> None:
    """After 60 seconds the name is free, and the queue is empty."""
    name = sqs.new_name()
    url = sqs.queue(name)
    sqs.send(url)
    sqs.client.delete_queue(QueueUrl=url)

    sqs.wait(60)

    assert sqs.receive(sqs.queue(name)) == []


@rule("API_PurgeQueue")
def test_a_purge_removes_messages_in_every_state(sqs: SQS) -> None:
    """Visible, in-flight and delayed messages are all deleted."""
    url = sqs.queue(VisibilityTimeout="1")
    sqs.batch(url, "a", "b")
    sqs.send(url, "later", DelaySeconds=1)
    sqs.one(url)

    sqs.client.purge_queue(QueueUrl=url)
    sqs.wait(1.1)

    assert sqs.receive(url, 10) == []
    assert sqs.counts(url) == (0, 0, 0)


@rule("API_PurgeQueue")
def test_a_queue_works_after_a_purge(sqs: SQS) -> None:
    """Messages sent later are delivered."""
    url = sqs.queue()
    sqs.send(url, "before")
    sqs.client.purge_queue(QueueUrl=url)

    sqs.send(url, "after")

    assert sqs.bodies(url) == ["after"]


@rule("API_PurgeQueue")
def test_a_second_purge_within_60_seconds_is_refused(sqs: SQS) -> None:
    """One purge a minute, and status 403."""
    url = sqs.queue()
    sqs.client.purge_queue(QueueUrl=url)

    with refused("PurgeQueueInProgress", status=403):
        sqs.client.purge_queue(QueueUrl=url)


@rule("API_PurgeQueue")
@pytest.mark.long_time
def test_a_purge_60_seconds_later_is_accepted(sqs: SQS) -> None:
    """The minute ends."""
    url = sqs.queue()
    sqs.client.purge_queue(QueueUrl=url)

    sqs.wait(60)

    sqs.client.purge_queue(QueueUrl=url)


@rule("API_PurgeQueue", "FIFO-queues-exactly-once-processing")
def test_a_purge_forgets_deduplication_ids(sqs: SQS) -> None:
    """A message like one before the purge is delivered."""
    url = sqs.fifo()
    sqs.send(url, "same", "g")
    sqs.client.purge_queue(QueueUrl=url)

    sqs.send(url, "same", "g")

    assert sqs.bodies(url) == ["same"]


@rule("sqs-queue-message-identifiers")
def test_a_name_stands_for_its_url(sqs: SQS) -> None:
    """AWS accepts a queue's name where the URL belongs."""
    name = sqs.new_name()
    url = sqs.queue(name)

    sqs.client.send_message(QueueUrl=name, MessageBody="by name")

    assert sqs.bodies(url) == ["by name"]
