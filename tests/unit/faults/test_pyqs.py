"""The faults of PyQS, P1 to P12: each is provoked here, and does not happen."""

from __future__ import annotations

import base64
import json
import pickle
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from sqs_tasks import ConstantBackoff, RawQueue, readers
from sqs_tasks.errors import ConfigurationError, QueueNotFoundError
from sqs_tasks.outcome import BatchProcessingResult
from sqs_tasks.shutdown_policies import MaxTasksShutdown
from sqs_tasks.testing import drain
from tests.support.queues import Desk, Terminated

CELERY = [readers.pyqs, readers.celery]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def put(desk: Desk, queue, body: str) -> None:
    desk.memory.send_message(QueueUrl=queue.queue_url, MessageBody=body)


def celery(body: bytes, content_type: str, headers: dict | None = None) -> str:
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-type": content_type,
            "content-encoding": "utf-8",
            "headers": headers or {},
            "properties": {"body_encoding": "base64", "delivery_tag": "x"},
        }
    )


def test_p1_no_module_is_imported_because_a_message_names_it(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dotted path is a name to look up among the registered tasks, and nothing more."""
    (tmp_path / "p1_trap.py").write_text("def spring(): raise SystemExit('sprung')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    queue = desk.env.queue("emails", readers=CELERY)
    desk.create()
    put(desk, queue, '{"task": "p1_trap.spring", "args": [], "kwargs": {}}')
    queue.add_job("p1_trap.spring")

    result = queue.process_batch()

    assert result.failed_count() == 2
    assert "p1_trap" not in sys.modules


class Trap:
    sprung = False

    def __reduce__(self):
        return setattr, (Trap, "sprung", True)


def test_p2_a_celery_pickle_is_not_loaded(desk: Desk) -> None:
    """It goes to the dead-letter queue unread, as long as the consumer has not put pickle on its list."""
    queue = desk.env.queue("emails", readers=CELERY)
    desk.create()
    put(
        desk,
        queue,
        celery(pickle.dumps({"task": "t", "args": [Trap()], "kwargs": {}}), "application/x-python-serialize"),
    )
    put(desk, queue, base64.b64encode(pickle.dumps(Trap())).decode())

    queue.process_batch()

    assert not Trap.sprung
    assert len(desk.bodies("emails_dead")) == 2


def test_p3_formats_are_told_apart_by_their_keys(desk: Desk) -> None:
    """Celery's protocol 2 is read, and a text that holds the word "task" is nobody's job."""
    queue, ran = desk.env.queue("emails", readers=CELERY), []
    queue.processor("shop.send")(lambda to, n=0: ran.append((to, n)))
    desk.create()
    headers = {"lang": "py", "task": "shop.send", "id": "6f7c", "argsrepr": "('a',)", "kwargsrepr": "{}"}
    put(desk, queue, celery(json.dumps([["a"], {"n": 1}, {"callbacks": None}]).encode(), "application/json", headers))
    put(desk, queue, '{"task": "shop.send", "args": ["b"], "kwargs": {}}')
    put(desk, queue, 'a "task" of another kind')
    put(desk, queue, '{"title": "the task", "args": []}')

    queue.process_batch()

    assert sorted(ran) == [("a", 1), ("b", 0)]
    assert len(desk.bodies("emails_dead")) == 2


def test_p4_poison_waits_with_backoff_and_restarts_nothing(desk: Desk) -> None:
    """A message that no attempt can read, in a queue without a dead-letter queue, comes back later and later."""
    queue, ran = desk.env.queue("emails", dead_letter_queue=None, backoff_policy=ConstantBackoff(60)), []
    queue.processor("send")(lambda: ran.append(threading.get_ident()))
    desk.create()
    put(desk, queue, "poison")
    queue.add_job("send")
    threads = set(threading.enumerate())

    for _ in range(3):
        queue.process_queue(MaxTasksShutdown(1))

    assert ran == [threading.get_ident()]
    assert set(threading.enumerate()) <= threads
    assert desk.states("emails") == ["in_flight"]
    assert desk.stored("emails")[0].message.receive_count <= 2


def test_p5_each_queue_has_one_poller_however_long_it_runs(desk: Desk) -> None:
    """Working two queues takes two polling threads, in the first turn as in the fiftieth."""
    seen: list[Counter] = []

    class Watch:
        turns = 0

        def update_state(self, batch_processing_result: BatchProcessingResult) -> None:
            Watch.turns += 1
            seen.append(Counter(one.name for one in threading.enumerate() if "poll" in one.name))

        def need_shutdown(self) -> bool:
            return Watch.turns >= 50

    for name in ("one", "two"):
        desk.env.queue(name).processor("send")(lambda: None)
    desk.create()

    desk.env.process_queues(shutdown_policy_maker=Watch)

    assert {name for count in seen for name in count} == {"sqs-tasks-poll-one", "sqs-tasks-poll-two"}
    assert max(max(count.values()) for count in seen) == 1


def test_p6_waiting_messages_burn_no_receives(desk: Desk) -> None:
    """What was received with a long job is kept invisible behind it and then run, not thrown away and received again."""
    queue = desk.env.queue("emails", max_receive_count=1, visibility_timeout_seconds=2)
    extended, counts = threading.Event(), []

    def extend(request):
        if len(request["Entries"]) == 5:
            extended.set()

    desk.sqs.script("change_message_visibility_batch", extend)

    @queue.processor("send")
    def send():
        assert extended.wait(10)
        counts.extend(one.message.receive_count for one in desk.stored("emails")[:1])

    desk.create()
    for _ in range(5):
        send.delay()
    result = queue.process_batch()

    assert result.succeeded_count() == 5
    assert counts == [1] * 5
    assert desk.bodies("emails_dead") == []


def test_p7_queues_are_chosen_by_name_glob_and_url_without_listing(desk: Desk) -> None:
    """Among the registered queues only, so that ListQueues and its pages are not needed."""
    for name in ("mail-in", "mail-out", "orders"):
        desk.env.queue(name).processor("send")(lambda: None)
    url = "https://sqs.eu-west-1.amazonaws.com/123456789012/other-team"
    desk.env.queue(url)

    def chosen(*names: str) -> list[str]:
        return [queue.name for queue in desk.env.select_queues(*names)]

    assert chosen("mail-*") == ["mail-in", "mail-out"]
    assert chosen("orders", "mail-in") == ["mail-in", "orders"]
    assert chosen(url) == ["other-team"]
    with pytest.raises(ConfigurationError, match="no registered queue matches 'mail-in,mail-out'"):
        chosen("mail-in,mail-out")
    assert desk.sqs.calls == []


def test_p8_a_send_is_one_call(desk: Desk) -> None:
    """One client, the URL asked for once, no queue created, the id returned, arguments checked."""
    queue = desk.env.queue("emails")
    send = queue.processor("send")(lambda subject, message: None)
    desk.create()
    desk.env.urls.forget("emails")

    ids = [send.delay("s", "m"), send.delay("s", "m")]

    assert desk.sqs.counts == {"get_queue_url": 1, "send_message": 2}
    assert [str(one) for one in ids] == [one.message.message_id for one in desk.stored("emails")]
    with pytest.raises(TypeError, match="missing a required argument: 'message'"):
        send.delay(subject="Hi there")
    with pytest.raises(QueueNotFoundError, match="no queue 'typo'"):
        desk.env.queue("typo").add_job("send")
    assert desk.sqs.counts["create_queue"] == 0


def test_p9_what_has_not_started_is_given_back_at_the_stop(desk: Desk) -> None:
    """Received with the running job and not begun: visible again at once, for the next worker."""
    queue = desk.env.queue("emails")
    queue.processor("send")(lambda: worker.kill())  # noqa: PLW0108 - there is no worker yet
    worker = Terminated(queue)
    desk.create()
    for _ in range(5):
        queue.add_job("send")

    worker.run()

    assert desk.states("emails") == ["ready"] * 4


def test_p10_a_failing_hook_hurts_nobody(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the send nor the task fails, the next callback runs, and the error is in the log."""
    queue, ran = desk.env.queue("emails"), []
    queue.processor("send")(lambda: ran.append("task"))
    desk.create()
    env = desk.env
    for hook in (env.pre_send, env.post_send, env.pre_task, env.post_task, env.report_queue_stats):
        hook(lambda *args: 1 / 0)
        hook(lambda *args, name=hook.name: ran.append(name))
    queue.add_job("send")

    queue.process_queue(MaxTasksShutdown(1))

    assert [one for one in ran if one != "report_queue_stats"] == [
        "pre_send",
        "post_send",
        "pre_task",
        "task",
        "post_task",
    ]
    assert "report_queue_stats" in ran
    assert desk.bodies("emails") == []
    assert caplog.text.count("hook") >= 5


def test_p11_an_idle_worker_rests(desk: Desk) -> None:
    """One call for each poll of twenty seconds, but for the first, which does not wait, and no loop beside it."""
    queue = desk.env.queue("emails")
    queue.processor("send")(lambda: None)
    desk.create()
    began = desk.session.clock.now()

    class FivePolls:
        polls = 0

        def update_state(self, batch_processing_result: BatchProcessingResult) -> None:
            self.polls += 1

        def need_shutdown(self) -> bool:
            return self.polls >= 5

    queue.process_queue(FivePolls())

    assert desk.sqs.counts == {"get_queue_url": 1, "receive_message": 5}
    assert desk.session.clock.now() - began == 80


def test_p12_fifo_attributes_backoff_and_visibility_are_there(desk: Desk) -> None:
    """Groups and deduplication, attributes, a backoff for each task, a visibility for each queue."""
    fifo = desk.env.queue("orders.fifo")
    queue = desk.env.queue("emails", visibility_timeout_seconds=90)
    raw = desk.env.queue("events", RawQueue)

    @queue.processor("send", backoff_policy=ConstantBackoff(45))
    def send():
        raise ValueError

    desk.create()
    fifo.add_job("ship", _group_id="a", _deduplication_id="1")
    fifo.add_job("ship", _group_id="a", _deduplication_id="1")
    raw.add_raw_job("x", message_attributes={"Tenant": "blue"})
    send.delay()
    queue.process_batch()
    drained = drain(queue, raise_errors=False)

    assert len(desk.bodies("orders.fifo")) == 1
    assert desk.stored("events")[0].message.attribute("Tenant") == "blue"
    assert desk.sqs.requests("receive_message")[0]["VisibilityTimeout"] == 90
    assert desk.sqs.requests("change_message_visibility_batch")[-1]["Entries"][0]["VisibilityTimeout"] == 45
    assert drained.runs == []
