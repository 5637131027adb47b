"""Ctrl-C while letters are held: noted once, heeded at once the second time, and at a question."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from sqs_tasks.cli.dead.interruption import Interruption


def test_the_first_is_noted_and_the_second_interrupts(capsys):
    """And the handlers of before are put back."""
    before = signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption.asked()
        assert "SIGINT: finishing this letter; once more interrupts at once" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)

    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(SystemExit, match="130"):
        interruption.leave()


def test_a_question_is_interrupted_by_the_first(monkeypatch):
    """Nothing is being done that could be finished."""
    with Interruption() as interruption:

        def asked() -> None:
            with interruption.set_aside():
                os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            asked()
        assert not interruption.asked()
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.asked()


def test_a_wait_ends_when_it_is_noted():
    """A slow rate does not delay the end."""
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGTERM)
        interruption.sleep(sys.maxsize // 10**12)
