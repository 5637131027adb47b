"""The threads that make the requests of coroutines, so that no event loop waits for SQS."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

#: Requests of one queue that are under way at once for the coroutines of one event loop; one on FIFO queues, where
#: they would overtake each other.
REQUESTS_AT_ONCE: Final = 8

_THREADS: Final = 2 * REQUESTS_AT_ONCE

_lock = threading.Lock()

if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)

_pool: tuple[int, ThreadPoolExecutor] | None = None


def sending_threads() -> ThreadPoolExecutor:
    """The threads of this process; they are made as they are needed."""
    global _pool  # noqa: PLW0603 - they belong to the process
    with _lock:
        if _pool is None or _pool[0] != os.getpid():  # threads do not come along into a fork
            _pool = os.getpid(), ThreadPoolExecutor(_THREADS, thread_name_prefix="sqs-tasks-send")
        return _pool[1]
