"""Queues that are there already, found by their URLs."""

from __future__ import annotations

import re
from typing import Final

from aws_cdk import Stack
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from sqs_tasks_cdk.errors import StackError

#: ``https://sqs.eu-west-1.amazonaws.com/123456789012/emails``; other partitions and emulators have other hosts.
_URL: Final = re.compile(r"https?://(?P<host>[^/]+)(?:/.*)?/(?P<account>\d{12})/(?P<name>[A-Za-z0-9_-]+(?:\.fifo)?)/?")

#: Where a host says the region: ``sqs.eu-west-1.``, ``vpce-1.sqs.eu-west-1.vpce.``, and the older ``eu-west-1.queue.``.
_REGION: Final = re.compile(r"(?:^|\.)sqs(?:-fips)?\.([a-z]+(?:-[a-z]+)+-\d)\.|^([a-z]+(?:-[a-z]+)+-\d)\.queue\.")


def queue_at(scope: Construct, construct_id: str, url: str) -> sqs.IQueue:
    """The queue at a URL, in the account that the URL names and in its region, or the stack's where it names none.

    Raises:
        StackError: The text does not end in an account and a name.
    """
    parts = _URL.fullmatch(url)
    if parts is None:
        raise StackError(
            f"{url!r} is not the URL of a queue, like https://sqs.eu-west-1.amazonaws.com/123456789012/emails; "
            "correct it in the registry, or give the queue itself in queue_settings (queue=, dead_letter_queue=)"
        )
    region = _REGION.search(parts["host"])
    name = parts["name"]
    return sqs.Queue.from_queue_attributes(
        scope,
        construct_id,
        queue_arn=Stack.of(scope).format_arn(
            service="sqs",
            resource=name,
            account=parts["account"],
            region=None if region is None else region[1] or region[2],
        ),
        queue_url=url,
        fifo=True if name.endswith(".fifo") else None,
    )


def neighbour(url: str, queue_name: str) -> str:
    """The URL of another queue of the same account and region."""
    return f"{url.rstrip('/').rpartition('/')[0]}/{queue_name}"
