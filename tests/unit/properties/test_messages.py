"""Whatever a message holds: the loop goes on, the message is not lost, and no code runs because of it."""

from __future__ import annotations

import base64
import json
import pickle
import sys
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sqs_tasks import readers
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.codecs import PickleCodec
from sqs_tasks.message import OutgoingMessage, ReceivedMessage, string_attribute
from sqs_tasks.outcome import NotStarted, Rejected, Retried, Succeeded, UnknownTask
from sqs_tasks.sending.sender import chunks
from sqs_tasks.testing import drain, lambda_context, lambda_event
from sqs_tasks.wire import foreign_arguments  # noqa: F401 - to import a module is to run code, which is listened for
from tests.support.queues import Desk

#: What SQS lets a message hold (S38).
characters = st.characters(
    exclude_categories=("Cs",),
    exclude_characters=[chr(n) for n in range(32) if n not in (9, 10, 13)] + ["\ufffe", "\uffff"],
)
texts = st.text(characters, min_size=1, max_size=60)


class Bomb:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('code ran')",)


def _celery(content_type: str, body: bytes) -> str:
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-type": content_type,
            "headers": {"task": "os.system"},
            "properties": {"body_encoding": "base64"},
        }
    )


bombs = st.sampled_from(
    [
        pickle.dumps(Bomb()).decode("latin-1").encode().hex(),
        base64.b64encode(pickle.dumps(Bomb())).decode(),
        PickleCodec().serialize({"to": Bomb()}),
        _celery("application/x-python-serialize", pickle.dumps(Bomb())),
        _celery("application/json", b'[["rm"], {}, {}]'),
        '{"task": "os.system", "args": ["true"], "kwargs": {}}',
        '{"task_name": "os.system", "task_payload": {"command": "true"}}',
        '{"py/object": "os.system"}',
        '{"to": {"__type__": "os.system", "__value__": "true"}}',
    ]
)
json_texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
).map(json.dumps)
attribute = (
    texts.map(lambda text: {"DataType": "String", "StringValue": text})
    | st.binary(min_size=1, max_size=40).map(lambda data: {"DataType": "Binary", "BinaryValue": data})
    | st.integers(-(10**30), 10**30).map(lambda n: {"DataType": "Number", "StringValue": str(n)})
)
own = st.fixed_dictionaries(
    {},
    optional={
        "JobName": attribute
        | st.sampled_from(["send", "os.system"]).map(lambda t: {"DataType": "String", "StringValue": t}),
        "ContentType": attribute
        | st.sampled_from(["json", "json+zlib", "pickle", "pickle_compat"]).map(
            lambda t: {"DataType": "String", "StringValue": t}
        ),
        "JobContext": attribute | json_texts.map(lambda t: {"DataType": "String", "StringValue": t}),
        "JobId": attribute,
        "Other": attribute,
    },
)

#: What Python tells auditors of when code is about to run.
DANGEROUS = {"pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "compile"}
_heard: list[str] = []


def _audit(event: str, _arguments: tuple[Any, ...]) -> None:
    if event in DANGEROUS:
        _heard.append(event)


sys.addaudithook(_audit)


def _desk() -> tuple[Desk, Any, list[Any]]:
    desk, ran = Desk(), []
    queue = desk.env.queue(
        "emails", readers=[readers.sqs_workers_v02, readers.simple_worker, readers.pyqs, readers.squids, readers.celery]
    )
    queue.processor("send")(lambda *args, **kwargs: ran.append((args, kwargs)))
    desk.create()
    return desk, queue, ran


@given(body=texts | json_texts | bombs, attributes=own)
@settings(max_examples=300, deadline=None)
def test_no_message_ends_the_worker_gets_lost_or_runs_code(body: str, attributes: dict[str, Any]) -> None:
    """It was run as a registered task, or is in one of the two queues; and nobody unpickled, compiled or executed."""
    desk, queue, ran = _desk()
    desk.memory.send_message(QueueUrl=queue.queue_url, MessageBody=body, MessageAttributes=attributes)

    _heard.clear()
    result = drain(queue, raise_errors=False)

    assert _heard == []
    assert len(ran) == result.succeeded
    assert len(desk.bodies("emails")) + len(desk.bodies("emails_dead")) == 1 - len(ran)
    assert all(letter == body for letter in desk.bodies("emails_dead"))


@given(body=texts | json_texts | bombs, attributes=own)
@settings(max_examples=150, deadline=None)
def test_no_message_ends_the_lambda_handler(body: str, attributes: dict[str, Any]) -> None:
    """The same message as an event: an answer that lists it, unless it was run or its copy was accepted."""
    desk, queue, ran = _desk()
    desk.memory.send_message(QueueUrl=queue.queue_url, MessageBody=body, MessageAttributes=attributes)

    answer = SQSEventHandler(desk.env)(lambda_event(queue), lambda_context())

    done = len(ran) + len(desk.bodies("emails_dead"))
    assert len(answer["batchItemFailures"]) == 1 - done


anything = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)
any_attribute = st.fixed_dictionaries(
    {"DataType": anything}, optional={"StringValue": anything, "BinaryValue": st.binary(max_size=40)}
)


@given(
    body=anything | bombs,
    attributes=st.dictionaries(
        st.sampled_from(["JobName", "ContentType", "JobContext", "JobId"]) | anything, any_attribute
    ),
    system=st.dictionaries(
        st.sampled_from(["ApproximateReceiveCount", "SentTimestamp", "MessageGroupId"]) | anything, anything
    ),
)
@settings(max_examples=200, deadline=None)
def test_execution_gives_an_outcome_for_anything(body: str, attributes: dict[str, Any], system: dict[str, str]) -> None:
    """Also for what SQS would never let through: control characters, lone surrogates, nonsense in its own attributes."""
    _, queue, _ = _desk()
    message = ReceivedMessage(
        message_id="m", receipt_handle="r", body=body, attributes=system, message_attributes=attributes
    )

    _heard.clear()
    outcome = queue.executor().execute(message)

    assert isinstance(outcome, (Succeeded, Rejected, UnknownTask, Retried, NotStarted))
    assert queue.executor().batch_task(message) is None
    assert _heard == []


@given(st.lists(st.integers(1, 1_048_576), max_size=25))
@settings(max_examples=40, deadline=None)
def test_t9_requests_of_a_batch_are_what_sqs_takes(sizes: list[int]) -> None:
    """Ten entries and 1 MiB at most, all messages in their order, and none in a request of its own without need.

    Bytes are counted and not characters, and those of the attributes too.
    """
    name = {"JobName": string_attribute("ü")}
    own_bytes = len("JobName") + len("String") + 2
    messages = [
        OutgoingMessage(
            body="ü" * ((size - own_bytes) // 2), attributes=name if size > own_bytes else {}, job_id=str(n)
        )
        for n, size in enumerate(sizes)
    ]

    requests = list(chunks(messages))

    assert [message for request in requests for message in request] == messages
    assert all(len(request) <= 10 for request in requests)
    bytes_of = {message.job_id: len(message.body) * 2 + own_bytes * bool(message.attributes) for message in messages}
    totals = [sum(bytes_of[message.job_id] for message in request) for request in requests]
    assert all(total <= 1_048_576 for total in totals)
    for request, total, following in zip(requests, totals, requests[1:], strict=False):
        assert len(request) == 10 or total + bytes_of[following[0].job_id] > 1_048_576
