"""What a job costs that is put off, beside one that is done: jobs a second, and requests for each.

    python benchmarks/postponed.py                 # 2,000 each, three rounds; writes its part of docs/benchmarks.md
    python benchmarks/postponed.py --no-write

The server is the embedded one, in a process of its own. A ratio compares the jobs per CPU second of this process with
those of jobs that are done; it is the median of the rounds.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import time
from pathlib import Path
from typing import Any

from schedules import server

from sqs_tasks import Postpone, SQSEnv
from sqs_tasks.shutdown_policies import MaxTasksShutdown

PAGE, HEADING = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md", "## Jobs that are put off"


def measure(env: SQSEnv, name: str, jobs: int) -> tuple[float, float, float]:
    """Jobs a second, jobs per CPU second, and requests for each job, of a queue that is worked until all are over."""
    queue = env.queue(name)
    queue.add_jobs(("job", {}) for _ in range(jobs))
    requests = 0

    def count(**_: Any) -> None:
        nonlocal requests
        requests += 1

    events = env.client().meta.events  # type: ignore[attr-defined]
    events.register("request-created.sqs", count, unique_id="bench")
    wall, cpu = time.perf_counter(), time.process_time()
    queue.process_queue(MaxTasksShutdown(jobs), prefetch=9)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    events.unregister("request-created.sqs", unique_id="bench")
    return jobs / wall, jobs / cpu, requests / jobs


def put_off() -> None:
    """Not within this benchmark."""
    raise Postpone(900)


def main() -> None:
    """Measure, print, and write down."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--jobs", type=int, default=2_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--no-write", action="store_true")
    asked = options.parse_args()
    os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_REGION="us-east-1")
    os.environ.update(AWS_DEFAULT_REGION="us-east-1", AWS_CONFIG_FILE=os.devnull)
    names = ("done", "put off")
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
    with server() as url:
        env = SQSEnv(endpoint_url=url)
        env.queue("done").processor("job")(lambda: None)
        env.queue("put_off").processor("job", postpones=True)(put_off)
        env.create_queues()
        for _ in range(asked.rounds):
            for name in names:
                found[name].append(measure(env, name.replace(" ", "_"), asked.jobs))
    rows = ["| | jobs/s | per CPU second | ratio | requests/job |", "|---|---:|---:|---:|---:|"]
    for name, rounds in found.items():
        wall, cpu, requests = (statistics.median(values) for values in zip(*rounds, strict=True))
        ratio = statistics.median(one[1] / done[1] for one, done in zip(rounds, found["done"], strict=True))
        rows.append(f"| {name} | {wall:.0f} | {cpu:.0f} | {ratio:.2f} | {requests:.2f} |")
    table = "\n".join(rows)
    text = (
        f"{HEADING}\n\n{asked.jobs} jobs in one process, by `python benchmarks/postponed.py`. One that is put off is "
        "received, sent again as a copy in a\nrequest of its own, and deleted with nine others.\n\n"
        f"{table}\n"
    )
    print(text)
    if not asked.no_write:
        page = PAGE.read_text()
        page = re.sub(rf"{HEADING}\n.*?(?=^## |\Z)", "", page, flags=re.DOTALL | re.MULTILINE)
        before, found_heading, after = page.partition("## Schedules made and deleted\n")
        PAGE.write_text(f"{before.rstrip()}\n\n{text}" + (f"\n{found_heading}{after}" if found_heading else ""))


if __name__ == "__main__":
    main()
