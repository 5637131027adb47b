"""``sqs-tasks dev``: what it refuses before it starts anything."""

from __future__ import annotations

import importlib.util
import os
import signal
from queue import SimpleQueue

import pytest

from sqs_tasks.cli.dev.command import stopping_on_signals


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


def test_managed_instances_need_functions(run, directory):
    """``--managed-instances`` without ``--as lambda`` is wrong usage."""
    (directory / "dev_app.py").write_text("from sqs_tasks import SQSEnv\nenv = SQSEnv()\n")
    done = run("dev", "dev_app:env", "--managed-instances", "films")

    assert (done.exit_code, "needs --as lambda" in done.stderr) == (2, True)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP here")
@pytest.mark.parametrize(("handler", "stops"), [(signal.SIG_DFL, True), (signal.SIG_IGN, False)])
def test_terminal_that_closes_stops_it_unless_nohup_started_it(handler, stops):
    """Whoever runs it with nohup wants it to outlive the terminal."""
    before = signal.signal(signal.SIGHUP, handler)
    events = SimpleQueue()
    try:
        with stopping_on_signals(events):
            os.kill(os.getpid(), signal.SIGHUP)

            assert events.empty() is not stops
        assert signal.getsignal(signal.SIGHUP) is handler
    finally:
        signal.signal(signal.SIGHUP, before)
