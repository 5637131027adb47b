"""The watch on the sources."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from sqs_tasks.cli.dev.events import Changed, Events

#: Milliseconds that a burst of saves may take to become one restart: an editor writes a file in several steps.
DEBOUNCE_MS = 200

#: Milliseconds after which the watch looks whether it is to end.
_LOOK_MS = 500


class Sources:
    """Reports Python files that are saved, created or deleted while the block lasts.

    Virtual environments, caches and hidden directories such as ``.git`` are left out, as watchfiles does.

    Args:
        directories: What to watch, with everything below.
        events: Where changes are reported.

    Attributes:
        watching: Set once a save would be noticed.
    """

    def __init__(self, directories: Sequence[Path], events: Events) -> None:
        self._directories = directories
        self._events = events
        self.watching = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sqs-tasks-dev-sources", daemon=True)

    def _watch(self) -> None:
        from watchfiles import PythonFilter, watch

        for changes in watch(
            *self._directories,
            watch_filter=PythonFilter(),
            debounce=DEBOUNCE_MS,
            step=50,
            stop_event=self._done,
            rust_timeout=_LOOK_MS,
            raise_interrupt=False,
            yield_on_timeout=True,
        ):
            self.watching.set()
            if changes:
                self._events.put(Changed(sorted({path for _, path in changes})))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
