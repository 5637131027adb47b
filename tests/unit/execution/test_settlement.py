"""Settlement: calls in tens, every Failed entry read, tried again where that can help."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqs_tasks.execution.settlement import RETRIES, Settlement, longest_visibility
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.outcome import ChangeVisibility, Leave, NotStarted, Retried, UnknownTask
from tests.support.scripted_client import ScriptedClient, failing, failing_entries, raising


class AcceptsAll:
    """Says yes to every batch call."""

    def _batch(self, **request):
        return {"Successful": [{"Id": entry["Id"]} for entry in request["Entries"]]}

    delete_message_batch = change_message_visibility_batch = _batch


def message(number=0, **changes):
    return ReceivedMessage(message_id=f"m{number}", receipt_handle=f"h{number}", body="", **changes)


@pytest.fixture
def sqs():
    return ScriptedClient(AcceptsAll())


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def settlement(sqs, pauses):
    return Settlement(
        queue_name="jobs",
        client=lambda: sqs,
        queue_url=lambda: "http://sqs/jobs",
        dead_letters=None,
        sleep=pauses.append,
    )


@pytest.mark.parametrize(("count", "calls"), [(0, 0), (1, 1), (10, 1), (11, 2), (25, 3)])
def test_calls_go_in_tens(settlement, sqs, count, calls):
    """10 entries a call, ids distinct within each (redpanda-data/connect#182)."""
    assert settlement.delete([message(n) for n in range(count)]) == []

    requests = sqs.requests("delete_message_batch")
    assert len(requests) == calls
    assert sum(len(request["Entries"]) for request in requests) == count
    assert all(len({e["Id"] for e in request["Entries"]}) == len(request["Entries"]) for request in requests)


def test_failed_entries_are_tried_again_alone(settlement, sqs, pauses):
    """A delete that failed is not a success (fault W18); those that succeeded are not repeated."""
    sqs.script("delete_message_batch", failing_entries("InternalError", "1", "3"))

    assert settlement.delete([message(n) for n in range(5)]) == []

    _, second = sqs.requests("delete_message_batch")
    assert [entry["ReceiptHandle"] for entry in second["Entries"]] == ["h1", "h3"]
    assert len(pauses) == 1


def test_throttling_is_waited_for_with_doubling_pauses(settlement, sqs, pauses):
    """SQS asked for slowness and gets it."""
    sqs.script("delete_message_batch", *[failing("ThrottlingException")] * RETRIES)

    assert settlement.delete([message()]) == []

    assert pauses == [0.1, 0.2, 0.4]


def test_what_stays_unsettled_is_returned_and_logged(settlement, sqs, caplog):
    """After the last try the caller knows which, and why; nothing is raised."""
    sqs.script("delete_message_batch", *[failing_entries("InternalError", "0")] * (RETRIES + 1))

    (unsettled,) = settlement.delete([message(0), message(1)])

    assert (unsettled.message.message_id, unsettled.code, unsettled.is_final) == ("m0", "InternalError", False)
    (record,) = [r for r in caplog.records if r.action == "delete_failed"]
    assert (record.message_id, record.queue_name) == ("m0", "jobs")


def test_expired_handle_is_logged_and_not_tried_again(settlement, sqs, pauses):
    """An old handle ends neither the loop nor the others' settling (fault S8, celery/kombu#1199)."""
    sqs.script("delete_message_batch", failing_entries("ReceiptHandleIsInvalid", "0", sender_fault=True))

    (unsettled,) = settlement.delete([message(0), message(1)])

    assert unsettled.is_final
    assert pauses == []


@pytest.mark.parametrize("error", [ConnectionResetError("reset"), OSError("no route to host"), RuntimeError("odd")])
def test_any_exception_counts_as_the_failure_of_all_entries(settlement, sqs, error):
    """Whatever the client raises is tried again."""
    sqs.script("change_message_visibility_batch", raising(error))

    assert settlement.change_visibility([(message(n), 5) for n in range(3)]) == []

    assert sqs.counts["change_message_visibility_batch"] == 2


def test_a_failing_chunk_does_not_keep_the_next_from_its_turn(settlement, sqs):
    """Ten that cannot be deleted are no reason to keep the eleventh."""
    sqs.script("delete_message_batch", *[failing("InternalError", 500)] * (RETRIES + 1))

    unsettled = settlement.delete([message(n) for n in range(11)])

    assert [one.message.message_id for one in unsettled] == [f"m{n}" for n in range(10)]


@given(
    seconds=st.one_of(st.none(), st.integers(0, 10**6)),
    elapsed=st.floats(0, 50_000),
)
def test_visibility_is_an_integer_within_what_sqs_still_allows(seconds, elapsed):
    """0 to 43,200 less the time since the receive: SQS refuses more instead of cutting it (S20)."""
    settlement = Settlement(queue_name="jobs", client=dict, queue_url=str, dead_letters=None)
    received = message(received_at=time.monotonic() - elapsed)

    verdict = settlement.conclude(received, Retried(delay_seconds=seconds, reason=""))

    if seconds is None:
        assert isinstance(verdict, Leave)
    else:
        assert isinstance(verdict, ChangeVisibility)
        assert type(verdict.seconds) is int
        assert 0 <= verdict.seconds <= max(43_200 - elapsed, 0)
        assert verdict.seconds <= seconds


def test_unknown_and_unstarted_are_hidden_for_their_seconds(settlement):
    """Neither is ever deleted."""
    assert settlement.conclude(message(), UnknownTask(job_name="x", delay_seconds=6)) == ChangeVisibility(6)
    assert settlement.conclude(message(), NotStarted(reason="stopping")) == ChangeVisibility(0)


def test_twelve_hours_after_the_receive_nothing_can_be_hidden():
    """The longest visibility shrinks to nothing."""
    assert longest_visibility(message(received_at=time.monotonic() - 43_200)) == 0
