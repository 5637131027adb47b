"""Whether a relay lives and reaches its database, and its numbers."""

from __future__ import annotations

import time

from sqs_tasks.transactions.outbox.relay import Relay
from sqs_tasks.worker.metrics import Metrics

#: Seconds after which a relay that has not looked at its table is stuck: longer than any rest and any request.
STUCK_SECONDS = 300.0


class RelayHealth:
    """The health of a relay.

    Args:
        relay: The relay.
    """

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._metrics = metrics = Metrics()
        metrics.read("sqs_tasks_outbox_sent_total", lambda: {(): relay.total.sent})
        metrics.read("sqs_tasks_outbox_failed_total", lambda: {(): relay.total.failed})
        metrics.read("sqs_tasks_outbox_refused_total", lambda: {(): relay.total.refused})
        metrics.read(
            "sqs_tasks_outbox_rows",
            lambda: {
                (("state", "ready"),): relay.depth.ready,
                (("state", "later"),): relay.depth.later,
                (("state", "refused"),): relay.depth.refused,
            },
        )
        metrics.read("sqs_tasks_outbox_oldest_age_seconds", lambda: {(): relay.depth.oldest_age_seconds})

    def live(self) -> dict[str, str]:
        """What is wrong with it; empty when it lives."""
        seconds = time.monotonic() - self._relay.looked_at
        return {"relay": f"it has not looked at its table for {seconds:.0f} s"} if seconds > STUCK_SECONDS else {}

    def ready(self) -> dict[str, str]:
        """Why it is of no use now; empty when it is."""
        return {**self.live(), **({"database": self._relay.problem} if self._relay.problem else {})}

    def metrics(self) -> str:
        """Prometheus text."""
        return self._metrics.render()
