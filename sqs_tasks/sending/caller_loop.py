"""The event loop that a job runs for, where it runs at the place where a coroutine sends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

#: The loop that is free while the job runs, and that its coroutines belong to.
CALLER_LOOP: ContextVar[asyncio.AbstractEventLoop | None] = ContextVar("sqs_tasks_caller_loop", default=None)


async def beside_loop(function: Callable[..., T], *args: Any) -> T:
    """What a function returns that runs in a thread; async jobs that it runs are run on the caller's event loop."""
    token = CALLER_LOOP.set(asyncio.get_running_loop())
    try:
        return await asyncio.to_thread(function, *args)
    finally:
        CALLER_LOOP.reset(token)
