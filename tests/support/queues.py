"""Environments over queues in memory, with a clock that stands still and a client that counts its calls."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from sqs_tasks.env import SQSEnv
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.local.memory import MemorySession
from sqs_tasks.local.peek import StoredMessage, stored_messages
from sqs_tasks.testing import DrainResult, drain
from sqs_tasks.worker.consumer import Consumer
from tests.support.scripted_client import ScriptedClient, Step


class Desk:
    """An environment with everything a test wants to look at or to move.

    Attributes:
        session: The queues; ``advance(seconds)`` moves their clock.
        sqs: The client, which counts its calls and fails on demand.
        env: The environment.
    """

    def __init__(self, **options: Any) -> None:
        self.session = MemorySession(options.pop("clock", None) or ManualClock())
        self.memory = self.session.client("sqs")
        self.sqs = ScriptedClient(self.memory)
        self.env = SQSEnv(sqs_client=self.sqs, **options)

    def create(self) -> None:
        """Create the registered queues with their dead-letter queues, unrecorded."""
        self.env.create_queues()
        self.sqs.calls.clear()
        self.sqs.counts.clear()

    def drain(self, queue: Any, *, raise_errors: bool = False) -> DrainResult:
        """Run everything, delayed jobs and retries included, past the client that counts."""
        with self.env.connected_to(self.memory):
            return drain(queue, raise_errors=raise_errors, wait=True)

    def stored(self, name: str) -> list[StoredMessage]:
        """What a queue holds, by its name in code."""
        return stored_messages(self.memory, self.env.get_queue_url(name))

    def bodies(self, name: str) -> list[str]:
        """The bodies of what a queue holds, in their order."""
        return [one.message.body for one in self.stored(name)]

    def states(self, name: str) -> list[str]:
        """Where what a queue holds is: ready, delayed or in_flight."""
        return [one.state for one in self.stored(name)]

    def refusing(self, code: str, *ids: str, sender_fault: bool = False) -> Step:
        """A step of SendMessageBatch that refuses these entries and really sends the others."""

        def step(request: dict[str, Any]) -> dict[str, Any]:
            taken = [entry for entry in request["Entries"] if entry["Id"] not in ids]
            answer = self.memory.send_message_batch(**{**request, "Entries": taken}) if taken else {}
            refused = [{"Id": entry["Id"], "Code": code, "SenderFault": sender_fault} for entry in request["Entries"]]
            return {**answer, "Failed": [one for one in refused if one["Id"] in ids]}

        return step


class Terminated:
    """A worker of one queue, and a SIGTERM for it that has been noticed when the call returns.

    A second signal ends the process, so a task that sends one must not be followed by another that does.
    """

    def __init__(self, queue: Any) -> None:
        self._consumer = Consumer([queue])
        self._noticed = threading.Event()
        self._consumer.stopping.on_request(self._noticed.set)

    def run(self) -> None:
        """Work until the signal."""
        self._consumer.run()

    def kill(self) -> None:
        """Send the signal; called by a task."""
        os.kill(os.getpid(), signal.SIGTERM)
        assert self._noticed.wait(10)
