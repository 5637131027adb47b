"""SnapStart: what must be let go before a snapshot of a function, and made anew in each environment that wakes from it.

Every environment wakes with the same memory: the same connections, long closed by the other side, and the same state of
the random numbers, by which all would back off alike (P7).
"""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Callable

from sqs_tasks.client import ClientProvider

logger = logging.getLogger(__name__)


class SnapshotHooks:
    """Runs when Lambda makes a snapshot, and when an environment wakes from it.

    Args:
        client: The environment's SQS client.
        start: Starts the application, which must not be in the snapshot: its connections would not wake.
    """

    def __init__(self, client: ClientProvider, *, start: Callable[[], None] = lambda: None) -> None:
        self._client = client
        self._start = start

    def register(self) -> bool:
        """Have Lambda call both; whether that is possible, which it is wherever there is SnapStart."""
        try:
            from snapshot_restore_py import register_after_restore, register_before_snapshot
        except ImportError:
            logger.warning(
                "SnapStart without the runtime's snapshot_restore_py: connections may be stale after a restore",
                extra={"action": "snapshot_hooks_missing"},
            )
            self._start()
            return False
        register_before_snapshot(self.before_snapshot)
        register_after_restore(self.after_restore)
        return True

    def before_snapshot(self) -> None:
        """Import what the first failing job would, while nobody waits for it, and close what cannot wake."""
        try:
            self._client()
        except Exception as error:  # noqa: BLE001 - no region or no permission yet; the first call will say so
            logger.info("no SQS client before the snapshot: %s", error, extra={"action": "snapshot_client_failed"})
        self._client.reset()
        event_loop = sys.modules.get("sqs_tasks.execution.event_loop")
        if event_loop is not None:  # an async task ran while the function started
            event_loop.close_loop()

    def after_restore(self) -> None:
        """Connect anew, draw other random numbers than the other environments, and start the application."""
        self._client.reset()
        random.seed()
        self._start()
