"""What the exit code of a process says."""

from __future__ import annotations

import signal

from sqs_tasks.outcome import Outcome, Succeeded

#: What a worker exits with when a limit asked for a fresh process, or a signal for its end; its supervisor starts
#: another one at once, unless it is stopping itself.
RECYCLE_EXIT_CODE = 75


def cause_of_exit(code: int) -> str:
    """The reason for the end of a process, for people: its exit code, or the name of the signal that ended it.

    Args:
        code: As ``subprocess`` has it: minus the number of a signal.
    """
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def exit_code_of(outcome: Outcome | None) -> int:
    """What a forked child exits with that has left its task in this way."""
    if isinstance(outcome, Succeeded):
        return 0
    error = getattr(outcome, "error", None)
    if not isinstance(error, SystemExit) or error.code is None:
        return 0 if isinstance(error, SystemExit) else 1
    return error.code if isinstance(error.code, int) else 1
