"""Whose turn it is at the terminal of a session."""

from __future__ import annotations

import os
import threading

import pytest

from sqs_tasks.cli.dev.debugger import break_here
from sqs_tasks.cli.dev.terminal import Terminal

pytest.importorskip("fcntl")


@pytest.fixture
def terminal(tmp_path):
    lock = tmp_path / "lock"
    lock.touch()
    return Terminal("/dev/null", str(lock))


def test_only_one_has_the_terminal(terminal):
    """Others are told at once that it is not their turn, until it is given back."""
    descriptor = terminal.take(wait=False)

    with terminal.turn() as is_free:
        assert not is_free
    os.close(descriptor)
    with terminal.turn() as is_free:
        assert is_free


def test_who_waits_gets_the_next_turn(terminal):
    """A second job at a breakpoint, for example."""
    first = terminal.take(wait=True)
    got = []
    second = threading.Thread(target=lambda: got.append(terminal.take(wait=True)))
    second.start()
    assert not got

    os.close(first)
    second.join(10)

    assert len(got) == 1
    os.close(got[0])


def test_terminal_passes_through_the_environment(terminal):
    """From the session to the processes of the application."""
    assert Terminal.from_environment(terminal.variables) == terminal
    assert Terminal.from_environment({}) is None


def test_breakpoint_without_a_terminal_is_passed_over_with_a_word(monkeypatch, caplog):
    """The job must not fail because somebody left one in the code that a pipe runs."""
    monkeypatch.delenv("SQS_TASKS_DEV_TERMINAL", raising=False)

    break_here()

    assert "was passed over" in caplog.text
    assert "test_terminal.py" in caplog.text
