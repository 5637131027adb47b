"""Code that computes without ever waiting, so that only an interruption ends it early."""

from __future__ import annotations

import time


def spin(seconds: float) -> None:
    """Keep the processor busy for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
