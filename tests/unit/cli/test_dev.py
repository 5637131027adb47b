"""``sqs-tasks dev``: what it refuses before it starts anything."""

from __future__ import annotations

import importlib.util

import pytest


@pytest.mark.parametrize(("package", "options"), [("watchfiles", []), ("awslambdaric", ["--as", "lambda"])])
def test_a_package_that_is_missing_is_one_line_and_the_end(run, directory, monkeypatch, package, options):
    """Instead of a child that is restarted for ever."""
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == package else real(name, *rest))
    (directory / "dev_app.py").write_text("from sqs_tasks import SQSEnv\nenv = SQSEnv()\n")

    result = run("dev", "dev_app:env", *options)

    assert result.exit_code == 1
    assert "pip install 'sqs-tasks[" in result.stderr


def test_faults_need_the_simulator(run, directory):
    """``--fault`` without ``--as lambda`` is wrong usage."""
    (directory / "dev_app.py").write_text("from sqs_tasks import SQSEnv\nenv = SQSEnv()\n")

    assert run("dev", "dev_app:env", "--fault", "crash=0.1").exit_code == 2
