"""The event and the context that a handler gets."""

from __future__ import annotations

from sqs_tasks import SQSEnv
from sqs_tasks.testing import in_memory, lambda_context, lambda_event


def test_lambda_event_is_lambdas(env: SQSEnv) -> None:
    """Baked tasks and queues become records of the right queue, with the receive count asked for."""
    queue = env.queue("emails")
    send = queue.processor("send")(lambda to: None)
    with in_memory(env):
        send.delay("queued")
        event = lambda_event(send.bake("baked"), queue, receive_count=3)

    baked, queued = event["Records"]
    assert baked["eventSourceARN"].endswith(":app-emails")
    assert queued["eventSourceARN"].endswith(":app-emails")
    assert baked.keys() == queued.keys() - {"md5OfMessageAttributes"}
    assert [one["body"] for one in (baked, queued)] == ['{"to": "baked"}', '{"to": "queued"}']
    assert baked["attributes"]["ApproximateReceiveCount"] == "3"
    assert lambda_context(5).get_remaining_time_in_millis() == 5000
