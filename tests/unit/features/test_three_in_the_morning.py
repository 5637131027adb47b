"""Three in the morning: five kinds of dead letters in three queues, seen through a terminal of 80 columns.

The screens are kept in ``tests/unit/features/screens``; run with ``UPDATE_SCREENS=1`` to write them anew, and read them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sqs_tasks import MemorySession, Reject, SQSEnv
from sqs_tasks.cli.main import main
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.testing import drain

SCREENS = Path(__file__).parent / "screens"

#: 2026-12-01 00:00 UTC.
MIDNIGHT = 1_796_083_200


class Shop:
    """An application whose bank is down, and its three queues."""

    def __init__(self) -> None:
        self.clock = ManualClock(MIDNIGHT)
        self.session = MemorySession(clock=self.clock)
        self.env = SQSEnv(self.session, queue_prefix="shop-")
        self.emails = self.env.queue("emails", max_receive_count=3)
        self.orders = self.env.queue("orders", max_receive_count=3)
        self.reports = self.env.queue("reports", max_receive_count=3)
        self.is_bank_up = False
        self.done: list[object] = []
        self.emails.processor("send_email", max_attempts=1, redact=["body"])(self.send_email)
        self.orders.processor("pay", max_attempts=3)(self.pay)
        self.orders.processor("ship", max_attempts=1)(self.ship)
        self.env.create_queues()

    def send_email(self, to: str, body: str = "") -> None:
        if "@" not in to:
            raise ValueError(f"no address: {to!r}")
        self.done.append(to)

    def pay(self, order_id: int) -> None:
        if not self.is_bank_up:
            raise ConnectionError("the bank does not answer")
        self.done.append(order_id)

    def ship(self, order_id: int) -> None:
        raise Reject("out of stock")

    def night(self) -> None:
        """What has happened since midnight."""
        for order_id in range(4):
            self.orders.add_job("pay", order_id=order_id)
        self.orders.add_job("ship", order_id=7)
        drain(self.orders, wait=True, raise_errors=False)
        self.session.advance(3_600)
        self.emails.add_job("send_email", to="anna", body="private")
        drain(self.emails, raise_errors=False)
        self.session.advance(3_600)
        # Another program's message, and a job whose worker crashed each time, so that SQS moved it.
        self.env.client().send_message(QueueUrl=self.reports.queue_url, MessageBody='{"Records": []}')
        drain(self.reports, raise_errors=False)
        self.reports.add_job("nightly", day="2026-11-30")
        for _ in range(4):
            self.reports.get_raw_messages()
            self.session.advance(43_000 / 12)

    def alarms(self) -> dict[str, int]:
        """What the alarms of the dead-letter queues see."""
        return {name: self.env.queue(name).statistics().dead_letters or 0 for name in ("emails", "orders", "reports")}


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    shop = Shop()
    shop.night()
    for name in [one for one in os.environ if one.startswith(("SQS_TASKS_", "AWS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sqs_tasks.cli.dead.place.load", lambda _: shop.env)
    return shop


@pytest.fixture
def run(shop: Shop) -> Callable[..., Result]:
    def run(*words: str, given: str | None = None) -> Result:
        return CliRunner().invoke(main, ["dead", words[0], "shop:env", *words[1:]], input=given)

    return run


def check_screen(name: str, text: str) -> None:
    """Compare what is printed with the screen that is kept; ids and hosts differ from run to run."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<id>", text)
    text = re.sub(r"(?m)^\S{12}(?=  )", "<end of id> ", text) if name == "letters" else text
    text = re.sub(r"worker      .*", "worker      <host>", text)
    text = re.sub(r"(raised at   ).*?(test_three)", r"\1\2", text)
    text = re.sub(r"(?m):\d+:(send_email)", r":<line>:\1", text)
    lines = text.splitlines()
    assert all(len(line) <= 80 for line in lines), [line for line in lines if len(line) > 80]
    assert len(lines) <= 24, "it fits a terminal"
    file = SCREENS / f"{name}.txt"
    if os.environ.get("UPDATE_SCREENS"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


def test_what_is_dead_why_since_when_and_with_what(shop: Shop, run: Callable[..., Result]) -> None:
    """Two commands say it: all queues grouped, then one letter; arguments are shown when asked for, without secrets."""
    listed = run("ls")
    single = run("ls", "--letters", "--older", "0s")
    shown = run("show", "emails", "--arguments")

    check_screen("ls", listed.stdout)
    check_screen("letters", single.stdout)
    check_screen("show", shown.stdout)
    assert "private" not in listed.output + single.output + shown.output
    assert shop.alarms() == {"emails": 1, "orders": 5, "reports": 2}, "looking takes nothing away, and hides nothing"
    assert sum(queue.statistics().in_flight for queue in shop.env.queues.values()) == 0


def test_the_night_is_put_right(shop: Shop, run: Callable[..., Result]) -> None:
    """The bank is up: one kind is retried, one dropped, one edited, the rest seen to; counts are true at each step."""
    shop.is_bank_up = True

    # One first, then the others of its kind.
    assert (
        run("retry", "orders", "--task", "pay", "--limit", "1", given="y\n").stdout
        == "1 retried from shop-orders_dead\n"
    )
    assert shop.alarms() == {"emails": 1, "orders": 4, "reports": 2}
    drain(shop.orders)
    assert shop.done == [0]
    rest = run("retry", "--error", "ConnectionError", given="y\n")
    check_screen("retry", rest.output)
    assert shop.alarms() == {"emails": 1, "orders": 1, "reports": 2}
    drain(shop.orders)
    assert sorted(shop.done) == [0, 1, 2, 3], "each once"

    dropped = run("drop", "orders", "--reason", "out of stock", "--yes")
    assert dropped.stdout == "1 dropped from shop-orders_dead\n"
    assert shop.alarms() == {"emails": 1, "orders": 0, "reports": 2}

    edited = run("edit", "emails", "--set", "to=anna@example.com", "--yes")
    assert edited.stdout.startswith("1 edited: job ")
    assert shop.alarms() == {"emails": 0, "orders": 0, "reports": 2}
    drain(shop.emails)
    assert shop.done[-1] == "anna@example.com"

    # What SQS moved says nothing of why: its task is not here. What another program sent goes where it belongs.
    assert "moved by SQS" in run("ls", "reports", "--task", "nightly").stdout
    assert run("drop", "reports", "--yes").stdout == "2 dropped from shop-reports_dead\n"
    assert shop.alarms() == {"emails": 0, "orders": 0, "reports": 0}
    assert run("retry", "--yes").stdout.splitlines() == [
        f"0 retried from shop-{name}_dead: the dead-letter queue is empty" for name in ("emails", "orders", "reports")
    ]
