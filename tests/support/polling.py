"""Waiting for something outside this process to happen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(probe: Callable[[], T], *, what: str, seconds: float = 30, every: float = 0.1) -> T:
    """Call ``probe`` until it returns something true, and return that.

    Raises:
        AssertionError: It did not within ``seconds``; the text says ``what`` and the last answer.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s; the last answer was {answer!r}")
        time.sleep(every)
