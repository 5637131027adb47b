"""A chaos run: jobs through workers that are killed and stopped, over a network that cuts, throttles and falls silent.

While it runs, credentials are renewed and the old ones refused, and the wall clock of the workers jumps.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sqs_tasks import SQSEnv
from sqs_tasks.local.server import LocalSQSServer
from tests.support.chaos_books import Books
from tests.support.fault_proxy import FaultProxy
from tests.support.jumping_clock import SITE_CUSTOMIZE
from tests.support.polling import until
from tests.support.worker_processes import children_of, client, processes

_HANDLE = re.compile(rb'"ReceiptHandle": *"([^"]+)"')

ROOT = Path(__file__).parents[2]

GROUPS = 10

#: One job of so many is of this kind; the others just work.
KINDS = {
    "flaky": 20,
    "later": 100,
    "put_off": 100,
    "wait": 10,
    "pool": 400,
    "command": 400,
    "leaves_a_fork": 400,
    "slow": 150,
}

#: One poisoned job, one that crashes, and a step for each FIFO group, for so many jobs.
POISON_EVERY, CRASH_EVERY, STEPS_EVERY = 500, 4_000, 500

#: Jobs of a wave; the next one is sent when fewer than twice as many are left.
WAVE = 500

#: Seconds that workers get to bring the queues to their end when no more is sent.
PATIENCE = 150

#: Seconds between two things that are done to the workers, and between two looks.
EVENT_SECONDS, LOOK_SECONDS = (0.5, 1.5), 0.25

#: What is done to the workers, and how often compared with the others.
EVENTS = {
    "kill a worker process": 4,
    "stop a worker process": 3,
    "kill a supervisor": 2,
    "stop a supervisor": 1,
    "stop it twice at once": 2,
    "stop it, later again": 1,
    "renew credentials": 4,
    "silence": 1,
}


class ChaosRun:
    """One run.

    Args:
        directory: An empty one, for the processes' files.
        seed: Of the order of events; which thread comes first stays chance.
        is_over: Asked before each wave with the number of jobs sent: whether that was the last.
        say: Called with lines about the progress, once a minute.
    """

    def __init__(
        self, directory: Path, *, seed: int, is_over: Callable[[int], bool], say: Callable[[str], Any] = lambda _: None
    ) -> None:
        self.books = Books()
        self._directory = directory
        self._chance = random.Random(seed)
        self._kinds = random.Random(seed + 1)
        self._network = random.Random(seed + 2)
        # Each once, however short the run; then by chance.
        self._agenda = self._chance.sample(list(EVENTS), len(EVENTS))
        self._is_over = is_over
        self._say = say
        self._workers: list[subprocess.Popen[str]] = []
        self._stopped: list[tuple[str, subprocess.Popen[str]]] = []
        self._again: list[tuple[float, subprocess.Popen[str]]] = []
        self._silent_until = 0.0
        self._renewals = 0

    def run(self) -> Books:
        """Run it to its end; what is wrong with it stands in the books.

        Raises:
            AssertionError: The queues do not become empty.
        """
        with ExitStack() as stack:
            server = stack.enter_context(LocalSQSServer())
            self._proxy = stack.enter_context(FaultProxy(server.endpoint_url, self._fault))
            self._sqs = client(server.endpoint_url)
            stack.callback(self._sqs.close)
            self._env = SQSEnv(sqs_client=self._sqs)
            self._env.queue("jobs", max_receive_count=100)
            self._env.queue("steps.fifo", max_receive_count=100)
            self._env.create_queues()
            self._processes = stack.enter_context(processes(self._directory, self._proxy.endpoint_url))
            self._processes.write("sitecustomize.py", SITE_CUSTOMIZE)
            self._renew_credentials()
            self._workers = [self._start(), self._start()]
            began = time.monotonic()
            self._work(began)
            self.books.seconds = time.monotonic() - began
            self._end()
            self.books.lost_handles = {
                zlib.crc32(handle) for body in self._proxy.lost for handle in _HANDLE.findall(body)
            }
            self.books.read(self._processes.lines("done"))
            self.books.dead_letters = Counter(self._dead_letters())
        self.books.faults = Counter()
        for (_, fault), count in self._proxy.faults.items():
            self.books.faults[fault] += count
        return self.books

    def _work(self, began: float) -> None:
        next_event = next_line = 0.0
        last_wave: float | None = None
        while True:
            now, left = time.monotonic(), self._left("jobs") + self._left("steps.fifo")
            if last_wave is None and left < 2 * WAVE:
                self._send_wave()
                last_wave = now if self._is_over(self.books.sent) else None
            elif last_wave is not None and not left:
                return
            if last_wave is not None and now - last_wave > PATIENCE:
                raise AssertionError(f"{left} messages are left after {PATIENCE} s; {self.books.text()}")
            if now >= next_event:
                next_event = now + self._chance.uniform(*EVENT_SECONDS)
                weighted = self._chance.choices(list(EVENTS), list(EVENTS.values()))
                self._do(self._agenda.pop() if self._agenda else weighted[0])
            if now >= next_line:
                next_line = now + 60
                self._say(f"{now - began:5.0f} s: {self.books.sent} jobs sent, {left} left, {dict(self.books.events)}")
            for moment, worker in self._again:
                if now >= moment:
                    worker.send_signal(signal.SIGTERM)
            self._again = [(moment, worker) for moment, worker in self._again if now < moment]
            time.sleep(LOOK_SECONDS)

    def _send_wave(self) -> None:
        books, first = self.books, self.books.sent

        def calls() -> Iterator[tuple[str, dict[str, Any]]]:
            for n in range(first, first + WAVE):
                yield self._kind(n), {"n": n}
                if n % POISON_EVERY == 0:
                    books.poison.add(n)
                    yield "poison", {"n": n}

        self._env.queue("jobs").add_jobs(calls())
        books.sent += WAVE
        steps = self._env.queue("steps.fifo")
        with steps.add_batch():
            for _ in range(WAVE // STEPS_EVERY):
                for group in (f"g{number}" for number in range(GROUPS)):
                    steps.add_job("step", _group_id=group, group=group, n=books.steps[group])
                    books.steps[group] += 1

    def _kind(self, n: int) -> str:
        if n % CRASH_EVERY == CRASH_EVERY // 4:
            return "segfault"
        for kind, one_of in KINDS.items():
            if self._kinds.random() < 1 / one_of:
                return kind
        return "work"

    def _fault(self, _: str) -> str | float | None:
        if time.monotonic() < self._silent_until:
            return "hang"
        if self._network.random() >= 0.01:
            return None
        return self._network.choice(["throttle", "cut", "cut answer", "error", 0.05])

    def _do(self, event: str) -> None:
        place = self._chance.randrange(len(self._workers))
        worker = self._workers[place]
        if event == "renew credentials":
            self._renew_credentials()
        elif event == "silence":
            self._silent_until = time.monotonic() + 1.5
        elif not (children := children_of(worker.pid)):
            self._agenda.append(event)  # it is only starting
            return
        elif event.endswith("a worker process"):
            child = self._chance.choice(children)
            number = signal.SIGKILL if event.startswith("kill") else signal.SIGTERM
            if number == signal.SIGKILL:
                self.books.dead_processes.add(child)
            try:
                os.kill(child, number)
            except ProcessLookupError:
                return
        elif event == "kill a supervisor":
            worker.kill()  # its worker processes notice it and stop by themselves
            worker.wait()
            self._workers[place] = self._start()
        else:
            self._stop(event, worker)
            self._workers[place] = self._start()
        self.books.events[event] += 1

    def _stop(self, event: str, worker: subprocess.Popen[str]) -> None:
        """Ask a supervisor to stop: once, twice as one wish, or once more when the first wish was heard."""
        worker.send_signal(signal.SIGTERM)
        if event == "stop it twice at once":
            time.sleep(self._chance.uniform(0, 0.5))
            worker.send_signal(signal.SIGTERM)
        if event == "stop it, later again":
            self.books.dead_processes.update(children_of(worker.pid))
            self._again.append((time.monotonic() + 1.3, worker))
            self._stopped.append(("later again", worker))
        else:
            self._stopped.append(("once", worker))

    def _renew_credentials(self) -> None:
        """Write new ones where the workers read them, and refuse the old ones from now on."""
        self._renewals += 1
        key = f"KEY{self._renewals}"
        written = self._directory / "credentials.new"
        written.write_text(f"[default]\naws_access_key_id={key}\naws_secret_access_key=s\naws_session_token=t\n")
        written.replace(self._directory / "credentials")
        self._proxy.accepted_key = key

    def _start(self) -> subprocess.Popen[str]:
        variables = {
            "PYTHONPATH": f"{self._directory}{os.pathsep}{ROOT}",
            "AWS_SHARED_CREDENTIALS_FILE": str(self._directory / "credentials"),
            "AWS_ACCESS_KEY_ID": "",
            "AWS_SECRET_ACCESS_KEY": "",
        }
        return self._processes.python(
            *("-m", "sqs_tasks", "worker", "tests.support.chaos_app:env", "--supervise", "--wait-seconds", "1"),
            *("-c", "10", "--prefetch", "10", "--grace-seconds", "5", "--log-level", "error"),
            variables=variables,
        )

    def _end(self) -> None:
        for worker in self._workers:
            until(lambda worker=worker: children_of(worker.pid), what="a supervisor hears signals")
            self._stop("stop a supervisor", worker)
        for asked, worker in self._stopped:
            self.books.codes.setdefault(asked, Counter())[worker.wait(30)] += 1

    def _left(self, name: str) -> int:
        url = self._sqs.get_queue_url(QueueName=name)["QueueUrl"]
        told = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return sum(int(told[f"ApproximateNumberOfMessages{which}"]) for which in ("", "NotVisible", "Delayed"))

    def _dead_letters(self) -> Iterator[int]:
        """The numbers of the jobs in the dead-letter queue."""
        url = self._sqs.get_queue_url(QueueName="jobs_dead")["QueueUrl"]
        while messages := self._sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            for message in messages:
                name, number = message["MessageAttributes"]["JobName"]["StringValue"], json.loads(message["Body"])["n"]
                yield number if name == "poison" else -1 - number
