"""A wall clock that jumps, as one does when a machine wakes, is moved or hears from a time server."""

from __future__ import annotations

import random
import time

#: Seconds between two jumps, and how far from the truth one may go: hours, more than any lease, and a little.
PERIOD_SECONDS = 2.0
OFFSETS = (0.0, 0.0, 1.5, -1.5, 45.0, -45.0, 13 * 3600.0, -13 * 3600.0)

#: For a file ``sitecustomize.py`` on a worker's path: Python runs it before anything can keep the real clock.
SITE_CUSTOMIZE = "from tests.support.jumping_clock import install\n\ninstall()\n"


def install() -> None:
    """Let ``time.time()`` jump in this process and its forks; the monotonic clock goes on as it does."""
    real, monotonic = time.time, time.monotonic

    def jumping() -> float:
        return real() + random.Random(int(monotonic() / PERIOD_SECONDS)).choice(OFFSETS)

    time.time = jumping
