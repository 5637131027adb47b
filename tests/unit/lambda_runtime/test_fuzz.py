"""T1: whatever comes in and whatever fails, the handler answers by the contract and never raises."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sqs_tasks import Reject, Retry, SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.codecs import Codec
from tests.support.lambda_events import FakeContext, event, failures, record

# Invocations of milliseconds have the alarm ring anywhere, now and then where Hypothesis times a garbage collection; what
# is raised there nobody can catch, and Python reports it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

#: What a task, a codec, a hook, a policy, a middleware, a client or a logger may do.
BEHAVIOURS = {
    "succeed": lambda: None,
    "value error": lambda: (_ for _ in ()).throw(ValueError("x")),
    "exit": lambda: (_ for _ in ()).throw(SystemExit(1)),
    "interrupt": lambda: (_ for _ in ()).throw(KeyboardInterrupt()),
    "memory": lambda: (_ for _ in ()).throw(MemoryError()),
    "recursion": lambda: (_ for _ in ()).throw(RecursionError()),
    "base": lambda: (_ for _ in ()).throw(type("Own", (BaseException,), {})()),
    "retry": lambda: (_ for _ in ()).throw(Retry(delay_seconds=99_999)),
    "reject": lambda: (_ for _ in ()).throw(Reject("no")),
}

behaviours = st.sampled_from(sorted(BEHAVIOURS))
mostly_fine = st.one_of(st.just("succeed"), behaviours)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)

ARNS = [
    "arn:aws:sqs:us-east-1:123456789012:work",
    "arn:aws-cn:sqs:cn-north-1:123456789012:ordered.fifo",
    "arn:aws:sqs:us-east-1:123456789012:stranger",
    "no arn",
]


class Fails:
    """Does what it is told, however it is called."""

    def __init__(self, behaviour):
        self.behaviour = behaviour

    def __call__(self, *_, **__):
        BEHAVIOURS[self.behaviour]()
        return {"Successful": [], "Failed": [], "QueueUrl": "https://queue", "MessageId": "m"}

    def __getattr__(self, name):
        return self


class FailingCodec(Codec):
    """Reads as it is told."""

    content_type = "failing"
    behaviour = "succeed"

    @classmethod
    def serialize(cls, message):
        return "{}"

    @classmethod
    def deserialize(cls, serialized):
        BEHAVIOURS[FailingCodec.behaviour]()
        return {}


class FailingHandler(logging.Handler):
    """Logs as it is told."""

    behaviour = "succeed"

    def emit(self, record):
        BEHAVIOURS[self.behaviour]()


@st.composite
def records(draw):
    message_id = draw(st.sampled_from([f"m-{i}" for i in range(6)]))
    made = record(
        message_id,
        draw(st.sampled_from(["plain", "async", "batch", "unknown", ""])),
        {"behaviour": draw(behaviours)},
        arn=draw(st.sampled_from(ARNS)),
        count=draw(st.integers(1, 1_000)),
        group=draw(st.sampled_from([None, "g", "h"])),
        age_seconds=draw(st.sampled_from([0, -50, 100, 10**7])),
    )
    if draw(st.booleans()):
        content_type = draw(st.sampled_from(["json", "failing", "pickle", "json+zlib"]))
        made["messageAttributes"].setdefault("ContentType", {"dataType": "String"})["stringValue"] = content_type
    for name in draw(
        st.lists(st.sampled_from(["body", "attributes", "messageAttributes", "receiptHandle", "awsRegion"]), max_size=2)
    ):
        made[name] = draw(json_values)
    if draw(st.booleans()) and isinstance(made["messageAttributes"], dict):
        made["messageAttributes"]["JobName"] = draw(json_values)
    if draw(st.booleans()) and isinstance(made["attributes"], dict):
        made["attributes"]["MessageGroupId"] = draw(json_values)
        made["attributes"]["ApproximateReceiveCount"] = draw(json_values)
    return made


@st.composite
def collaborators(draw):
    names = ["client", "codec", "logger", "pre_task", "post_task", "on_start", "on_settled", "on_finished"]
    names += ["policy", "middleware", "context"]
    return {name: draw(mostly_fine) for name in names}


@pytest.fixture(scope="module", autouse=True)
def quiet():
    """A thousand failures on purpose, and hypothesis would keep the log of each."""
    library = logging.getLogger("sqs_tasks")
    before = library.propagate, library.handlers[:]
    library.propagate, library.handlers = False, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sqs_tasks.execution.settlement.RETRY_SECONDS", 0)
        yield
    library.propagate, library.handlers = before


def build(told, concurrency):
    client = Fails(told["client"])
    env = SQSEnv(
        sqs_client=client,
        codecs=[FailingCodec],
        accept=["json", "failing"],
        middleware=[],
        backoff_policy=type("P", (), {"get_visibility_timeout": Fails(told["policy"])})(),
    )

    def plain(behaviour="succeed"):
        BEHAVIOURS[behaviour]()

    async def concurrent(behaviour="succeed"):
        BEHAVIOURS[behaviour]()

    def batch(jobs):
        for job in jobs:
            BEHAVIOURS[job.get("behaviour", "succeed")]()

    for name in ("work", "ordered.fifo"):
        queue = env.queue(name)
        queue.processor("plain", max_attempts=3)(plain)
        queue.processor("async")(concurrent)
        queue.batch_processor("batch", batch_size=2)(batch)
    env.pre_task(Fails(told["pre_task"]))
    env.post_task(Fails(told["post_task"]))

    def wrap(job, call_next):
        BEHAVIOURS[told["middleware"]]()
        return call_next()

    handler = SQSEventHandler(env, concurrency=concurrency, middleware=[wrap])
    for hook in ("on_start", "on_settled", "on_finished"):
        getattr(handler, hook)(Fails(told[hook]))
    return handler


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    batch=st.lists(records(), max_size=8),
    told=collaborators(),
    concurrency=st.sampled_from([1, 1, 1, 3]),
    seconds=st.sampled_from([30.0, 2.0, 0.01]),
)
def test_t1_the_contract_holds_whatever_happens(batch, told, concurrency, seconds):
    """Exactly one key, ids unique and from the event, JSON, and never an exception."""
    FailingCodec.behaviour = told["codec"]
    logs = FailingHandler()
    logs.behaviour = told["logger"]
    context = FakeContext(seconds)
    if told["context"] != "succeed":
        context.get_remaining_time_in_millis = Fails(told["context"])
    handler = build(told, concurrency)
    library = logging.getLogger("sqs_tasks")
    library.addHandler(logs)
    try:
        answer = handler(event(*batch), context)
    finally:
        library.removeHandler(logs)

    ids = failures(json.loads(json.dumps(answer)))
    assert len(set(ids)) == len(ids)
    assert set(ids) <= {one["messageId"] for one in batch}


@settings(max_examples=200, deadline=None)
@given(batch=st.lists(behaviours, max_size=12), concurrency=st.sampled_from([1, 4]))
def test_t1_a_job_that_did_not_succeed_is_never_left_out(batch, concurrency):
    """With a client that accepts nothing no job is done but by success."""
    handler = build(dict.fromkeys(("client",), "value error") | dict.fromkeys(NAMES, "succeed"), concurrency)
    answer = handler(
        event(*(record(f"m{i}", "plain", {"behaviour": behaviour}) for i, behaviour in enumerate(batch))),
        FakeContext(),
    )

    succeeded = {f"m{i}" for i, behaviour in enumerate(batch) if behaviour == "succeed"}
    listed = set(failures(answer))
    assert not listed & succeeded or "memory" in batch, "after a MemoryError the rest is returned unstarted"
    assert listed >= {f"m{i}" for i in range(len(batch))} - succeeded


NAMES = ["pre_task", "post_task", "on_start", "on_settled", "on_finished", "policy", "middleware"]


@settings(max_examples=200, deadline=None)
@given(anything=json_values)
def test_t1_event_of_any_shape_is_answered_or_refused_with_a_clear_error(anything):
    """Any JSON in an event's place gives an answer, or the one error that says it is no SQS event."""
    handler = build(dict.fromkeys(["client", *NAMES], "succeed"), 1)
    for candidate in (anything, {"Records": anything}, {"Records": [anything]}):
        try:
            answer = handler(candidate, None)
        except ValueError as error:
            assert "not an SQS event" in str(error)  # noqa: PT017 - either is right
        else:
            assert failures(answer) == []
