"""The heartbeat: leases extended in time, in tens, and their loss told to the task."""

from __future__ import annotations

import threading
import time

import pytest

from sqs_tasks.execution.settlement import Unsettled
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.worker import heartbeat as heartbeat_module
from sqs_tasks.worker.heartbeat import Heartbeat
from sqs_tasks.worker.verdicts import GivenVerdict, VerdictCarrier, VerdictRound
from tests.support.polling import until


class Beats:
    """Stands for Settlement: notes the extensions, and refuses handles it is told to."""

    def __init__(self):
        self.hidden = []
        self.codes = {}
        self.entered = threading.Event()
        self.may_go = threading.Event()
        self.may_go.set()
        self.noted = threading.Condition()

    def change_visibility(self, hidden, *, action, retries):
        assert action == "extend"
        self.entered.set()
        self.may_go.wait(10)
        with self.noted:
            self.hidden.append([(message.message_id, seconds) for message, seconds in hidden])
            self.noted.notify_all()
        return [Unsettled(m, self.codes[m.message_id]) for m, _ in hidden if m.message_id in self.codes]

    def wait_for(self, count):
        with self.noted:
            assert self.noted.wait_for(lambda: len(self.hidden) >= count, 10)


def message(number=0, age=0.0):
    return ReceivedMessage(
        message_id=f"m{number}", receipt_handle=f"h{number}", body="", received_at=time.monotonic() - age
    )


@pytest.fixture
def beats():
    return Beats()


@pytest.fixture
def heartbeat(beats):
    # Ticks of 0.1 s: what is received 0.4 s ago is due. Long enough that a busy machine does not beat after its end.
    heartbeat = Heartbeat(beats, 0.8)
    yield heartbeat
    beats.may_go.set()
    heartbeat.stop()


def test_a_message_is_extended_again_and_again(heartbeat, beats):
    """As long as its task runs."""
    heartbeat.add([message()])

    beats.wait_for(3)


def test_messages_received_together_are_extended_together(heartbeat, beats):
    """One call for them all; Settlement cuts it into tens."""
    heartbeat.add([message(n) for n in range(10)])

    beats.wait_for(1)

    assert len(beats.hidden[0]) == 10


def test_a_removed_message_is_left_alone(heartbeat, beats):
    """It stops before settling, or it would undo the backoff."""
    kept, removed = message(0), message(1)
    heartbeat.add([kept, removed])

    heartbeat.remove([removed])

    beats.wait_for(2)
    assert {message_id for beat in beats.hidden for message_id, _ in beat} == {"m0"}


def test_removing_waits_for_the_beat_that_has_the_message(heartbeat, beats):
    """A beat that arrives after the settlement would hide the message for a lease instead of its backoff."""
    beats.may_go.clear()
    heartbeat.add([one := message()])
    assert beats.entered.wait(10)
    removed = threading.Event()

    thread = threading.Thread(target=lambda: (heartbeat.remove([one]), removed.set()))
    thread.start()

    assert not removed.wait(0.05)
    beats.may_go.set()
    assert removed.wait(10)
    thread.join()


@pytest.mark.parametrize("code", ["ReceiptHandleIsInvalid", "MessageNotInflight"])
def test_a_refused_handle_tells_the_task(heartbeat, beats, code):
    """Another worker may have the message now; the task is told, and the beat ends."""
    beats.codes["m0"] = code
    heartbeat.add([one := message()])
    lease = heartbeat.lease(one)

    assert lease.wait_lost(10)

    assert lease.lost
    assert code in lease.reason
    assert heartbeat.lease(one) is None


def test_a_throttled_beat_comes_again(heartbeat, beats):
    """A failure that may pass does not end it (taskiq-aio-sqs stops for good at the first error)."""
    beats.codes["m0"] = "ThrottlingException"
    heartbeat.add([one := message()])
    beats.wait_for(1)
    beats.codes.clear()

    beats.wait_for(3)

    assert heartbeat.lease(one) is not None


def test_a_lease_that_no_beat_reached_is_lost(heartbeat, beats):
    """When the network is away for longer than the lease, the task learns it; the beat goes on, it may yet work."""
    beats.codes["m0"] = "EndpointConnectionError"
    heartbeat.add([one := message()])
    lease = heartbeat.lease(one)

    assert lease.wait_lost(10)

    assert "EndpointConnectionError" in lease.reason
    assert heartbeat.lease(one) is lease


def test_a_beat_after_the_end_of_a_lease_prolongs_nothing(beats):
    """A standard queue accepts it and leaves the message visible (localstack#9632), so the task learns of the loss."""
    heartbeat = Heartbeat(beats, 600)
    heartbeat.add([one := message(age=601)])
    lease = heartbeat.lease(one)

    heartbeat._beat([lease])

    heartbeat.stop()
    assert lease.lost
    assert "came after its end" in lease.reason
    assert heartbeat.lease(one) is None
    assert heartbeat.lost == 1


def test_a_late_beat_that_a_fifo_queue_accepts_prolongs_the_lease(beats):
    """A FIFO queue refuses handles whose time is over, so its OK is proof."""
    heartbeat = Heartbeat(beats, 600, fifo=True)
    heartbeat.add([one := message(age=601)])
    lease = heartbeat.lease(one)

    heartbeat._beat([lease])

    heartbeat.stop()
    assert not lease.lost
    assert heartbeat.lease(one) is lease


def test_twelve_hours_are_the_end(heartbeat, beats):
    """SQS allows no longer (boto/boto3#2898); the task is told, and nothing is asked of SQS."""
    heartbeat.add([one := message(age=43_200)])

    lease = heartbeat.lease(one)

    assert lease is None or lease.wait_lost(10)
    assert beats.hidden in ([], [[]])


def test_near_the_twelve_hours_less_is_asked_for(beats):
    """Never more than SQS still allows, which it would refuse altogether."""
    heartbeat = Heartbeat(beats, 600)
    heartbeat.add([one := message(age=43_000)])

    heartbeat._beat([heartbeat.lease(one)])

    heartbeat.stop()
    ((_, seconds),) = beats.hidden[0]
    assert 100 <= seconds <= 200


def test_a_callback_that_raises_does_not_end_the_beat(heartbeat, beats, caplog):
    """A task's mistake is not the other tasks' problem."""
    beats.codes["m0"] = "ReceiptHandleIsInvalid"
    heartbeat.add([one := message(0), message(1)])
    lease = heartbeat.lease(one)
    lease.on_lost(lambda _: 1 / 0)

    assert lease.wait_lost(10)

    beats.wait_for(len(beats.hidden) + 2)
    assert any(r.action == "lease_callback_failed" for r in caplog.records)


def test_on_lost_after_the_loss_is_called_at_once(heartbeat, beats):
    """There is no moment in which the news gets lost."""
    beats.codes["m0"] = "ReceiptHandleIsInvalid"
    heartbeat.add([one := message()])
    lease = heartbeat.lease(one)
    assert lease.wait_lost(10)
    told = []

    lease.on_lost(told.append)

    assert told == [lease]


class Unanswered(Beats):
    """Answers no beat that has one of these messages, until the end of the test."""

    def __init__(self, *message_ids):
        super().__init__()
        self.message_ids = set(message_ids)
        self.over = threading.Event()

    def change_visibility(self, hidden, *, action="change_visibility", retries=3):
        if action == "extend" and self.message_ids.intersection(message.message_id for message, _ in hidden):
            self.entered.set()
            self.over.wait(10)
        with self.noted:
            self.hidden.append([(message.message_id, seconds) for message, seconds in hidden])
            self.noted.notify_all()
        return []


def test_beats_go_beside_one_that_is_not_answered(monkeypatch):
    """Ten messages of a call that hangs take no other along."""
    monkeypatch.setattr(heartbeat_module, "BESIDE_SECONDS", 0.01)
    beats = Unanswered("m0")
    heartbeat = Heartbeat(beats, 0.8)
    heartbeat.add([message(n) for n in range(20)])

    beats.wait_for(3)

    assert {message_id for beat in beats.hidden for message_id, _ in beat} == {f"m{n}" for n in range(10, 20)}
    beats.over.set()
    heartbeat.stop()


def test_a_lease_survives_a_beat_that_is_lost():
    """The next look sends another; a lease of 30 seconds has time for three."""
    beats = Unanswered("m0")
    heartbeat = Heartbeat(beats, 2)
    heartbeat.add([one := message()])
    assert beats.entered.wait(10)

    beats.message_ids.clear()  # from now on they are answered

    beats.wait_for(1)
    assert not heartbeat.lease(one).lost
    beats.over.set()
    heartbeat.stop()


def test_a_lease_whose_beats_are_not_answered_is_lost_at_its_end():
    """The task learns it then, and not when the connection times out."""
    beats = Unanswered("m0")
    heartbeat = Heartbeat(beats, 0.8)
    heartbeat.add([one := message()])

    assert heartbeat.lease(one).wait_lost(5)

    assert "no heartbeat was answered" in heartbeat.lease(one).reason
    assert heartbeat.lost == 1
    beats.over.set()
    heartbeat.stop()


def test_settling_waits_no_longer_than_a_moment_for_a_beat(monkeypatch):
    """And says whose change of visibility the beat may undo."""
    monkeypatch.setattr(heartbeat_module, "SETTLE_WAIT_SECONDS", 0.05)
    beats = Unanswered("m0")
    heartbeat = Heartbeat(beats, 0.8)
    heartbeat.add([one := message(0), other := message(1)])
    assert beats.entered.wait(10)

    assert heartbeat.remove([other, one]) == [other, one]

    beats.over.set()
    until(lambda: heartbeat.remove([other, one]) == [], what="the beat is answered", every=0.01)
    heartbeat.stop()


def test_a_backoff_that_a_late_beat_undid_is_asked_for_again(monkeypatch):
    """The message comes back after its backoff, not after a whole lease."""
    monkeypatch.setattr(heartbeat_module, "SETTLE_WAIT_SECONDS", 0.05)
    beats = Unanswered("m0")
    heartbeat = Heartbeat(beats, 0.8)
    heartbeat.add([one := message()])
    assert beats.entered.wait(10)
    carrier = VerdictCarrier(beats, heartbeat, patience_seconds=60, on_unsettled=lambda _: None)
    given = time.monotonic()

    assert carrier.carry_out(VerdictRound([], [GivenVerdict(one, 30, given)])) == []

    assert beats.hidden == [[("m0", 30)]]
    beats.over.set()
    beats.wait_for(3)
    assert beats.hidden[-1][0][0] == "m0"
    assert 25 <= beats.hidden[-1][0][1] <= 30
    heartbeat.stop()


def test_a_message_is_kept_alive_until_its_delete_is_answered(heartbeat, beats, caplog):
    """A delete that takes its time must not have a job run again that is done; that a beat fails then means nothing."""
    heartbeat.add([one := message()])
    lease = heartbeat.lease(one)
    heartbeat.settling([one])

    beats.wait_for(2)

    assert heartbeat.messages() == []
    beats.codes["m0"] = "ReceiptHandleIsInvalid"
    until(lambda: heartbeat.lease(one) is None, what="a beat is refused", every=0.01)
    assert not lease.lost
    assert heartbeat.lost == 0
