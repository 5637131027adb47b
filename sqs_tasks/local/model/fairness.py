"""Fair queues: which tenants of a standard queue are noisy neighbours (S39).

A tenant is a MessageGroupId. It is noisy while it holds more than a tenth of the messages in flight, and at least 30,
or while more than a tenth of the recent processing time went to it. AWS calls its own numbers approximate.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues-detailed.html
"""

from __future__ import annotations

#: The share of messages in flight, or of processing time, above which a tenant is noisy.
NOISY_SHARE = 0.1

#: Messages in flight below which a tenant is never noisy by its share of them.
NOISY_IN_FLIGHT = 30

#: Seconds without a send after which a tenant is quiet again.
QUIET_AFTER_SECONDS = 300.0

#: Seconds in which remembered processing time halves; AWS says no more than "recent".
_HALF_LIFE_SECONDS = 60.0

#: Seconds of remembered processing time below which it does not count: in a queue that is hardly used nobody is noisy.
_LEAST_PROCESSING_SECONDS = 60.0


class Tenant:
    """What one message group has in flight and how much processing time it took lately."""

    __slots__ = ("in_flight", "last_sent_at", "measured_at", "processing_seconds", "waiting")

    def __init__(self) -> None:
        self.waiting = 0
        self.in_flight = 0
        self.last_sent_at = 0.0
        self.processing_seconds = 0.0
        self.measured_at = 0.0

    def add_processing(self, seconds: float, now: float) -> None:
        """Add to the remembered processing time, after letting the old fade."""
        self.processing_seconds = self.processing_at(now) + seconds
        self.measured_at = now

    def processing_at(self, now: float) -> float:
        """The processing time still remembered."""
        if not self.processing_seconds:
            return 0.0
        return float(self.processing_seconds * 0.5 ** ((now - self.measured_at) / _HALF_LIFE_SECONDS))


class Fairness:
    """The tenants of one queue. Messages without a group are each a tenant of their own, and never noisy."""

    def __init__(self) -> None:
        self._tenants: dict[str, Tenant] = {}
        self._everyone = Tenant()

    def sent(self, group_id: str, now: float) -> None:
        """A message of this tenant arrived."""
        self._tenant(group_id).last_sent_at = now

    def waits(self, group_id: str) -> None:
        """A message of this tenant can be received."""
        self._tenant(group_id).waiting += 1

    def waits_no_more(self, group_id: str) -> None:
        """A message of this tenant was received, hidden or removed."""
        tenant = self._tenant(group_id)
        tenant.waiting -= 1
        self._forget_idle(group_id, tenant)

    def received(self, group_id: str | None) -> None:
        """A message went in flight."""
        self._everyone.in_flight += 1
        if group_id is not None:
            self._tenant(group_id).in_flight += 1

    def released(self, group_id: str | None, seconds: float, now: float) -> None:
        """A message that was in flight for that long was deleted or became visible."""
        self._everyone.in_flight -= 1
        self._everyone.add_processing(seconds, now)
        if group_id is not None:
            tenant = self._tenant(group_id)
            tenant.in_flight -= 1
            tenant.add_processing(seconds, now)
            self._forget_idle(group_id, tenant)

    def in_flight(self, group_id: str) -> int:
        """How many messages of this tenant are in flight."""
        tenant = self._tenants.get(group_id)
        return tenant.in_flight if tenant else 0

    def is_noisy(self, group_id: str, now: float) -> bool:
        """Whether messages of quiet tenants go before this one's."""
        tenant = self._tenants.get(group_id)
        if tenant is None or now - tenant.last_sent_at >= QUIET_AFTER_SECONDS:
            return False
        if tenant.in_flight >= NOISY_IN_FLIGHT and tenant.in_flight > NOISY_SHARE * self._everyone.in_flight:
            return True
        total = self._everyone.processing_at(now)
        return total >= _LEAST_PROCESSING_SECONDS and tenant.processing_at(now) > NOISY_SHARE * total

    def _forget_idle(self, group_id: str, tenant: Tenant) -> None:
        """A tenant whose backlog is drained is quiet; forgetting it also keeps the table small."""
        if tenant.waiting <= 0 and tenant.in_flight <= 0:
            del self._tenants[group_id]

    def _tenant(self, group_id: str) -> Tenant:
        tenant = self._tenants.get(group_id)
        if tenant is None:
            tenant = self._tenants[group_id] = Tenant()
        return tenant
