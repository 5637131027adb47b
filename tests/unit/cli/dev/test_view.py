"""The live view, drawn on a console that remembers."""

from __future__ import annotations

import io
from contextlib import nullcontext

import pytest
from rich.console import Console

from sqs_tasks.cli.dev.depths import Depths
from sqs_tasks.cli.dev.record import Record
from sqs_tasks.cli.dev.view import DRAW_SECONDS, View, duration


class Bench:
    def __init__(self, height=40):
        self.out = io.StringIO()
        self.now = 0.0
        self.console = Console(file=self.out, width=100, height=height, force_terminal=True, color_system=None)
        self.is_free = True
        self.view = View(
            ["myapp.tasks:env as worker"],
            self.console,
            turn=lambda: nullcontext(self.is_free),
            clock=lambda: self.now,
        )

    def drawn(self):
        with self.console.capture() as capture:
            self.console.print(self.view.render())
        return capture.get()


@pytest.fixture
def bench():
    return Bench()


def job(action, **fields):
    told = {"queue_name": "emails", "job_name": "send_email", "attempt": 1, "duration_seconds": 0.0123, **fields}
    return Record.make(
        "a job", level=fields.pop("level", "INFO"), logger="sqs_tasks.execution.executor", action=action, **told
    )


def test_queues_show_their_numbers(bench):
    """A row has ready, in flight, delayed and dead messages."""
    bench.view.count([Depths(queue="emails", ready=1234, in_flight=2, delayed=3, dead=4)])

    row = next(line for line in bench.drawn().splitlines() if "emails" in line)

    assert row.split() == ["emails", "1,234", "2", "3", "4"]


def test_jobs_show_outcome_attempt_and_duration_newest_first(bench):
    """The last job stands first."""
    bench.view.report(job("job_retried", attempt=1))
    bench.view.report(job("job_succeeded", attempt=2, duration_seconds=3.21))

    rows = [line.split()[1:] for line in bench.drawn().splitlines() if "send_email" in line]

    assert rows == [
        ["emails", "send_email", "succeeded", "2", "3.2", "s"],
        ["emails", "send_email", "retried", "1", "12", "ms"],
    ]


def test_last_failure_shows_its_traceback(bench):
    """Only the newest failure is shown, square brackets included."""
    bench.view.report(job("job_retried", exception="Traceback\n  first\nValueError: first"))
    bench.view.report(job("job_rejected", exception="Traceback\n  [second]\nValueError: second"))

    drawn = bench.drawn()

    assert "ValueError: second" in drawn
    assert "[second]" in drawn
    assert "ValueError: first" not in drawn


def test_long_traceback_keeps_its_end(bench):
    """The end of a traceback says what happened; its beginning is cut."""
    lines = [f"line {number}" for number in range(100)]
    bench.view.report(job("job_rejected", exception="\n".join(lines)))

    drawn = bench.drawn()

    assert "line 99" in drawn
    assert "line 0 " not in drawn


def test_drawing_fits_on_a_low_terminal():
    """A drawing higher than the terminal could not be drawn over."""
    bench = Bench(height=24)
    bench.view.count([Depths(queue="emails", ready=0, in_flight=0, delayed=0, dead=0)])
    for number in range(30):
        bench.view.report(
            job("job_rejected", exception="\n".join(f"line {line}" for line in range(50)), attempt=number)
        )

    assert len(bench.drawn().splitlines()) <= 24


@pytest.mark.parametrize("height", [20, 24, 32, 50])
def test_drawing_with_wrapped_lines_fits_with_a_row_to_spare(height):
    """Or its first lines stay on the terminal, once more, when it is drawn for the last time."""
    bench = Bench(height=height)
    bench.view.count([Depths(queue=name, ready=0, in_flight=0, delayed=0, dead=0) for name in ("emails", "orders")])
    for _ in range(12):
        bench.view.report(job("job_succeeded"))
    bench.view.report(job("job_retried", exception="Traceback\n  one\n  two\nValueError: " + "why it failed " * 20))

    drawn = bench.drawn()

    assert len(drawn.splitlines()) < height
    assert "ValueError" in drawn


def test_typed_ctrl_c_does_not_push_the_drawing_up(bench):
    """It is echoed where the cursor stands: in a row of its own, which is drawn over."""
    bench.view.report(job("job_rejected", exception="ValueError: no"))

    assert bench.drawn().splitlines()[-1].strip() == ""


def test_failure_shows_when_it_was(bench):
    """The time of the failure stands above its traceback."""
    failed = job("job_rejected", exception="ValueError: no")
    bench.view.report(failed)

    assert f"{failed.time} a job" in bench.drawn()


def test_syntax_error_is_shown_until_the_application_loads(bench):
    """An error of the source is gone once the application runs again."""
    refused = Record.make("cannot load x", level="ERROR", action="dev_not_loaded", exception="SyntaxError: invalid")
    bench.view.report(refused)
    assert "SyntaxError" in bench.drawn()

    bench.view.report(Record.make("loaded", action="dev_loaded", status="running"))

    assert "SyntaxError" not in bench.drawn()
    assert "running" in bench.drawn()


def test_what_tasks_print_scrolls_above(bench):
    """Printed text is shown as it is, without markup."""
    with bench.view:
        bench.view.report(Record.read("hello [bold] there"))

    assert "hello [bold] there" in bench.out.getvalue()


def test_drawings_keep_their_distance(bench):
    """Many events within a moment are one drawing."""
    with bench.view:
        before = bench.out.tell()
        bench.view.report(job("job_succeeded"))
        bench.view.pulse()
        assert bench.out.tell() == before

        bench.now += DRAW_SECONDS
        bench.view.pulse()

        assert bench.out.tell() > before


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0004, "0 ms"), (0.5, "500 ms"), (3.44, "3.4 s"), (125.9, "2 min 5 s")]
)
def test_durations_are_said_as_people_do(seconds, said):
    """Milliseconds, seconds or minutes, by the length."""
    assert duration(seconds) == said


def test_running_jobs_are_shown_with_the_time_they_have_taken(bench):
    """Until their outcome is known; the one that has been running longest comes first."""
    bench.view.report(job("job_started", message_id="1", job_name="long"))
    bench.now += 3
    bench.view.report(job("job_started", message_id="2", job_name="short", attempt=2))
    bench.now += 0.5

    rows = [line.split()[1:] for line in bench.drawn().splitlines() if "emails" in line]
    bench.view.report(job("job_succeeded", message_id="1", job_name="long", duration_seconds=4))
    after = [line.split()[2:4] for line in bench.drawn().splitlines() if "emails" in line]

    assert rows == [
        ["emails", "long", "running", "1", "3.5", "s"],
        ["emails", "short", "running", "2", "500", "ms"],
    ]
    assert after == [["short", "running"], ["long", "succeeded"]]


@pytest.mark.parametrize(
    "end",
    [
        Record.make("died", action="dev_died"),
        Record.make("loaded", action="dev_loaded"),
        Record.make("timed out", action="event_source_function_error", level="ERROR", message_ids=["1"]),
    ],
)
def test_jobs_whose_process_is_gone_run_no_more(bench, end):
    """Their outcome will never be heard of."""
    bench.view.report(job("job_started", message_id="1", job_name="lost"))
    bench.view.report(end)

    assert "lost" not in bench.drawn()


def test_running_time_is_drawn_again_every_second(bench):
    """Though nothing else happens."""
    with bench.view:
        bench.view.report(job("job_started", message_id="1"))
        bench.now += DRAW_SECONDS
        bench.view.pulse()
        before = bench.out.tell()
        bench.now += 1
        bench.view.pulse()

        assert "1.1 s" in bench.out.getvalue()[before:]


def test_what_the_application_logs_scrolls_above_and_our_own_news_does_not(bench):
    """INFO of the application too; the board has what this library reports of jobs."""
    with bench.view:
        bench.view.report(Record.make("the application says", logger="myapp.tasks"))
        bench.view.report(Record.make("the library says", logger="sqs_tasks.worker.consumer"))

        assert "the application says" in bench.out.getvalue()
        assert "the library says" not in bench.out.getvalue()


def test_nothing_is_written_while_a_debugger_has_the_terminal(bench):
    """And afterwards nothing of what it wrote is drawn over, nor anything lost."""
    with bench.view:
        bench.is_free = False
        before = bench.out.tell()
        bench.view.report(Record.read("printed meanwhile"))
        bench.now += 5
        bench.view.pulse()
        assert bench.out.tell() == before

        bench.is_free = True
        bench.view.pulse()

        after = bench.out.getvalue()[before:]
        assert "printed meanwhile" in after
        assert "in flight" in after
        assert "\x1b[1A" not in after  # the cursor does not go up over the debugger's lines
