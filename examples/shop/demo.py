"""The whole road on one machine, without AWS: two runtimes, 1,000 jobs, and books that must balance.

    python examples/shop/demo.py

It starts a local SQS, creates the queues from the registry, adds jobs from a process of their own, works the receipts
with two container workers and the rest with a Lambda function behind the event source, and counts what became of each
job. Every process talks to SQS over real HTTP. It exits with 1 unless every job is accounted for.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console, JustifyMethod
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from shop import accounts
from shop.accounts import Account
from shop.journal import JOURNAL_VARIABLE
from shop.processes import Processes
from shop.tasks import env, payments, pictures, receipts

#: Where every process runs: the directory that has the package ``shop``.
EXAMPLES = Path(__file__).resolve().parents[1]

#: What every process gets instead of an AWS account; nothing here may reach a real one.
FAKE_AWS = {
    "AWS_ACCESS_KEY_ID": "demo",
    "AWS_SECRET_ACCESS_KEY": "demo",
    "AWS_SESSION_TOKEN": None,
    "AWS_PROFILE": None,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}

QUEUES = (receipts, pictures, payments)

#: The columns of the books, by their names there.
COUNTS = ("sent", "succeeded", "retried", "dead_lettered", "left", "lost")

#: Seconds between two looks at the queues, and between two lines about them in a pipe.
LOOK_SECONDS, LINE_SECONDS = 0.2, 2.0

console = Console(highlight=False, soft_wrap=True)


#: Seconds that everything may take which comes before the jobs, on a machine that has much else to do.
PREPARATION_SECONDS = 120.0


def main() -> int:
    """Play the demo, and return the exit code."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--jobs", type=int, default=1000, help="how many jobs the producer adds (default: 1000)")
    options.add_argument("--workers", type=int, default=2, help="container workers (default: 2)")
    options.add_argument("--timeout", type=float, default=60, help="seconds that the jobs may take (default: 60)")
    given = options.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="shop-demo-") as directory:
        try:
            books = play(Path(directory), jobs=given.jobs, workers=given.workers, timeout_seconds=given.timeout)
        except RuntimeError as error:
            console.print(f"the demo failed: {error}", style="red", markup=False)
            return 1
    show(books)
    problems = [f"{account.queue}: {problem}" for account in books for problem in account.problems]
    for problem in problems[:10]:
        console.print(problem, style="red", markup=False)
    verdict = f"{len(problems)} problems" if problems else "every job is accounted for"
    console.print(f"{verdict}; {time.monotonic() - started:.1f} s in all", style="bold", markup=False)
    return 1 if problems else 0


def play(directory: Path, *, jobs: int, workers: int, timeout_seconds: float) -> list[Account]:
    """Run everything once, and return the books.

    Raises:
        RuntimeError: A process failed.
    """
    outbox, journal = directory / "outbox.jsonl", directory / "journal.jsonl"
    journal.touch()
    deadline = time.monotonic() + PREPARATION_SECONDS
    with Processes(EXAMPLES, {**FAKE_AWS, JOURNAL_VARIABLE: str(journal)}, logs=directory) as processes:
        with step("a local SQS, in a process of its own: sqs-tasks local-sqs"):
            endpoint_url = start_sqs(processes, deadline)
        with step("its queues, from the registry: sqs-tasks queues create shop.tasks:env"):
            processes.start("queues", "-m", "sqs_tasks", "queues", "create", "shop.tasks:env")
            wait_for(processes, "queues", deadline)
            connect(endpoint_url)
        with step(f"{workers} container workers: sqs-tasks worker shop.tasks:env receipts"):
            containers = start_workers(processes, workers)
        with step("a Lambda function with two event sources: sqs-tasks invoke shop.function.handler"):
            sources = start_event_sources(processes)
        with step(f"a producer of {jobs:,} jobs: python shop/produce.py"):
            processes.start("producer", "shop/produce.py", "--jobs", str(jobs), "--outbox", str(outbox))
            wait_for(processes, "producer", deadline)
        work_off(processes, jobs, time.monotonic() + timeout_seconds)
        with step("stop: SIGTERM to the workers and the event sources, which finish what they have"):
            processes.stop([*containers, *sources])
        return accounts.close(env, outbox, journal)


def start_sqs(processes: Processes, deadline: float) -> str:
    """Start the local SQS on a free port, tell the later processes where it is, and return its URL."""
    processes.start("local SQS", "-m", "sqs_tasks", "local-sqs", "--port", "0")
    while (found := re.search(r"http://\S+", processes.log("local SQS").read_text(encoding="utf-8"))) is None:
        pause(processes, deadline)
    processes.variables["AWS_ENDPOINT_URL_SQS"] = found[0]
    return found[0]


def connect(endpoint_url: str) -> None:
    """Let this process look into the queues."""
    for name, value in {**FAKE_AWS, "AWS_ENDPOINT_URL_SQS": endpoint_url}.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def start_workers(processes: Processes, count: int) -> list[str]:
    """Start container workers; a short poll, so that they end soon after they are told to."""
    names = [f"worker {number + 1}" for number in range(count)]
    for name in names:
        processes.start(name, "-m", "sqs_tasks", "worker", "shop.tasks:env", receipts.name, "--wait-seconds", "1")
    return names


def start_event_sources(processes: Processes) -> list[str]:
    """Start an event source for each queue of the Lambda function, which runs in processes of AWS's own runtime."""
    # Without AWS's runtime client the handler runs in the event source's own process.
    where = () if importlib.util.find_spec("awslambdaric") else ("--in-process",)
    names = [f"event source of {queue.name}" for queue in (pictures, payments)]
    for name, queue in zip(names, (pictures, payments), strict=True):
        at = ("--queue", queue.get_sqs_queue_name(), "--maximum-concurrency", "2")
        processes.start(name, "-m", "sqs_tasks", "invoke", "shop.function.handler", *at, *where)
    return names


def wait_for(processes: Processes, name: str, deadline: float) -> None:
    """Wait until a process has ended well."""
    while not processes.finished(name):
        pause(processes, deadline)


def work_off(processes: Processes, jobs: int, deadline: float) -> None:
    """Wait until the queues are empty, and show how far they are; give up at the deadline, and let the books tell."""
    with progress(jobs) as tell:
        while time.monotonic() < deadline:
            left = sum(map(accounts.waiting, QUEUES))
            tell(jobs - left)
            if not left:
                return
            processes.check()
            time.sleep(LOOK_SECONDS)


def pause(processes: Processes, deadline: float) -> None:
    """A moment between two looks at something that is not there yet."""
    processes.check()
    if time.monotonic() > deadline:
        raise RuntimeError("it took too long to get ready; is the machine very busy? Try again")
    time.sleep(0.02)


@contextmanager
def step(text: str) -> Iterator[None]:
    """A line about a step, once it is done, with the time it took."""
    started = time.monotonic()
    yield
    console.print(f"{time.monotonic() - started:5.1f} s  {text}", markup=False)


@contextmanager
def progress(total: int) -> Iterator[Callable[[int], None]]:
    """How many jobs are settled: a bar on a terminal, a line now and then in a pipe."""
    started = time.monotonic()
    if console.is_terminal:
        columns = (TimeElapsedColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            line = bar.add_task("settled", total=total)
            yield lambda settled: bar.update(line, completed=settled)
    else:
        told = started

        def tell(settled: int) -> None:
            nonlocal told
            if time.monotonic() - told >= LINE_SECONDS:
                told = time.monotonic()
                console.print(f"{told - started:5.1f} s  {settled:,} of {total:,} settled")

        yield tell
    console.print(f"{time.monotonic() - started:5.1f} s  until the queues were empty, backoffs included")


def show(books: Sequence[Account]) -> None:
    """Print the books."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), collapse_padding=True, header_style="bold")
    for name in ("queue", "worked by", *COUNTS, "took"):
        justify: JustifyMethod = "left" if name in ("queue", "worked by") else "right"
        table.add_column(name.replace("_", "-"), justify=justify, no_wrap=True)
    for one in books:
        by = f"{one.processes} x {'worker' if one.queue == receipts.name else 'Lambda'}"
        table.add_row(one.queue, by, *(f"{getattr(one, name):,}" for name in COUNTS), f"{one.seconds:.1f} s")
    table.add_section()
    table.add_row("all", "", *(f"{sum(getattr(one, name) for one in books):,}" for name in COUNTS), "")
    console.print()
    console.print(table)
    console.print()


if __name__ == "__main__":
    sys.exit(main())
