"""The agenda: alarms ring once, in order, at their moment."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sqs_tasks.local.clock.agenda import Agenda


def test_alarms_ring_in_order_of_their_moments() -> None:
    """Whatever the order of entry."""
    agenda, rung = Agenda(), []
    for moment in (3.0, 1.0, 2.0):
        agenda.at(moment, rung.append, moment)

    agenda.run_due(2.5)

    assert rung == [1.0, 2.0]
    assert agenda.next_moment() == 3.0


def test_a_last_alarm_rings_after_the_others_of_its_moment() -> None:
    """Though it was entered first."""
    agenda, rung = Agenda(), []
    agenda.at(1.0, rung.append, "last", last=True)
    agenda.at(1.0, rung.append, "first")

    agenda.run_due(1.0)

    assert rung == ["first", "last"]


def test_a_cancelled_alarm_does_not_ring() -> None:
    """Nor is it the next moment; cancelling twice, or after it rang, is no error."""
    agenda, rung = Agenda(), []
    alarm = agenda.at(1.0, rung.append, "a")
    other = agenda.at(2.0, rung.append, "b")
    agenda.cancel(alarm)
    agenda.cancel(alarm)

    assert agenda.next_moment() == 2.0
    agenda.run_due(5.0)
    agenda.cancel(other)

    assert rung == ["b"]
    assert agenda.next_moment() is None


def test_an_alarm_can_set_another() -> None:
    """One that is due already rings in the same run."""
    agenda, rung = Agenda(), []
    agenda.at(1.0, lambda _: agenda.at(0.5, rung.append, "second"), None)

    agenda.run_due(1.0)

    assert rung == ["second"]


def test_cancelled_alarms_do_not_pile_up() -> None:
    """A worker that deletes what it receives cancels an alarm a message."""
    agenda = Agenda()
    kept = agenda.at(1e9, lambda _: None, None)

    for number in range(10_000):
        agenda.cancel(agenda.at(1e6 + number, lambda _: None, None))

    assert len(agenda._heap) < 1_000
    assert agenda.next_moment() == kept[0]


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=600), st.integers(0, 20))
def test_what_is_due_and_not_cancelled_rings(alarms: list[tuple[int, bool]], now: int) -> None:
    """Exactly that, in order."""
    agenda, rung = Agenda(), []
    for number, (moment, cancelled) in enumerate(alarms):
        alarm = agenda.at(moment, rung.append, (moment, number))
        if cancelled:
            agenda.cancel(alarm)

    agenda.run_due(now)

    expected = [(moment, at) for at, (moment, cancelled) in enumerate(alarms) if moment <= now and not cancelled]
    assert rung == sorted(expected)
