"""Looking at something now and then, from a thread, while a block runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def looking(look: Callable[[], object], *, every_seconds: float, name: str) -> Iterator[None]:
    """Call a function every so many seconds until the block ends; no call is in progress after it.

    Args:
        look: The function; what it raises ends the looking, so it catches what must not.
        every_seconds: Seconds before the first call, and between two of them.
        name: The thread's name.
    """
    over = threading.Event()

    def work() -> None:
        while not over.wait(every_seconds):
            look()

    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
