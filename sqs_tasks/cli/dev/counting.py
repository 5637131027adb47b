"""The thread that counts the messages in the queues and reports every change."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from sqs_tasks.cli.dev.depths import Depths, QueuePlace
from sqs_tasks.cli.dev.events import Counted, Events
from sqs_tasks.protocols import SQSClient

logger = logging.getLogger(__name__)


class Counting:
    """Counts at an interval while the block lasts; :meth:`watch` chooses the queues.

    Args:
        client: Gives the client; called in the thread that counts.
        events: Where changes are reported.
        interval_seconds: Seconds between two counts.
    """

    def __init__(self, client: Callable[[], SQSClient], events: Events, *, interval_seconds: float) -> None:
        self._client = client
        self._events = events
        self._interval_seconds = interval_seconds
        self._places: Sequence[QueuePlace] = ()
        self._last: list[Depths] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sqs-tasks-dev-counting", daemon=True)

    def watch(self, places: Sequence[QueuePlace]) -> None:
        """Count these from now on."""
        self._places = tuple(places)

    def count(self) -> None:
        """Count once, and report a change; if SQS does not answer, it is asked again at the next interval."""
        try:
            depths = [place.count(self._client()) for place in self._places]
        except Exception:
            logger.debug("cannot count the queues", exc_info=True)
            return
        if depths != self._last:
            self._last = depths
            self._events.put(Counted(depths))

    def _work(self) -> None:
        while not self._done.wait(self._interval_seconds):
            self.count()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
