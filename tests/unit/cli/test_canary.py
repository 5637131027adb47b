"""``sqs-tasks canary``: which queues it asks, and its exit codes. How it looks is ``tests/unit/deployment/test_canary.py``."""

from __future__ import annotations

import pytest


class _AWS:
    """Lambda with a function for each queue, and logs in which every canary was seen, or none."""

    def __init__(self, *, sees: bool) -> None:
        self.sees = sees

    def list_event_source_mappings(self, *, EventSourceArn: str) -> dict[str, object]:
        return {"EventSourceMappings": [{"FunctionArn": EventSourceArn.rpartition(":")[2]}]}

    def get_function_configuration(self, *, FunctionName: str) -> dict[str, object]:
        return {"FunctionName": FunctionName}

    def filter_log_events(self, **_kwargs: object) -> dict[str, object]:
        return {"events": [{"message": '{"action": "job_skipped"}'}] if self.sees else []}


@pytest.mark.parametrize(("sees", "code"), [(True, 0), (False, 1)])
def test_all_queues_with_tasks_are_asked(run, app, monkeypatch, sees, code):
    """Each queue that has tasks gets a canary; 0 when all were received, 1 when one was not."""
    monkeypatch.setattr("boto3.client", lambda _service: _AWS(sees=sees))
    app.env.create_queues()

    result = run("canary", app.name, "--timeout", "0")

    assert result.exit_code == code, result.output
    said = result.stdout if sees else result.stderr
    assert [line.partition(":")[0] for line in said.splitlines()] == ["emails", "news"]
    if not sees:
        assert "was not seen in /aws/lambda/t-emails within 0 s" in said


def test_queue_is_named(run, app, monkeypatch):
    """One queue alone, by its name in code or in SQS."""
    monkeypatch.setattr("boto3.client", lambda _service: _AWS(sees=True))
    app.env.create_queues()

    assert run("canary", app.name, "t-news", "--timeout", "0").stdout == "news: received after 0 s\n"
