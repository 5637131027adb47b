"""What Lambda would pass to the handler for some jobs."""

from __future__ import annotations

import uuid

from sqs_tasks import limits
from sqs_tasks.client import receive_request
from sqs_tasks.execution.eager import received_from
from sqs_tasks.generic_queue import GenericQueue
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.local.function.context import LambdaContext
from sqs_tasks.local.function.event_record import EventRecord, record_from_message
from sqs_tasks.provisioning import queue_arn
from sqs_tasks.task import BakedAsyncTask

#: The region and account of ARNs in events that no queue stands behind.
_ARN = "arn:aws:sqs:us-east-1:000000000000:"


def lambda_event(*jobs: BakedAsyncTask | GenericQueue, receive_count: int = 1) -> dict[str, list[EventRecord]]:
    """The event that Lambda would hand to the function for these jobs.

    Args:
        *jobs: Baked tasks, of which nothing is sent: ``lambda_event(send_email.bake(to="a@example.com"))``; or a queue,
            from which up to ten messages are received.
        receive_count: How many times SQS has handed each of the baked tasks' messages out, this time included.
    """
    records: list[EventRecord] = []
    for job in jobs:
        if isinstance(job, BakedAsyncTask):
            records.append(_record_of(job, receive_count))
        else:
            records.extend(_records_of(job))
    return {"Records": records}


def lambda_context(remaining_seconds: float = 30, *, request_id: str = "test-request") -> LambdaContext:
    """The context object of an invocation whose time stands still, so that tests do not depend on the machine."""
    clock = ManualClock()
    return LambdaContext(
        aws_request_id=request_id,
        function_name="test",
        invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:test",
        memory_limit_in_mb="128",
        deadline=clock.now() + remaining_seconds,
        log_group_name="/aws/lambda/test",
        log_stream_name="test",
        clock=clock,
    )


def _record_of(job: BakedAsyncTask, receive_count: int) -> EventRecord:
    message = job.message()
    received = received_from(message, message_id=str(uuid.uuid4()), receive_count=receive_count)
    queue = job.queue
    raw = {
        "MessageId": received.message_id,
        "ReceiptHandle": received.receipt_handle,
        "Body": received.body,
        "Attributes": {"SenderId": "000000000000", **received.attributes},
        "MessageAttributes": received.message_attributes,
        "MD5OfBody": _md5(received.body),
    }
    name = queue.get_sqs_queue_name() if isinstance(queue, GenericQueue) else queue.name
    return record_from_message(raw, queue_arn=f"{_ARN}{name}")


def _records_of(queue: GenericQueue) -> list[EventRecord]:
    client = queue.env.client()
    answer = client.receive_message(**receive_request(queue.queue_url, limits.MAX_BATCH_ENTRIES))
    arn = queue_arn(client, queue.queue_url)
    return [record_from_message(raw, queue_arn=arn) for raw in answer.get("Messages") or ()]


def _md5(text: str) -> str:
    import hashlib

    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
