"""What the exit code of a process says."""

from __future__ import annotations

import signal

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
