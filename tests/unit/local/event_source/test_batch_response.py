"""What a function's answer means for its batch (S9-S11)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqs_tasks.local.event_source.batch_response import all_failed, read_response

IDS = ("id-1", "id-2", "id-3")


def verdict_on(payload, *, report=True):
    raw = payload if payload is None or isinstance(payload, bytes) else json.dumps(payload).encode()
    return read_response(raw, IDS, report_batch_item_failures=report)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param({"batchItemFailures": []}, id="empty list"),
        pytest.param({"batchItemFailures": None}, id="null list"),
        pytest.param({}, id="empty EventResponse"),
        pytest.param(b"null", id="null EventResponse"),
        pytest.param(b"", id="no bytes"),
        pytest.param(None, id="no answer"),
    ],
)
def test_complete_success_s10(payload):
    """Each of the answers that AWS lists as complete success deletes the whole batch."""
    verdict = verdict_on(payload)

    assert verdict.failed == frozenset()
    assert verdict.complete_failure is None


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"{", id="invalid JSON"),
        pytest.param(b"NaN", id="a constant that JSON has not"),
        pytest.param(b"\xff\xfe", id="bytes that are no text"),
        pytest.param({"batchItemFailures": [{"itemIdentifier": ""}]}, id="empty itemIdentifier"),
        pytest.param({"batchItemFailures": [{"itemIdentifier": None}]}, id="null itemIdentifier"),
        pytest.param({"batchItemFailures": [{"itemIdentifer": "id-1"}]}, id="bad key name"),
        pytest.param({"batchItemFailures": [{}]}, id="no key at all"),
        pytest.param({"batchItemFailures": [{"itemIdentifier": "other"}]}, id="id that is not in the batch"),
        pytest.param(
            {"batchItemFailures": [{"itemIdentifier": "id-1"}, {"itemIdentifier": "other"}]}, id="one of two unknown"
        ),
        pytest.param({"batchItemFailures": [{"itemIdentifier": 1}]}, id="number for an id"),
        pytest.param({"batchItemFailures": ["id-1"]}, id="ids without objects"),
        pytest.param({"batchItemFailures": {"itemIdentifier": "id-1"}}, id="object for a list"),
        pytest.param({"batchItemFailures": "id-1"}, id="text for a list"),
        pytest.param(["id-1"], id="list for an object"),
        pytest.param("ok", id="text for an object"),
        pytest.param(True, id="true for an object"),
    ],
)
def test_complete_failure_s11(payload):
    """Each malformed answer keeps the whole batch, and says why."""
    verdict = verdict_on(payload)

    assert verdict.failed == set(IDS)
    assert verdict.complete_failure


def test_listed_items_fail_and_the_others_do_not():
    """A partial response fails exactly what it lists."""
    verdict = verdict_on({"batchItemFailures": [{"itemIdentifier": "id-2"}, {"itemIdentifier": "id-2"}]})

    assert verdict.failed == {"id-2"}
    assert verdict.complete_failure is None


@pytest.mark.parametrize("payload", [b"{", b"null", {"batchItemFailures": [{"itemIdentifier": "id-1"}]}, {"x": 1}])
def test_without_report_batch_item_failures_no_answer_fails_s9(payload):
    """The answer is ignored when the mapping does not have ReportBatchItemFailures."""
    assert verdict_on(payload, report=False).failed == frozenset()


def test_ignored_failures_are_told_s9():
    """A function that reports failures into the void is told so: the messages are lost."""
    verdict = verdict_on({"batchItemFailures": [{"itemIdentifier": "id-1"}]}, report=False)

    assert "ReportBatchItemFailures is off" in verdict.advice


def test_object_without_the_key_succeeds_with_advice():
    """An object without batchItemFailures counts as one with a null list, and the author hears of it."""
    verdict = verdict_on({"BatchItemFailures": [{"ItemIdentifier": "id-1"}]})

    assert verdict.failed == frozenset()
    assert "'BatchItemFailures'" in verdict.advice


def test_error_timeout_and_crash_fail_the_batch_s11():
    """Whatever was returned, a lost invocation deletes nothing."""
    assert all_failed(IDS).failed == set(IDS)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([*IDS, "", "other"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["batchItemFailures", "itemIdentifier", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(json_values)
def test_failures_are_always_records_of_the_batch(value):
    """Whatever the answer: what fails is in the batch, and a complete failure is the complete batch."""
    verdict = verdict_on(json.dumps(value).encode())

    assert verdict.failed <= set(IDS)
    assert verdict.complete_failure is None or verdict.failed == set(IDS)
