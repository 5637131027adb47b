"""The loop of ``sqs-tasks dev``, with children that do as the test says and a clock that it moves."""

from __future__ import annotations

import json
from queue import SimpleQueue

import pytest

from sqs_tasks.cli.dev.depths import Depths, QueuePlace
from sqs_tasks.cli.dev.events import Changed, Counted, Ended, Line, Stop
from sqs_tasks.cli.dev.record import Record
from sqs_tasks.cli.dev.session import MAX_PAUSE_SECONDS, STOP_SECONDS, Session

GRACE = 5


class FakeChild:
    """Counts what it is asked; ends at the first or second SIGTERM, or only when killed."""

    def __init__(self, number, events, *, ends_at):
        self.number = number
        self.terminated = 0
        self.killed = False
        self._events = events
        self._ends_at = ends_at

    def terminate(self):
        self.terminated += 1
        if self.terminated == self._ends_at:
            self._events.put(Ended(self.number, 0))

    def kill(self):
        self.killed = True


class FakeScreen:
    def __init__(self):
        self.fields = []
        self.depths = None

    def report(self, record):
        self.fields.append(record)

    def count(self, depths):
        self.depths = depths

    def pulse(self):
        pass

    @property
    def actions(self):
        return [record.action for record in self.fields]


class Desk:
    """A session, and everything around it."""

    def __init__(self, ends_at=None):
        self.now = 100.0
        self.events = SimpleQueue()
        self.screen = FakeScreen()
        self.children = []
        self.places = []
        self.ends_at = ends_at
        self.session = Session(
            self.start,
            self.screen,
            self.events,
            grace_seconds=GRACE,
            on_loaded=self.places.extend,
            clock=lambda: self.now,
        )
        self.session.step()

    def start(self, number):
        self.children.append(FakeChild(number, self.events, ends_at=self.ends_at))
        return self.children[-1]

    @property
    def child(self):
        return self.children[-1]

    def take(self, *events):
        for event in events:
            self.session.handle(event)
            self.session.step()

    def wait(self, seconds):
        self.now += seconds
        self.session.step()


LOADED = Line(
    json.dumps(
        {
            "timestamp": "2030-01-01T00:00:00+00:00",
            "level": "INFO",
            "logger": "sqs_tasks.cli.dev.child",
            "message": "loaded",
            "action": "dev_loaded",
            "queues": [{"name": "emails", "url": "http://sqs/emails", "dead_letter_url": None}],
        }
    )
)


@pytest.fixture
def desk():
    return Desk()


def test_saved_file_drains_the_child_and_then_starts_another(desk):
    """The new one starts when the old one has ended, so that no job runs in both."""
    desk.take(LOADED, Changed(["tasks.py"]))
    assert (desk.child.terminated, len(desk.children)) == (1, 1)

    desk.take(Ended(1, 0))

    assert [child.number for child in desk.children] == [1, 2]


def test_saves_while_a_child_drains_are_one_restart(desk):
    """Several saves before the child has ended are one restart."""
    desk.take(LOADED, Changed(["a.py"]), Changed(["b.py"]), Ended(1, 0))

    assert (desk.children[0].terminated, len(desk.children)) == (1, 2)


def test_child_that_does_not_drain_is_killed_after_the_grace_period(desk):
    """A child that outlives its grace period is killed, and the next one starts."""
    desk.take(LOADED, Changed(["a.py"]))

    desk.wait(GRACE + STOP_SECONDS - 0.1)
    assert not desk.child.killed
    desk.wait(0.1)
    assert desk.child.killed
    desk.take(Ended(1, -9))
    assert len(desk.children) == 2


def test_application_that_cannot_be_loaded_waits_for_the_next_save(desk):
    """A syntax error does not end the session, and is not tried again and again."""
    desk.take(Ended(1, 1))
    desk.wait(1000)
    assert len(desk.children) == 1

    desk.take(Changed(["tasks.py"]))

    assert len(desk.children) == 2
    assert desk.screen.actions == ["dev_waiting", "dev_changed"]


def test_child_that_dies_while_running_is_started_again_later_each_time(desk):
    """The pause before a restart doubles up to its maximum."""
    for number, pause in enumerate([1, 2, 4, 8, 16, MAX_PAUSE_SECONDS, MAX_PAUSE_SECONDS], start=1):
        desk.take(LOADED, Ended(number, -9))
        desk.wait(pause - 0.1)
        assert len(desk.children) == number
        desk.wait(0.1)
        assert len(desk.children) == number + 1

    assert "SIGKILL" in desk.screen.fields[-1].message


def test_worker_that_ends_by_itself_waits_for_a_save(desk):
    """A worker that ended with 0 is not started again before the next save."""
    desk.take(LOADED, Ended(1, 0))
    desk.wait(1000)

    assert len(desk.children) == 1


def test_end_of_an_earlier_child_is_no_news(desk):
    """The end of a child that was replaced starts no further one."""
    desk.take(LOADED, Changed(["a.py"]), Ended(1, 0), LOADED, Ended(1, 0))

    assert len(desk.children) == 2


def test_loaded_application_tells_its_queues(desk):
    """The queues of the application are counted from then on."""
    desk.take(LOADED)

    assert desk.places == [QueuePlace(name="emails", url="http://sqs/emails")]
    assert desk.screen.fields[-1].fields["status"] == "running"


def test_counts_and_lines_reach_the_screen(desk):
    """Counts and printed lines are shown as they come."""
    depths = [Depths(queue="emails", ready=1, in_flight=0, delayed=0, dead=None)]

    desk.take(Counted(depths), Line("printed"))

    assert desk.screen.depths == depths
    assert desk.screen.fields == [Record(desk.screen.fields[0].fields)]
    assert desk.screen.fields[0].as_text() == "printed"


def test_stop_terminates_the_child_and_waits_for_its_end():
    """The first stop is an orderly one."""
    desk = Desk(ends_at=1)
    desk.events.put(Stop())

    desk.session.run()

    assert (desk.child.terminated, desk.child.killed) == (1, False)


def test_second_stop_does_not_wait():
    """The second stop is passed on, and the child ends at once."""
    desk = Desk(ends_at=2)
    desk.events.put(Stop())
    desk.events.put(Stop())

    desk.session.run()

    assert (desk.child.terminated, desk.child.killed) == (2, False)


def test_third_stop_kills(desk):
    """The third stop kills the child."""
    for _ in range(3):
        desk.events.put(Stop())

    desk.session.run()

    assert desk.child.killed


def test_restart_says_once_what_it_waits_for(desk):
    """A restart that waits for jobs says how many, and how long at most."""
    desk.take(LOADED, Counted([Depths(queue="emails", ready=0, in_flight=1, delayed=0, dead=None)]))
    desk.take(Changed(["a.py"]))
    desk.wait(1)
    assert "dev_draining" not in desk.screen.actions

    desk.wait(1)
    desk.wait(1)

    assert desk.screen.actions.count("dev_draining") == 1
    assert desk.screen.fields[-1].message == "waiting for 1 job, 3 s at most"


def test_quick_restart_does_not_say_that_it_waits(desk):
    """A child that ends at once is not waited for."""
    desk.take(LOADED, Changed(["a.py"]), Ended(1, 0))
    desk.wait(10)

    assert "dev_draining" not in desk.screen.actions


def test_status_says_which_file_caused_the_restart(desk):
    """While it restarts, and when it runs again."""
    desk.take(LOADED, Changed(["tasks.py", "models.py"]))
    assert desk.screen.fields[-1].fields["status"].startswith("restarting because tasks.py, models.py changed")

    desk.take(Ended(1, 0), LOADED)

    status = desk.screen.fields[-1].fields["status"]
    assert status.startswith("running; restarted at ")
    assert status.endswith(" because tasks.py, models.py changed")


def test_child_is_stopped_though_nobody_can_be_told():
    """The terminal or the pipe is gone, and every write fails."""
    desk = Desk(ends_at=1)
    desk.events.put(Stop())
    desk.events.put(Line("last words"))

    def fail(_record):
        raise OSError(5, "Input/output error")

    desk.screen.report = fail
    desk.session.run()

    assert (desk.child.terminated, desk.child.killed) == (1, False)
