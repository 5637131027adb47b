"""Dead letters on their way back while connections are cut and processes are killed: nothing lost, doubles are named."""

from __future__ import annotations

import json
import random
import re
import signal
from collections import Counter
from contextlib import suppress

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.local.clock import SystemClock
from sqs_tasks.local.server import LocalSQSServer
from sqs_tasks.operations import Selection, letter_queues, retry
from tests.support.fault_proxy import FaultProxy
from tests.support.worker_processes import CREDENTIALS, client, processes

APP = """
from sqs_tasks import SQSEnv

env = SQSEnv()
jobs = env.queue("jobs")


@jobs.processor("work")
def work(n: int) -> None:
    pass
"""

LETTERS = 12


class ShiftedClock(SystemClock):
    """The real time, moved on by what a test says."""

    shift = 0.0

    def now(self) -> float:
        return super().now() + self.shift


class Post:
    """A server with letters, a proxy before it, and the books."""

    def __init__(self, clock, server, proxy) -> None:
        self.clock, self.proxy = clock, proxy
        self.direct = client(server.endpoint_url)
        env = SQSEnv(sqs_client=self.direct)
        env.queue("jobs")
        env.create_queues()
        self.urls = {name: env.get_queue_url(name) for name in ("jobs", "jobs_dead")}
        self.ids = [f"job-{n:04}-of-the-test" for n in range(LETTERS)]
        self.letters: dict[str, str] = {}
        for n, job_id in enumerate(self.ids):
            texts = {"JobName": "work", "ContentType": "json", "JobContext": "{}", "JobId": job_id}
            attributes = {name: {"DataType": "String", "StringValue": text} for name, text in texts.items()}
            sent = self.direct.send_message(
                QueueUrl=self.urls["jobs_dead"], MessageBody=json.dumps({"n": n}), MessageAttributes=attributes
            )
            self.letters[sent["MessageId"]] = job_id

    def held(self, name: str) -> Counter[str]:
        """The jobs of a queue by id, those included that somebody has left hidden."""
        self.clock.shift += 1_000
        found: Counter[str] = Counter()
        while messages := self.direct.receive_message(
            QueueUrl=self.urls[name], MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=900
        ).get("Messages"):
            found.update(one["MessageAttributes"]["JobId"]["StringValue"] for one in messages)
        return found

    def ready(self, name: str) -> int:
        answer = self.direct.get_queue_attributes(QueueUrl=self.urls[name], AttributeNames=["All"])
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])


@pytest.fixture
def post():
    clock = ShiftedClock()
    with LocalSQSServer(clock=clock) as server, FaultProxy(server.endpoint_url) as proxy:
        post = Post(clock, server, proxy)
        yield post
        post.direct.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_cut_connections_lose_nothing_and_double_only_what_is_named(post, monkeypatch, seed):
    """Requests and answers are cut, or throttled, at random; the command is given again until all letters are back."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    rng = random.Random(seed)
    post.proxy.plan = lambda _: rng.choice(["cut", "cut answer", "throttle"]) if rng.random() < 0.2 else None
    env = SQSEnv(endpoint_url=post.proxy.endpoint_url, client_config={"retries": {"total_max_attempts": 1}})
    env.queue("jobs")
    named: list[str] = []

    for _ in range(60):
        with suppress(Exception):
            [queue] = letter_queues(env)
            report = retry(queue, Selection())
            if report.doubtful is not None:
                named.append(report.doubtful.job_id)
            if not queue.counts().total:
                break
        post.clock.shift += 1_000  # what a cut left hidden comes back

    assert post.held("jobs_dead") == Counter()
    back = post.held("jobs")
    assert set(back) == set(post.ids), "nothing is lost"
    doubled = back - Counter(post.ids)
    assert doubled <= Counter(named), "a job that is there twice was named"
    assert post.proxy.faults, "the plan did something"


@pytest.mark.parametrize(
    ("action", "number", "doubled"),
    [
        ("SendMessage", signal.SIGKILL, 1),
        ("DeleteMessageBatch", signal.SIGKILL, 0),
        ("SendMessage", signal.SIGINT, 0),
    ],
)
def test_a_killed_command_has_named_the_one_letter_in_doubt(post, tmp_path, action, number, doubled):
    """Killed while the fifth letter is sent, or deleted: five jobs are back, the rest are letters, one may be both.

    Ctrl-C lets the fifth be finished, and hides no letter any longer.
    """
    with processes(tmp_path, post.proxy.endpoint_url) as run:
        run.write("app.py", APP)
        seen = []

        def plan(asked: str) -> None:
            if asked == action:
                seen.append(asked)
                if len(seen) == 5:
                    run.started[0].send_signal(number)

        post.proxy.plan = plan
        command = run.python("-m", "sqs_tasks", "dead", "retry", "app:env", "jobs", "--yes")
        code = command.wait(20)
        log = run.log(command)

    assert code == (130 if number == signal.SIGINT else -signal.SIGKILL)
    if number == signal.SIGINT:
        assert post.ready("jobs_dead") == LETTERS - 5, "not hidden"
        assert "5 retried from jobs_dead" in log
    back, dead = post.held("jobs"), post.held("jobs_dead")
    assert back + dead == Counter(post.ids) + Counter(sorted(set(back) & set(dead)))
    assert len(set(back) & set(dead)) == doubled
    assert sum(back.values()) == 5
    named = re.findall(r"^retrying (\S+) work$", log, re.MULTILINE)
    assert len(named) == 5, "each letter is named before it is sent"
    assert set(back) & set(dead) <= {post.letters[named[-1]]}, "the one that is doubled was named last"
