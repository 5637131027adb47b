"""The answer of the handler: its shape, its ids, and what it never does."""

from __future__ import annotations

import json
import logging

import pytest

from sqs_tasks import ConstantBackoff, SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.local.memory import MemorySession
from tests.support.lambda_events import FakeContext, event, failures, record
from tests.support.scripted_client import ScriptedClient, failing, failing_entries, raising


class Function:
    """A handler over a queue that exists, and a task that does what its argument says."""

    def __init__(self, **handler):
        self.client = ScriptedClient(MemorySession(clock=ManualClock()).client("sqs"))
        self.env = SQSEnv(sqs_client=self.client, backoff_policy=ConstantBackoff(40))
        self.queue = self.env.queue("work")
        self.ran = []
        self.queue.processor("work")(self.work)
        self.env.create_queues()
        self.client.counts.clear()
        self.client.calls.clear()
        self.handler = SQSEventHandler(self.env, **handler)

    def work(self, x=0, raises=None):
        self.ran.append(x)
        if raises is not None:
            raise getattr(__builtins__, raises, None) or __builtins__[raises]("told to")

    def __call__(self, *records, context=None):
        return self.handler(event(*records), context or FakeContext())


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr("sqs_tasks.execution.settlement.RETRY_SECONDS", 0)


@pytest.fixture
def function():
    return Function()


def test_event_without_failures_gets_an_empty_list_s10(function):
    """An empty list is how a function says that the whole batch may be deleted (S10)."""
    assert function(record("a"), record("b")) == {"batchItemFailures": []}


def test_empty_event_gets_an_empty_list_s8(function):
    """A console test sends one."""
    assert function() == {"batchItemFailures": []}


def test_success_makes_no_call_to_sqs(function):
    """Lambda deletes what succeeded; the handler spends no request on it."""
    function(record("a"))

    assert not function.client.counts


@pytest.mark.parametrize(
    "other",
    [
        None,
        "text",
        [],
        {},
        {"Records": None},
        {"Records": {}},
        {"key1": "value1"},
        {"source": "aws.events", "detail": {}},
        {"Records": [{"eventSource": "aws:s3"}]},
        {"Records": [{"EventSource": "aws:sns", "Sns": {}}]},
        {"Records": ["text"]},
        {"Records": [{"eventSource": "aws:kinesis", "eventSourceARN": "arn:aws:kinesis:::stream/x"}]},
    ],
)
def test_event_of_another_source_is_refused_before_anything_runs_s8(function, other):
    """A wrong trigger is a clear error, and no task runs because of it."""
    with pytest.raises(ConfigurationError, match="not an SQS event"):
        function.handler(other, FakeContext())

    assert function.ran == []


@pytest.mark.parametrize("name", ["messageId", "eventSourceARN"])
@pytest.mark.parametrize("value", [None, "", 7])
def test_record_that_no_answer_could_name_fails_the_event_before_anything_runs_s11(function, name, value):
    """Lambda would delete it: an answer keeps only what it names."""
    with pytest.raises(ConfigurationError, match=name):
        function(record("a"), {**record("b"), name: value})

    assert function.ran == []


def test_message_that_came_twice_in_an_event_runs_once_s6(function):
    """SQS may deliver a message twice into one batch; its job runs once."""
    twice = {**record("a", arguments={"x": 1}), "receiptHandle": "later"}

    assert function(record("a", arguments={"x": 1}), record("b", arguments={"x": 2}), twice) == {
        "batchItemFailures": []
    }
    assert function.ran == [1, 2]


def test_failed_message_that_came_twice_is_listed_once_and_hidden_by_its_later_receipt_s6(function):
    """Of two receipts only the later one still works, whatever their order in the event."""
    first = record("a", arguments={"raises": "ValueError"}, count=1)
    later = {**record("a", arguments={"raises": "ValueError"}, count=2), "receiptHandle": "later"}
    for records in ((first, later), (later, first)):
        function.client.calls.clear()

        assert failures(function(*records)) == ["a"]
        (request,) = function.client.requests("change_message_visibility_batch")[:1]
        assert [entry["ReceiptHandle"] for entry in request["Entries"]] == ["later"]


@pytest.mark.parametrize(
    "raises", ["ValueError", "SystemExit", "KeyboardInterrupt", "GeneratorExit", "RecursionError", "StopIteration"]
)
def test_whatever_a_task_raises_fails_its_job_alone_s53(function, raises):
    """As any failure: with its backoff, and its attempts counted."""
    assert failures(function(record("a"), record("b", arguments={"raises": raises}), record("c"))) == ["b"]
    (request,) = function.client.requests("change_message_visibility_batch")[:1]
    assert [(entry["ReceiptHandle"], entry["VisibilityTimeout"]) for entry in request["Entries"]] == [
        ("handle-of-b", 40)
    ]


def test_memory_error_stops_the_batch_and_returns_the_rest_s53(function):
    """After a MemoryError no further job starts; the rest is given back for another environment."""
    answer = function(
        record("a", arguments={"x": 1}),
        record("b", arguments={"x": 2, "raises": "MemoryError"}),
        record("c", arguments={"x": 3}),
        record("d", arguments={"x": 4}),
    )

    assert failures(answer) == ["b", "c", "d"]
    assert function.ran == [1, 2]
    (request,) = function.client.requests("change_message_visibility_batch")[:1]
    assert [entry["VisibilityTimeout"] for entry in request["Entries"]] == [40, 0, 0], "the rest may be tried at once"


def test_next_invocation_after_a_memory_error_runs_t3(function):
    """A MemoryError is no lasting state of the handler."""
    function(record("a", arguments={"raises": "MemoryError"}))

    assert failures(function(record("b"))) == []


def test_message_of_an_unregistered_queue_stays_and_is_told(function, caplog):
    """Such a message is listed as failed, and the log names the queues that there are."""
    stray = record("s", arn="arn:aws:sqs:us-east-1:123456789012:others")

    assert failures(function(stray, record("a"))) == ["s"]
    assert "no queue is registered for arn:aws:sqs:us-east-1:123456789012:others (there are work)" in caplog.text


def test_several_event_sources_on_one_function_each_find_their_queue_s4():
    """The ARN of each record decides which queue's tasks run it."""
    function = Function()
    ran = []
    function.env.queue("mail.fifo").processor("send")(lambda: ran.append("send"))
    function.env.queue("resize").processor("resize")(lambda: ran.append("resize"))
    here = "arn:aws:sqs:us-east-1:123456789012:"

    answer = function(
        record("a", "send", arn=f"{here}mail.fifo", group="g"),
        record("b", "resize", arn=f"{here}resize"),
        record("c", "work", arguments={"x": 9}, arn=f"{here}work"),
        record("d", "send", arn=f"{here}resize"),
    )

    assert ran == ["send", "resize"]
    assert function.ran == [9]
    assert failures(answer) == ["d"], "that task is another queue's"


def test_unreadable_record_stays_and_the_others_go_on(function, caplog):
    """One broken record costs the others nothing."""
    odd = {**record("odd"), "messageAttributes": "none"}

    assert failures(function(odd, record("a"))) == ["odd"]
    assert "cannot read a record: its attributes are no object; its message stays in the queue" in caplog.text


def test_unknown_keys_of_a_record_are_normal_s1(function):
    """AWS may add keys to a record at any time."""
    assert function(record("a", newKey={"x": 1}, md5OfMessageAttributes="0" * 32)) == {"batchItemFailures": []}


def test_failing_visibility_call_is_told_and_costs_nothing_else_s21(function, caplog):
    """The failed message is still listed; the warning is all that the failing call leaves."""
    function.client.script("change_message_visibility_batch", *[failing("AccessDenied", 403)] * 10)

    assert failures(function(record("a", arguments={"raises": "ValueError"}), record("b"))) == ["a"]
    assert "could not change the visibility of message a" in caplog.text


def test_entries_that_sqs_refuses_are_told_s21(function, caplog):
    """The code that SQS gave for an entry is in the log."""
    function.client.script("change_message_visibility_batch", failing_entries("ReceiptHandleIsInvalid", "0"))

    assert failures(function(record("a", arguments={"raises": "ValueError"}))) == ["a"]
    assert "ReceiptHandleIsInvalid" in caplog.text


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), MemoryError(), TimeoutError()])
def test_client_may_raise_what_it_likes(function, error):
    """Whatever the SQS client raises, the handler answers."""
    function.client.script("change_message_visibility_batch", *[raising(error)] * 10)

    assert failures(function(record("a", arguments={"raises": "ValueError"}), record("b"))) == ["a"]


def test_visibilities_are_given_up_when_sqs_answers_nothing(function, caplog):
    """A hundred calls that all time out would cost the jobs that could still run."""
    function.client.script("change_message_visibility_batch", *[failing("ServiceUnavailable", 503)] * 100)

    answer = function(*(record(f"m{i}", arguments={"raises": "ValueError"}) for i in range(100)))

    assert len(failures(answer)) == 100
    assert function.client.counts["change_message_visibility_batch"] <= 6
    assert "SQS accepts no visibility changes" in caplog.text


def test_client_that_cannot_be_made_costs_nothing_else():
    """No region, no credentials: the jobs ran all the same."""
    env = SQSEnv(session=type("Broken", (), {"client": lambda *_, **__: 1 / 0})())
    env.queue("work").processor("work")(lambda fail=False: 1 / 0 if fail else None)

    answer = SQSEventHandler(env)(event(record("a"), record("b", arguments={"fail": True})), FakeContext())

    assert failures(answer) == ["b"]


@pytest.mark.parametrize("hook", ["pre_task", "post_task", "on_start", "on_settled", "on_finished"])
@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(2)])
def test_failing_hook_is_passed_over(function, hook, error):
    """A hook that raises, SystemExit included, changes no job's outcome."""

    def fail(*_):
        raise error

    (getattr(function.handler, hook) if hook.startswith("on_") else getattr(function.env, hook))(fail)

    assert failures(function(record("a"), record("b", arguments={"raises": "ValueError"}))) == ["b"]


@pytest.mark.parametrize("hook", ["pre_task", "post_task", "on_settled"])
def test_hook_that_interrupts_ends_its_own_message_alone(function, hook):
    """Nothing is deleted of which nobody knows that it was done."""
    seen = []

    def fail(*_):
        seen.append(1)
        if len(seen) == 1:
            raise KeyboardInterrupt

    (getattr(function.handler, hook) if hook.startswith("on_") else getattr(function.env, hook))(fail)

    assert set(failures(function(record("a"), record("b")))) <= {"a"}


def test_logging_that_raises_costs_at_most_a_repetition(function):
    """With a log handler that raises, the handler still answers, and no failed job is taken for done."""

    class Broken(logging.Handler):
        def emit(self, record):
            raise OSError("no space left on device")

    broken = Broken()
    logging.getLogger("sqs_tasks").addHandler(broken)
    try:
        answer = function(
            record("a"), record("b", arguments={"raises": "ValueError"}), record("c"), {**record("d"), "attributes": 3}
        )
    finally:
        logging.getLogger("sqs_tasks").removeHandler(broken)

    assert {"b", "d"} <= set(failures(answer)) <= {"a", "b", "c", "d"}


@pytest.mark.parametrize("concurrency", [1, 3])
def test_jobs_run_although_neither_hooks_nor_logs_work(concurrency):
    """Jobs run although every log line raises KeyboardInterrupt, in one thread and in several."""
    function = Function(concurrency=concurrency)

    class Broken(logging.Handler):
        def emit(self, record):
            raise KeyboardInterrupt

    broken = Broken()
    logging.getLogger("sqs_tasks").addHandler(broken)
    try:
        answer = function(*(record(f"m{i}", arguments={"x": i, "raises": "ValueError"}) for i in range(8)))
    finally:
        logging.getLogger("sqs_tasks").removeHandler(broken)

    assert sorted(function.ran) == list(range(8))
    assert len(failures(answer)) == 8


def test_answer_is_json(function):
    """Lambda serialises the answer."""
    assert json.loads(json.dumps(function(record("a", arguments={"raises": "ValueError"})))) == {
        "batchItemFailures": [{"itemIdentifier": "a"}]
    }


def test_result_of_a_task_is_no_part_of_the_answer_s11():
    """An answer with anything else in it was taken for a failure by Lambda."""
    env = SQSEnv(session=MemorySession())
    env.queue("work").processor("work")(lambda: {"batchItemFailures": [{"itemIdentifier": ""}]})

    assert SQSEventHandler(env)(event(record("a")), None) == {"batchItemFailures": []}


@pytest.mark.parametrize("context", [None, object(), FakeContext()])
def test_context_may_be_missing_or_poor(function, context):
    """Tests and other runtimes call the handler without Lambda's context."""
    assert function.handler(event(record("a")), context) == {"batchItemFailures": []}


def test_warm_invocations_share_no_failures_t3(function):
    """powertools-typescript#3673 reported the groups of the invocation before."""
    assert failures(function(record("a", arguments={"raises": "ValueError"}))) == ["a"]
    assert failures(function(record("b"))) == []
    assert failures(function(record("c", arguments={"raises": "ValueError"}), record("a"))) == ["c"]


def test_context_of_a_job_is_gone_after_it(function):
    """Context variables are each job's own, and so is env.context."""
    seen = []

    @function.queue.processor("contextual")
    def contextual():
        seen.append(function.env.context.to_dict())
        function.env.context["user"] = 7

    function(record("a", "contextual"), record("b", "contextual"))

    assert seen == [{}, {}]
    assert function.env.context.to_dict() == {}


@pytest.mark.parametrize("failing_count", [1, 10, 11, 25])
def test_t4_visibilities_are_changed_in_tens(function, failing_count):
    """A batch call takes ten entries; every failed message is in one of the calls."""
    records = [record(f"m{i}", arguments={"raises": "ValueError"}) for i in range(failing_count)]

    assert len(failures(function(*records))) == failing_count
    requests = function.client.requests("change_message_visibility_batch")
    handles = [entry["ReceiptHandle"] for request in requests for entry in request["Entries"]]
    assert {len(request["Entries"]) <= 10 for request in requests} == {True}
    assert set(handles) == {f"handle-of-m{i}" for i in range(failing_count)}
    assert all(entry["VisibilityTimeout"] == 40 for request in requests for entry in request["Entries"])


@pytest.mark.parametrize("failing_count", [10, 11, 25])
def test_t4_number_of_calls(function, failing_count):
    """No more calls are made than ten entries a call require."""

    def accept(request):
        return {"Successful": [{"Id": entry["Id"]} for entry in request["Entries"]], "Failed": []}

    function.client.script("change_message_visibility_batch", *[accept] * 10)
    function(*(record(f"m{i}", arguments={"raises": "ValueError"}) for i in range(failing_count)))

    assert function.client.counts["change_message_visibility_batch"] == -(-failing_count // 10)


@pytest.mark.parametrize(
    ("count", "age_seconds", "longest"),
    [(1, 0, 43_200), (1, 300, 42_900), (2, 3_600, 43_140), (2, 10, 43_190), (1, 43_000, 200)],
)
def test_t4_visibility_stays_within_twelve_hours_of_the_receive_s20(function, count, age_seconds, longest):
    """Known for a first delivery; for others the window and a minute are assumed, or less if that is not possible."""
    function.queue.processor("long", backoff_policy=ConstantBackoff(43_200))(lambda: 1 / 0)
    function(record("a", "long", count=count, age_seconds=age_seconds))

    ((entry,),) = [request["Entries"] for request in function.client.requests("change_message_visibility_batch")][:1]
    assert longest - 35 <= entry["VisibilityTimeout"] <= longest


def test_batching_window_counts_towards_the_twelve_hours_s20(monkeypatch):
    """SQS counts 12 hours from the receive, and the message may have waited in the batching window since then."""
    monkeypatch.setenv("SQS_TASKS_BATCHING_WINDOW_SECONDS", "300")
    function = Function()
    function.queue.processor("long", backoff_policy=ConstantBackoff(43_200))(lambda: 1 / 0)
    function(record("a", "long", count=2, age_seconds=9_000))

    ((entry,),) = [request["Entries"] for request in function.client.requests("change_message_visibility_batch")][:1]
    assert 43_200 - 360 - 35 <= entry["VisibilityTimeout"] <= 43_200 - 360


@pytest.mark.parametrize("text", ["soon", "-1", "301", "nan"])
def test_batching_window_that_cannot_be_is_refused_at_the_start(monkeypatch, text):
    """A wrong setting is an error at the cold start, not at the first failure."""
    monkeypatch.setenv("SQS_TASKS_BATCHING_WINDOW_SECONDS", text)

    with pytest.raises(ConfigurationError, match="SQS_TASKS_BATCHING_WINDOW_SECONDS"):
        Function()


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"concurrency": True}, {"margin_seconds": -1}])
def test_options_that_cannot_work_are_refused(options):
    """Concurrency is a positive whole number and the margin is not negative."""
    with pytest.raises(ConfigurationError):
        Function(**options)


def test_eager_acknowledgement_deletes_each_success_when_it_is_done_s15():
    """With eager acknowledgement a success is deleted before the next job starts."""
    function = Function(eager_acknowledgement=True)
    deleted = []
    function.queue.processor("look")(lambda: deleted.append(function.client.counts["delete_message_batch"]))

    answer = function(record("a"), record("b", "look"), record("c", arguments={"raises": "ValueError"}))

    assert deleted == [1], "the first was deleted before the second ran"
    assert function.client.counts["delete_message_batch"] >= 2
    assert failures(answer) == ["c"]


def test_eager_acknowledgement_that_fails_leaves_the_delete_to_lambda():
    """A failed delete is no failure of the job."""
    function = Function(eager_acknowledgement=True)
    function.client.script("delete_message_batch", *[failing("AccessDenied", 403)] * 10)

    assert failures(function(record("a"))) == []


def forget_the_records(made):
    made["Records"].clear()


def change_the_ids(made):
    for one in made["Records"]:
        one["messageId"] = "another"


def take_the_ids(made):
    for one in made["Records"]:
        del one["messageId"]


@pytest.mark.parametrize("change", [forget_the_records, change_the_ids, take_the_ids])
@pytest.mark.parametrize("concurrency", [1, 2])
def test_ids_are_those_that_came_whatever_a_task_does_to_the_event(change, concurrency):
    """An answer with an id that Lambda does not know is none: then it would deliver the whole batch again (S11)."""
    env = SQSEnv(sqs_client=ScriptedClient(MemorySession().client("sqs")))
    made = event(record("a", "change"), record("b", "fail"))

    @env.queue("work").processor("change")
    def work():
        change(made)

    @env.queue("work").processor("fail")
    def fail():
        raise ValueError("no")

    env.create_queues()

    assert "b" in failures(SQSEventHandler(env, concurrency=concurrency)(made, FakeContext()))
    assert set(failures(SQSEventHandler(env)(event(record("a", "fail")), FakeContext()))) == {"a"}
