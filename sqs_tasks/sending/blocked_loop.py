"""The one warning of a process that a plain send keeps its event loop waiting."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import FrameType
from typing import Final

logger = logging.getLogger(__name__)

_OURS: Final = str(Path(__file__).parent.parent)

#: Whether it was reported; nobody looks again then.
is_reported = False


def report_if_blocked(queue_name: str) -> None:
    """Warn if the caller is a coroutine, or code that one calls: the loop waits until SQS has answered."""
    global is_reported  # noqa: PLW0603 - once a process
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    is_reported = True
    logger.warning(
        "a plain send to queue %s at %s blocks the running event loop until SQS has answered, and with it all other "
        "coroutines; write 'await task.adelay(...)', 'async with task.abatch():' or 'await task.amap(...)'. "
        "This is reported once in a process",
        queue_name,
        _place(sys._getframe(1)),  # noqa: SLF001 - the one way to a frame that costs little
        extra={"action": "event_loop_blocked", "queue_name": queue_name},
    )


def _place(frame: FrameType | None) -> str:
    """The file and line that called the library."""
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return "?" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
