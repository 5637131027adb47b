"""A registry in a package named as applications often are; the deploy test puts it into a function."""

from __future__ import annotations

import os
from pathlib import Path

from sqs_tasks import SQSEnv

env = SQSEnv(queue_prefix="e2e-")
greetings = env.queue("greetings")


@greetings.processor("greet", timeout=3, enqueues=[])
def greet(*, to: str) -> None:
    """Note who was greeted."""
    with Path(os.environ["E2E_NOTES"]).open("a") as file:
        file.write(f"greeted {to}\n")
