"""How many jobs a second can be sent for a later day: each is a one-shot schedule of EventBridge Scheduler.

    python benchmarks/schedules.py                 # 1,000 each, three rounds; writes its part of docs/benchmarks.md
    python benchmarks/schedules.py --jobs 5000 --no-write

The server is the embedded one, in a process of its own. A ratio compares the schedules per CPU second of this process
with those of bare boto3 doing the same just before; it is the median of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.config import Config

from sqs_tasks import Scheduler, SQSEnv
from sqs_tasks.sending.one_shots import SIDE_BY_SIDE

ROOT = Path(__file__).resolve().parents[1]
PAGE, HEADING = ROOT / "docs" / "benchmarks.md", "\n## Schedules made and deleted\n"
DAY = 86_400


@contextmanager
def server() -> Iterator[str]:
    """The embedded SQS and Scheduler, in a process of its own; gives its URL."""
    command = [sys.executable, "-m", "sqs_tasks", "local-sqs", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        url = next(found[0] for line in process.stdout if (found := re.search(r"http://[\d.]+:\d+", line)))
        try:
            yield url
        finally:
            process.terminate()


class Bench:
    """Ours and bare boto3, against one server."""

    def __init__(self, url: str, jobs: int) -> None:
        self._jobs = jobs
        self._role = "arn:aws:iam::000000000000:role/bench"
        self._bare = boto3.client("scheduler", endpoint_url=url, config=Config(max_pool_connections=50))
        self._bare.create_schedule_group(Name="bench")
        self._env = SQSEnv(endpoint_url=url, scheduler=Scheduler(group="bench", role_arn=self._role))
        queue = self._env.queue("reminders")
        self._task = queue.processor("remind")(lambda user: user)
        self._env.create_queues()
        self._input = json.dumps({"QueueUrl": queue.queue_url, "MessageBody": '{"user": 1}'})
        self._names: list[str] = []
        self._ids: list[str] = []
        self._env.post_send(lambda _, receipt: self._ids.append(receipt.job_id))

    def rounds(self, count: int) -> dict[str, list[tuple[float, float]]]:
        """Schedules per second, and per CPU second, of each contender by round."""
        contenders: dict[str, Callable[[], object]] = {
            "bare create": lambda: [self._create(n) for n in range(self._jobs)],
            "delay()": lambda: [self._task.options(delay_seconds=DAY).delay(user=n) for n in range(self._jobs)],
            f"bare create, {SIDE_BY_SIDE} threads": self._create_side_by_side,
            "map()": lambda: self._task.map(({"user": n} for n in range(self._jobs)), delay_seconds=DAY),
            "bare delete": lambda: [self._delete(self._names.pop()) for _ in range(self._jobs)],
            "cancel()": lambda: [self._env.cancel(self._ids.pop()) for _ in range(self._jobs)],
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
        for _ in range(count):
            for name, run in contenders.items():
                wall, cpu = time.perf_counter(), time.process_time()
                run()
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                found[name].append((self._jobs / wall, self._jobs / cpu))
        return found

    def _create(self, n: int) -> None:
        name = f"bare-{time.monotonic_ns()}-{n}"
        self._bare.create_schedule(
            Name=name,
            GroupName="bench",
            ScheduleExpression=time.strftime("at(%Y-%m-%dT%H:%M:%S)", time.gmtime(time.time() + DAY)),
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target={"Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage", "RoleArn": self._role, "Input": self._input},
        )
        self._names.append(name)

    def _create_side_by_side(self) -> None:
        with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
            list(threads.map(self._create, range(self._jobs)))

    def _delete(self, name: str) -> None:
        self._bare.delete_schedule(Name=name, GroupName="bench")


#: What each of ours is compared with.
BASES = {"delay()": "bare create", "map()": f"bare create, {SIDE_BY_SIDE} threads", "cancel()": "bare delete"}


def table(found: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """The rows of the page."""
    rows = ["| | schedules/s | per CPU second | ratio |", "|---|---:|---:|---:|"]
    for name, rounds in found.items():
        wall, cpu = (statistics.median(values) for values in zip(*rounds, strict=True))
        base = found[BASES.get(name, name)]
        ratio = statistics.median(ours[1] / bare[1] for ours, bare in zip(rounds, base, strict=True))
        rows.append(f"| {name} | {wall:.0f} | {cpu:.0f} | {ratio:.2f} |")
    return "\n".join(rows)


def main() -> None:
    """Measure, print, and write down."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--jobs", type=int, default=1_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--no-write", action="store_true")
    asked = options.parse_args()
    os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_REGION="us-east-1")
    os.environ.update(AWS_DEFAULT_REGION="us-east-1", AWS_CONFIG_FILE=os.devnull)
    with server() as url:
        found = Bench(url, asked.jobs).rounds(asked.rounds)
    text = (
        f"{HEADING}\n{asked.jobs} jobs, sent with a delay of a day, by `python benchmarks/schedules.py`: each is a "
        f"one-shot schedule, and a request of\nits own. `map()` makes {SIDE_BY_SIDE} side by side. On AWS the quotas "
        "of EventBridge Scheduler bound the speed.\n\n"
        f"{table(found)}\n"
    )
    print(text)
    if not asked.no_write:
        before = PAGE.read_text().partition(HEADING)[0]
        PAGE.write_text(before.rstrip("\n") + "\n" + text)


if __name__ == "__main__":
    main()
