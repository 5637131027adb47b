"""Numbers over time in one line: ``▁▂▅█``."""

from __future__ import annotations

from collections.abc import Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(numbers: Sequence[float]) -> str:
    """A block for each number, from nothing to the greatest of them."""
    most = max(numbers, default=0)
    if most <= 0:
        return _BLOCKS[0] * len(numbers)
    return "".join(_BLOCKS[min(round(one / most * (len(_BLOCKS) - 1)), len(_BLOCKS) - 1)] for one in numbers)
