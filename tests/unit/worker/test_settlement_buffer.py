"""The settlement buffer: tens by count or by a moment, and patience in an outage."""

from __future__ import annotations

import threading
import time

import pytest

from sqs_tasks.execution.settlement import Unsettled
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.outcome import DELETE, LEAVE, ChangeVisibility
from sqs_tasks.worker import settlement_buffer, verdicts
from sqs_tasks.worker.heartbeat import Heartbeat
from sqs_tasks.worker.settlement_buffer import SettlementBuffer
from sqs_tasks.worker.verdicts import VerdictCarrier, WaitingVerdicts


class Recorder:
    """Stands for Settlement: notes each call, and fails as long as it is told to."""

    def __init__(self):
        self.calls = []
        self.code = None
        self.called = threading.Condition()

    def delete(self, messages):
        return self._note("delete", list(messages), list(messages))

    def change_visibility(self, hidden, *, retries=3):
        return self._note(
            "change_visibility", [message for message, _ in hidden], [(m.message_id, s) for m, s in hidden]
        )

    def _note(self, action, messages, told):
        with self.called:
            self.calls.append((action, told))
            self.called.notify_all()
            return [] if self.code is None else [Unsettled(message, self.code) for message in messages]

    def wait_for(self, count):
        with self.called:
            assert self.called.wait_for(lambda: len(self.calls) >= count, 10), self.calls


def message(number=0):
    return ReceivedMessage(message_id=f"m{number}", receipt_handle=f"h{number}", body="")


@pytest.fixture
def settlement():
    return Recorder()


@pytest.fixture
def make(settlement):
    made = []

    def make(**options):
        heartbeat = Heartbeat(settlement, 60)
        options = {"patience_seconds": 60, "linger_seconds": 3600, **options}
        buffer = SettlementBuffer(settlement, heartbeat, **options)
        made.append((buffer, heartbeat))
        return buffer

    yield make
    for buffer, heartbeat in made:
        buffer.close()
        heartbeat.stop()


def test_ten_of_a_kind_leave_at_once(make, settlement):
    """Nobody waits once a call is full."""
    buffer = make()

    for number in range(10):
        buffer.add(message(number), DELETE)

    settlement.wait_for(1)
    assert len(settlement.calls[0][1]) == 10


def test_fewer_leave_after_a_moment(make, settlement):
    """A verdict waits for company no longer than the linger."""
    buffer = make(linger_seconds=0.01)

    buffer.add(message(), ChangeVisibility(5))

    settlement.wait_for(1)
    assert settlement.calls == [("change_visibility", [("m0", 5)])]


def test_urgent_ones_leave_at_once(make, settlement):
    """A FIFO group is locked until its message is settled."""
    buffer = make()

    buffer.add(message(), DELETE, urgent=True)

    settlement.wait_for(1)


def test_what_is_left_to_the_queue_costs_nothing(make, settlement):
    """Leave is no call."""
    buffer = make()

    buffer.add(message(), LEAVE)
    buffer.flush()

    assert settlement.calls == []


def test_close_settles_what_is_left(make, settlement):
    """The end is no reason to forget."""
    buffer = make()
    buffer.add(message(0), DELETE)
    buffer.add(message(1), ChangeVisibility(3))

    assert buffer.close()

    assert sorted(action for action, _ in settlement.calls) == ["change_visibility", "delete"]


def test_an_outage_is_waited_out(make, settlement, monkeypatch):
    """A job that is done must not run again because SQS was away when it ended."""
    monkeypatch.setattr(settlement_buffer, "MIN_PAUSE", 0.01)
    monkeypatch.setattr(settlement_buffer, "MAX_PAUSE", 0.01)
    settlement.code = "EndpointConnectionError"
    lost = []
    buffer = make(on_unsettled=lost.append)
    buffer.add(message(), DELETE, urgent=True)
    settlement.wait_for(3)

    settlement.code = None
    buffer.flush()

    assert buffer.close()
    assert lost == []


def test_patience_ends(make, settlement, monkeypatch):
    """What nobody takes for a whole lease is given up, and said so."""
    monkeypatch.setattr(settlement_buffer, "MIN_PAUSE", 0.01)
    settlement.code = "InternalError"
    lost = []
    buffer = make(patience_seconds=0, on_unsettled=lost.append)

    buffer.add(message(), DELETE, urgent=True)

    assert buffer.close()
    assert [one.code for one in lost] == ["InternalError"]


def test_final_failures_are_not_tried_again(make, settlement):
    """A handle that is too old stays so."""
    settlement.code = "ReceiptHandleIsInvalid"
    lost = []
    buffer = make(on_unsettled=lost.append)

    buffer.add(message(), DELETE)

    assert buffer.close()
    assert len(settlement.calls) == 1
    assert len(lost) == 1


def test_closing_gives_up_in_time_when_nobody_answers(make, settlement):
    """The end of the process does not wait for an endpoint that is away."""
    settlement.code = "EndpointConnectionError"
    buffer = make()
    buffer.add(message(), DELETE, urgent=True)
    settlement.wait_for(1)

    started = time.monotonic()

    assert not buffer.close(0.05)
    assert time.monotonic() - started < 5
    settlement.code = None


def test_a_backoff_counts_from_its_verdict(settlement, monkeypatch):
    """Seconds spent waiting for SQS are part of the backoff, not on top of it."""
    now = [1000.0]
    monkeypatch.setattr(verdicts.time, "monotonic", lambda: now[0])
    waiting = WaitingVerdicts()
    waiting.add(message(), ChangeVisibility(30))
    now[0] += 10
    carrier = VerdictCarrier(
        settlement, Heartbeat(settlement, 60), patience_seconds=60, on_unsettled=lambda one: pytest.fail(str(one))
    )

    assert carrier.carry_out(waiting.take(whole=True)) == []

    assert settlement.calls == [("change_visibility", [("m0", 20)])]


def test_a_message_leaves_the_heartbeat_before_it_is_settled(make, settlement, monkeypatch):
    """A beat after the settlement would undo the backoff; and until then it is kept alive, however late that is."""
    buffer = make(linger_seconds=3600)
    heartbeat = buffer._carrier._heartbeat
    one = message()
    heartbeat.add([one])
    beating = []
    monkeypatch.setattr(settlement, "change_visibility", lambda hidden: beating.append(heartbeat.lease(one)) or [])
    buffer.add(one, ChangeVisibility(5))
    assert heartbeat.lease(one) is not None

    buffer.flush()

    assert beating == [None]


def test_a_helper_settles_full_tens_in_its_own_thread(make, settlement, monkeypatch):
    """The polling thread of a worker that runs jobs itself; what is left over waits for company or its moment."""
    buffer = make()
    buffer.help()
    threads = []
    delete = settlement.delete
    monkeypatch.setattr(
        settlement, "delete", lambda messages: threads.append(threading.get_ident()) or delete(messages)
    )
    for number in range(13):
        buffer.add(message(number), DELETE)

    buffer.help()

    assert threads == [threading.get_ident()]
    assert len(settlement.calls[0][1]) == 10
    assert len(buffer) == 3
    buffer.flush()
    assert len(settlement.calls[1][1]) == 3


def test_what_a_helper_cannot_settle_is_kept(make, settlement, monkeypatch):
    """An outage is waited out all the same, by the settle thread."""
    monkeypatch.setattr(settlement_buffer, "MIN_PAUSE", 0.01)
    monkeypatch.setattr(settlement_buffer, "MAX_PAUSE", 0.01)
    buffer = make()
    settlement.code = "EndpointConnectionError"
    for number in range(10):
        buffer.add(message(number), DELETE)
    buffer.help()
    settlement.wait_for(2)

    settlement.code = None
    buffer.flush()

    assert buffer.close()
    assert len(buffer) == 0


def test_full_tens_leave_and_the_rest_waits(make, settlement):
    """Two kinds at once: one of them full does not part the other."""
    buffer = make()
    for number in range(3):
        buffer.add(message(number), ChangeVisibility(5))
    for number in range(10, 20):
        buffer.add(message(number), DELETE)

    settlement.wait_for(1)

    assert [action for action, _ in settlement.calls] == ["delete"]
    assert len(settlement.calls[0][1]) == 10


def test_room_is_made_by_settling(make, settlement):
    """More is received only while little is done and not settled."""
    buffer = make()
    settlement.code = "InternalError"
    for number in range(settlement_buffer.MAX_UNSETTLED):
        buffer.add(message(number), DELETE)
    settlement.wait_for(1)

    assert not buffer.wait_for_room(0.01)

    settlement.code = None
    assert buffer.wait_for_room(10)


class SilentAtFirst(Recorder):
    """Does not answer the first call, until the end of the test."""

    def __init__(self):
        super().__init__()
        self.entered, self.over = threading.Event(), threading.Event()

    def delete(self, messages):
        if not self.entered.is_set():
            self.entered.set()
            self.over.wait(10)
            return []
        return super().delete(messages)


@pytest.mark.parametrize("by", ["the settle thread", "a helper"])
def test_a_call_that_is_not_answered_is_made_again_by_another_thread(by, caplog):
    """All other verdicts would wait for it, and no more would be received."""
    settlement = SilentAtFirst()
    heartbeat = Heartbeat(settlement, 60)
    buffer = SettlementBuffer(settlement, heartbeat, patience_seconds=60, answer_seconds=60, linger_seconds=3600)
    numbers = range(10)
    if by == "a helper":
        buffer.help()
    for number in numbers:
        buffer.add(message(number), DELETE)
    helper = threading.Thread(target=buffer.help)
    if by == "a helper":
        helper.start()
    assert settlement.entered.wait(10)
    buffer.look()
    assert settlement.calls == []  # it has not waited long enough

    buffer._answer_seconds = 0
    buffer.look()

    settlement.wait_for(1)
    assert sorted(one.message_id for one in settlement.calls[0][1]) == sorted(f"m{n}" for n in numbers)
    assert buffer.close(10)
    assert len(buffer) == 0
    settlement.over.set()
    if by == "a helper":
        helper.join(10)
    assert len(settlement.calls) == 1
    assert "SQS has not answered" in caplog.text
