"""The registry that the deploy test puts into a function; what ran is noted in a file, one line a run."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from sqs_tasks import Every, Schedule, SQSEnv
from sqs_tasks.backoff_policies import ConstantBackoff

env = SQSEnv(queue_prefix="e2e-")

emails = env.queue("emails")
reports = env.queue("reports")
orders = env.queue("orders")


def _note(*words: str) -> int:
    """Add a line to the notes and return how often it is there."""
    _add_line(" ".join(words))
    return Path(os.environ["E2E_NOTES"]).read_text().splitlines().count(" ".join(words))


def _add_line(line: str) -> None:
    """Many processes do it at once; a short line that is appended stays one."""
    with Path(os.environ["E2E_NOTES"]).open("a") as file:
        file.write(line + "\n")


# Five cold functions import boto3 at the same time, which takes a busy machine seconds.
@emails.processor("send_email", timeout=10, max_attempts=4, backoff_policy=ConstantBackoff(1), enqueues=["reports"])
def send_email(*, to: str) -> None:
    """Send, and ask for a report of it."""
    _note("sent", to)
    report.delay(about=to)


@emails.processor("flaky", timeout=3, max_attempts=4, backoff_policy=ConstantBackoff(1), enqueues=[])
def flaky(*, to: str) -> None:
    """Fail the first time."""
    if _note("tried", to) == 1:
        raise ConnectionError("the mail server hung up")


@emails.processor("hopeless", timeout=3, max_attempts=2, backoff_policy=ConstantBackoff(1), enqueues=[])
def hopeless(*, to: str) -> None:
    """Fail for ever."""
    _note("hoped", to)
    raise ConnectionError("there is no mail server")


@reports.processor(
    "report",
    timeout=3,
    enqueues=[],
    schedule=Schedule(Every(minutes=1), arguments={"about": "<aws.scheduler.scheduled-time>"}),
)
def report(*, about: str) -> None:
    """Note that a report was asked for."""
    _note("reported", about)


@orders.processor("ship", timeout=3, enqueues=[])
def ship(*, number: int) -> None:
    """Succeed."""
    _add_line(f"shipped {number}")


@orders.processor("pay", timeout=3, max_attempts=4, backoff_policy=ConstantBackoff(1), enqueues=[])
def pay(*, number: int) -> None:
    """Fail the first time."""
    first = Path(os.environ["E2E_NOTES"]).parent / f"paying-{number}"
    if not first.exists():
        first.touch()
        raise ConnectionError("the bank hung up")
    _add_line(f"paid {number}")


@orders.processor("count", timeout=0.05, max_attempts=2, backoff_policy=ConstantBackoff(1), enqueues=[])
def count(*, number: int) -> None:
    """Never end."""
    _add_line(f"counted {number}")
    threading.Event().wait()


@orders.processor("lose", timeout=3, max_attempts=2, backoff_policy=ConstantBackoff(1), enqueues=[])
def lose(*, number: int) -> None:
    """Fail for ever."""
    _add_line(f"lost {number}")
    raise LookupError("nobody has seen it")


def produce(event: dict[str, list[str]], _context: object) -> list[str]:
    """A producer in a function of its own, with the rights and the environment that the stack gave it."""
    return [str(send_email.delay(to=to)) for to in event["to"]]
