"""Fairness: when a tenant is noisy, and when it is not any more (S39)."""

from __future__ import annotations

from sqs_tasks.local.model.fairness import Fairness


def waiting(**tenants: int) -> Fairness:
    """Tenants with messages that wait and as many in flight as said, at time 0."""
    fairness = Fairness()
    for group, in_flight in tenants.items():
        fairness.sent(group, 0)
        fairness.waits(group)
        for _ in range(in_flight):
            fairness.received(group)
    return fairness


def test_thirty_in_flight_and_more_than_a_tenth_is_noisy() -> None:
    """Both are needed."""
    fairness = waiting(many=30, few=29, share=270)

    assert not fairness.is_noisy("few", 1)
    assert not fairness.is_noisy("many", 1)
    for _ in range(30):
        fairness.released("share", 0, 1)
    assert fairness.is_noisy("many", 1)


def test_messages_without_a_group_count_in_the_total() -> None:
    """Each is a tenant of its own, but takes its place in flight."""
    fairness = waiting(many=30)
    for _ in range(300):
        fairness.received(None)

    assert not fairness.is_noisy("many", 1)


def test_a_tenant_that_takes_the_time_is_noisy() -> None:
    """More than a tenth of the recent processing time, however few its messages."""
    fairness = waiting(slow=2, quick=2)

    fairness.released("slow", 90, 100)
    fairness.released("quick", 5, 100)

    assert fairness.is_noisy("slow", 100)
    assert not fairness.is_noisy("quick", 100)


def test_processing_time_fades() -> None:
    """What somebody took long ago does not count for ever."""
    fairness = waiting(once=2, now=2)
    fairness.released("once", 600, 1)
    fairness.sent("once", 290)

    fairness.released("now", 600, 250)

    assert fairness.is_noisy("now", 250)
    assert not fairness.is_noisy("once", 250)


def test_a_queue_that_is_hardly_used_has_no_noise() -> None:
    """A few seconds of work say nothing about anybody."""
    fairness = waiting(a=2, b=2)

    fairness.released("a", 5, 10)

    assert not fairness.is_noisy("a", 10)


def test_five_minutes_without_a_send_make_a_tenant_quiet() -> None:
    """Though it still has messages waiting."""
    fairness = waiting(silent=40)

    assert fairness.is_noisy("silent", 299)
    assert not fairness.is_noisy("silent", 300)


def test_a_tenant_is_forgotten_with_its_last_message() -> None:
    """The table does not grow with every tenant that ever was."""
    fairness = waiting(gone=1)
    fairness.waits_no_more("gone")
    fairness.released("gone", 1, 1)

    assert not fairness._tenants
    assert not fairness.is_noisy("gone", 1)
    assert fairness.in_flight("gone") == 0
