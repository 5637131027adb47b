"""Messages and outcomes as they travel between the worker and a child: plain data, checked on arrival."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from sqs_tasks.errors import RemoteError
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.outcome import (
    SUCCEEDED,
    NotStarted,
    Outcome,
    Postponed,
    Rejected,
    Retried,
    Skipped,
    Succeeded,
    UnknownTask,
)

#: The fields of each kind of outcome, without its error, and what each may be.
_FIELDS: Mapping[str, tuple[type[Any], Mapping[str, tuple[type, ...]]]] = {
    "Retried": (Retried, {"delay_seconds": (int, type(None)), "reason": (str,), "attempts": (int, type(None))}),
    "Rejected": (Rejected, {"delay_seconds": (int, type(None)), "reason": (str,)}),
    "UnknownTask": (UnknownTask, {"job_name": (str,), "delay_seconds": (int,)}),
    "NotStarted": (NotStarted, {"reason": (str,), "delay_seconds": (int,)}),
    "Postponed": (
        Postponed,
        {"delay_seconds": (int,), "attempts": (int,), "reason": (str,), "is_known": (bool,)},
    ),
    "Skipped": (Skipped, {"reason": (str,), "is_cancelled": (bool,), "was_done": (bool,)}),
}

_WITH_ERROR = ("Retried", "Rejected", "Postponed")


def message_form(message: ReceivedMessage) -> dict[str, Any]:
    """A message as plain data."""
    return {
        "message_id": message.message_id,
        "receipt_handle": message.receipt_handle,
        "body": message.body,
        "attributes": dict(message.attributes),
        "message_attributes": {
            name: {
                key: {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
                for key, value in attribute.items()
            }
            for name, attribute in message.message_attributes.items()
        },
        # The monotonic clock is that of the machine, not of a process.
        "received_at": message.received_at,
    }


def message_of(form: Mapping[str, Any]) -> ReceivedMessage:
    """The message of its form."""
    attributes: dict[str, Any] = {
        name: {
            key: base64.b64decode(value["base64"]) if isinstance(value, dict) else value
            for key, value in attribute.items()
        }
        for name, attribute in form["message_attributes"].items()
    }
    return ReceivedMessage(
        message_id=form["message_id"],
        receipt_handle=form["receipt_handle"],
        body=form["body"],
        attributes=form["attributes"],
        message_attributes=attributes,
        received_at=form["received_at"],
    )


def outcome_form(outcome: Outcome) -> dict[str, Any]:
    """An outcome as plain data; of an exception its type's name goes along, and where it was raised."""
    kind = type(outcome).__name__
    if isinstance(outcome, Succeeded):
        return {"kind": kind}
    form: dict[str, Any] = {name: getattr(outcome, name) for name in _FIELDS[kind][1]}
    error = getattr(outcome, "error", None)
    if error is None:
        return {"kind": kind, **form, "error": None}
    from sqs_tasks.execution.failure_details import application_frames, cause_of  # most jobs succeed

    where = {"frames": application_frames(error), "cause": cause_of(error)}
    return {"kind": kind, **form, "error": type(error).__name__, **where}


def outcome_of_form(form: Any) -> Outcome:
    """The outcome of its form.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(form, dict):
        raise ValueError("an outcome is an object")  # noqa: TRY004 - one error for all that it may be
    kind = str(form.get("kind"))
    if kind == Succeeded.__name__:
        return SUCCEEDED
    if kind not in _FIELDS:
        raise ValueError(f"{kind!r} is no outcome")
    make, fields = _FIELDS[kind]
    wrong = [name for name, allowed in fields.items() if not isinstance(form.get(name), allowed)]
    if wrong:
        raise ValueError(f"{kind} with {wrong[0]}={form.get(wrong[0])!r}")
    values: dict[str, Any] = {name: form[name] for name in fields}
    error = form.get("error")
    if kind in _WITH_ERROR and isinstance(error, str):
        frames, cause = form.get("frames"), form.get("cause")
        values["error"] = RemoteError(
            error,
            frames=[one for one in frames if isinstance(one, str)] if isinstance(frames, list) else (),
            cause=cause if isinstance(cause, str) else "",
        )
    outcome: Outcome = make(**values)
    return outcome


def outcomes_of_forms(forms: Any, count: int) -> Sequence[Outcome]:
    """The outcomes of so many jobs.

    Raises:
        ValueError: They are not as many, or one is none.
    """
    if not isinstance(forms, list) or len(forms) != count:
        raise ValueError("there must be an outcome for each job")
    return [outcome_of_form(form) for form in forms]
