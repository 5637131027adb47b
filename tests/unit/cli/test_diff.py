"""``sqs-tasks diff``: its exit codes. What it finds is shown by ``tests/unit/deployment/test_drift.py`` and the deploy tests."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from sqs_tasks import MemorySession


class _Refusing:
    """A client that answers nothing."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def get_queue_url(self, **_kwargs):
        raise self.error


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetQueueUrl"), "Error: AccessDenied: "),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), "Error: EndpointConnectionError: "),
    ],
)
def test_no_answer_is_no_difference(run, app, monkeypatch, error, says):
    """A build can tell drift, 1, from a question that AWS did not answer, 2."""
    monkeypatch.setattr("boto3.client", lambda _service: object())
    monkeypatch.setattr(app.env, "client", lambda: _Refusing(error))

    result = run("diff", app.name, "--json")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(says)


def test_missing_queues_are_differences(run, app, monkeypatch):
    """Nothing is deployed: a difference for each queue, and 1."""
    monkeypatch.setattr("boto3.client", lambda _service: object())
    monkeypatch.setattr(app.env, "client", lambda: MemorySession().client("sqs"))

    result = run("diff", app.name, "--json")

    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert {(one["field"], one["deployed"]) for one in found} == {("exists", False)}
    assert "queue t-emails" in {one["resource"] for one in found}
