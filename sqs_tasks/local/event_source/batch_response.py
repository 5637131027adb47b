"""The response contract: what a function's answer means for each record of its batch (S9-S11).

Source: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NoReturn


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchVerdict:
    """Which records of a batch failed; the others are deleted.

    Attributes:
        failed: The message ids that stay in the queue, untouched, until their visibility ends (S16).
        complete_failure: Why the whole batch failed, though the function may have meant something else; or None.
        advice: What is unusual about an answer that Lambda accepts, or None.
    """

    failed: frozenset[str]
    complete_failure: str | None = None
    advice: str | None = None


def read_response(
    payload: bytes | None, message_ids: Collection[str], *, report_batch_item_failures: bool
) -> BatchVerdict:
    """The verdict on a batch whose invocation returned ``payload`` without a function error.

    Without ``report_batch_item_failures`` any answer is a complete success, whatever it says (S9). With it:

    - null, an empty answer, ``{}``, and a null or empty ``batchItemFailures`` are a complete success (S10);
    - JSON that does not parse, an ``itemIdentifier`` that is empty, null, misnamed or not in the batch fail the
      whole batch (S11);
    - an answer that is no object, or a ``batchItemFailures`` that is no list, fails it too (inferred from the
      documented schema). An object without ``batchItemFailures`` is taken as one with a null list, with advice.
    """
    if not report_batch_item_failures:
        ignored = payload is not None and b'"batchItemFailures"' in payload and b"itemIdentifier" in payload
        return BatchVerdict(
            failed=frozenset(),
            advice="the function reported failures, but ReportBatchItemFailures is off: every record is deleted"
            if ignored
            else None,
        )
    try:
        response = json.loads(payload, parse_constant=_refuse_constant) if payload else None
    except ValueError as error:
        return _complete_failure(message_ids, f"the response is not JSON: {error}")
    if response is None or response == {}:
        return BatchVerdict(failed=frozenset())
    if not isinstance(response, dict):
        return _complete_failure(message_ids, f"the response is no object: {_shown(response)}")
    if "batchItemFailures" not in response:
        return BatchVerdict(
            failed=frozenset(),
            advice=f"the response has no 'batchItemFailures', only {', '.join(map(repr, response))}: "
            "every record is deleted",
        )
    return _read_failures(response["batchItemFailures"], message_ids)


def all_failed(message_ids: Collection[str]) -> BatchVerdict:
    """The verdict on a batch whose invocation ended in a function error, a timeout or a crash (S11)."""
    return BatchVerdict(failed=frozenset(message_ids))


def _read_failures(failures: Any, message_ids: Collection[str]) -> BatchVerdict:
    if failures is None:
        return BatchVerdict(failed=frozenset())
    if not isinstance(failures, list):
        return _complete_failure(message_ids, f"'batchItemFailures' is no list: {_shown(failures)}")
    failed: set[str] = set()
    for item in failures:
        if not isinstance(item, dict) or "itemIdentifier" not in item:
            return _complete_failure(message_ids, f"an item has no 'itemIdentifier': {_shown(item)}")
        identifier = item["itemIdentifier"]
        if identifier is None or identifier == "":
            return _complete_failure(message_ids, f"an 'itemIdentifier' is {_shown(identifier)}")
        if not isinstance(identifier, str) or identifier not in message_ids:
            return _complete_failure(message_ids, f"'itemIdentifier' {_shown(identifier)} is not in the batch")
        failed.add(identifier)
    return BatchVerdict(failed=frozenset(failed))


def _complete_failure(message_ids: Collection[str], reason: str) -> BatchVerdict:
    return BatchVerdict(failed=frozenset(message_ids), complete_failure=reason)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 - one line of a log
