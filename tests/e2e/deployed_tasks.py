"""The registry that the deploy test puts into a function; what ran is noted in a file, one line a run."""

from __future__ import annotations

import os
from pathlib import Path

from sqs_tasks import SQSEnv
from sqs_tasks.backoff_policies import ConstantBackoff

env = SQSEnv(queue_prefix="e2e-")

emails = env.queue("emails")
reports = env.queue("reports")


def _note(*words: str) -> int:
    """Add a line to the notes and return how often it is there."""
    notes = Path(os.environ["E2E_NOTES"])
    with notes.open("a") as file:
        file.write(" ".join(words) + "\n")
    return notes.read_text().splitlines().count(" ".join(words))


@emails.processor("send_email", timeout=3, max_attempts=4, backoff_policy=ConstantBackoff(1), enqueues=["reports"])
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


@reports.processor("report", timeout=3, enqueues=[])
def report(*, about: str) -> None:
    """Note that a report was asked for."""
    _note("reported", about)


def produce(event: dict[str, list[str]], _context: object) -> list[str]:
    """A producer in a function of its own, with the rights and the environment that the stack gave it."""
    return [str(send_email.delay(to=to)) for to in event["to"]]
