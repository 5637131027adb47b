"""Messages and outcomes between the worker and a child: what goes in comes out, and nothing else does."""

from __future__ import annotations

import dataclasses
import socket
import threading
import typing

import pytest

from sqs_tasks.errors import RemoteError, type_name_of
from sqs_tasks.execution.failure_details import application_frames, cause_of
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.outcome import NotStarted, Outcome, Postponed, Rejected, Retried, Skipped, Succeeded, UnknownTask
from sqs_tasks.worker.children.forms import message_form, message_of, outcome_form, outcome_of_form, outcomes_of_forms
from sqs_tasks.worker.children.frames import ConnectionOverError, Frames

OUTCOMES = [
    Succeeded(),
    Retried(delay_seconds=None, reason="no"),
    Retried(delay_seconds=90_000, reason="\ud800 no", attempts=3),
    Rejected(reason="never", delay_seconds=5),
    UnknownTask(job_name="x" * 1000, delay_seconds=15),
    NotStarted(reason="stop"),
    Postponed(delay_seconds=3, attempts=1, reason="later", is_known=True),
    Skipped(reason="late", is_cancelled=True, was_done=True),
]


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    pair = Frames(ours), Frames(theirs)
    yield pair
    for one in pair:
        one.close()


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda one: type(one).__name__)
def test_outcomes_arrive_as_they_left(ends, outcome):
    """All seven, with each of their fields."""
    ends[0].send(outcome_form(outcome))

    assert outcome_of_form(ends[1].receive()) == outcome


def test_every_outcome_has_a_form_with_all_its_fields():
    """One that is new, or has a new field, must not arrive as something else."""
    assert {type(one) for one in OUTCOMES} == set(typing.get_args(Outcome))
    for outcome in OUTCOMES:
        fields = {field.name for field in dataclasses.fields(outcome)} - {"error"}
        assert outcome_form(outcome).keys() - {"kind", "error"} == fields


def test_of_an_exception_its_types_name_arrives(ends):
    """It is what dead letters and logs say; the exception itself never leaves its process."""
    ends[0].send(outcome_form(Rejected(reason="no", delay_seconds=1, error=ZeroDivisionError("secret"))))

    arrived = outcome_of_form(ends[1].receive())

    assert isinstance(arrived.error, RemoteError)
    assert type_name_of(arrived.error) == "ZeroDivisionError"
    assert "secret" not in str(arrived.error)


def test_of_an_exception_its_lines_and_its_cause_arrive(ends):
    """A dead letter of an isolated job names the lines of the application, too."""
    try:
        try:
            raise KeyError("secret")
        except KeyError as cause:
            raise ValueError("secret") from cause
    except ValueError as error:
        ends[0].send(outcome_form(Rejected(reason="no", delay_seconds=1, error=error)))

    arrived = outcome_of_form(ends[1].receive()).error

    assert application_frames(arrived)[-1].endswith(":test_of_an_exception_its_lines_and_its_cause_arrive")
    assert cause_of(arrived) == "KeyError"
    assert "secret" not in str(vars(arrived))


def test_messages_arrive_as_they_left(ends):
    """With binary attributes, half characters and megabytes."""
    message = ReceivedMessage(
        message_id="m",
        receipt_handle="r",
        body="\ud800 é" * 300_000,
        attributes={"ApproximateReceiveCount": "3"},
        message_attributes={
            "JobName": {"DataType": "String", "StringValue": "go"},
            "Key": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
        },
        received_at=17.5,
    )
    threading.Thread(target=ends[0].send, args=(message_form(message),)).start()

    assert message_of(ends[1].receive()) == message


def test_a_large_frame_waits_for_a_reader_that_is_late(ends):
    """Also where its sender has waited for an answer for a moment only."""
    assert ends[0].receive(0.001) is None
    sent = threading.Thread(target=ends[0].send, args=({"body": "x" * 3_000_000},))
    sent.start()
    sent.join(0.1)
    assert sent.is_alive(), "it is more than the buffer takes"

    assert len(ends[1].receive(10)["body"]) == 3_000_000
    sent.join(10)
    assert not sent.is_alive()


@pytest.mark.parametrize(
    "form",
    [
        None,
        {},
        {"kind": "SystemExit"},
        {"kind": "Retried", "delay_seconds": "5", "reason": "no", "attempts": None},
        {"kind": "Rejected", "delay_seconds": 5},
        {"kind": "Skipped", "reason": {"a": 1}},
    ],
)
def test_what_is_no_outcome_is_refused(form):
    """A child that was overwritten by its task may say anything."""
    with pytest.raises(ValueError, match=r"."):
        outcome_of_form(form)


def test_there_must_be_an_outcome_for_each_message():
    """Not one more or less."""
    with pytest.raises(ValueError, match="for each job"):
        outcomes_of_forms([outcome_form(Succeeded())], 2)


def test_a_frame_in_pieces_is_waited_for_and_the_end_is_noticed():
    """Also one that ends in the midst of a frame."""
    ours, theirs = socket.socketpair()
    frames = Frames(ours)
    theirs.sendall(b"\x00\x00\x00\x0e{")
    assert frames.receive(0.01) is None
    theirs.sendall(b'"kind": "a"}\n\x00\x00')
    assert frames.receive(1) == {"kind": "a"}
    theirs.close()
    with pytest.raises(ConnectionOverError):
        frames.receive(1)
    with pytest.raises(ConnectionOverError):
        frames.send({})
    frames.close()
