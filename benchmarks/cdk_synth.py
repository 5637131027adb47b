"""How long a registry takes to become a template, and how large the template is.

    python benchmarks/cdk_synth.py                 # 1, 10, 50 and 100 queues
    python benchmarks/cdk_synth.py --queues 100 --tasks 20

Each size is a process of its own, because the first template of a process pays for starting the CDK's Node. Code is not
bundled: that happens once for all functions and depends on their dependencies. CloudFormation takes a template of 1 MB
and 500 resources; what does not fit is in nested stacks, and the largest of the templates counts. Each size is measured
with tasks that declare where they add jobs, and with tasks that do not and so may add jobs to every queue.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

#: What CloudFormation takes.
MAX_RESOURCES, MAX_BYTES = 500, 1_000_000


def registry(queues: int, tasks: int, *, declared: bool = True) -> dict[str, Any]:
    """A manifest of so many queues with so many tasks each; every tenth is FIFO, and one task of each enqueues."""
    return {
        "schema_version": 1,
        "sqs_tasks_version": "0",
        "app": "benchmark.tasks:env",
        "queue_prefix": "benchmark-",
        "queues": [_queue(number, tasks, declared=declared) for number in range(queues)],
    }


def _queue(number: int, tasks: int, *, declared: bool) -> dict[str, Any]:
    suffix = ".fifo" if number % 10 == 9 else ""
    return {
        "name": f"queue-{number}{suffix}",
        "queue_name": f"benchmark-queue-{number}{suffix}",
        "kind": "job",
        "fifo": bool(suffix),
        "content_based_deduplication": False,
        "delay_seconds": 0,
        "visibility_timeout_seconds": None,
        "message_retention_seconds": 345_600,
        "max_receive_count": 8,
        "dead_letter_queue": {
            "name": f"queue-{number}_dead{suffix}",
            "queue_name": f"benchmark-queue-{number}_dead{suffix}",
        },
        "runs_on": "lambda",
        "tasks": [
            {
                "name": f"task-{index}",
                "aliases": [],
                "timeout_seconds": 30,
                "max_attempts": 5,
                "max_age_seconds": None,
                "enqueues": None if not declared else ["queue-0"] if index == 0 else [],
            }
            for index in range(tasks)
        ],
    }


def measure(queues: int, tasks: int, *, declared: bool, monitored: bool) -> dict[str, float]:
    """Synthesise in this process."""
    started = time.perf_counter()
    from aws_cdk import App
    from aws_cdk.aws_lambda import Code

    from sqs_tasks_cdk.stack import TaskStack

    imported = time.perf_counter()
    with tempfile.TemporaryDirectory() as directory:
        app = App(outdir=directory, context={"@aws-cdk/aws-iam:minimizePolicies": True}, analytics_reporting=False)
        stack = TaskStack(
            app,
            "Benchmark",
            manifest=registry(queues, tasks, declared=declared),
            lambda_defaults={"code": Code.from_inline("def handler(event, context): ...")},
        )
        if monitored:
            stack.tasks.monitor(alarms_declined_because="a benchmark")
        constructed = time.perf_counter()
        app.synth()
        done = time.perf_counter()
        texts = [path.read_text() for path in Path(directory).glob("*.template.json")]
    return {
        "import": imported - started,
        "construct": constructed - imported,
        "synth": done - constructed,
        "resources": max(len(json.loads(text)["Resources"]) for text in texts),
        "bytes": max(len(text) for text in texts),
        "templates": len(texts),
    }


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queues", type=int, nargs="+", default=[1, 10, 50, 100])
    parser.add_argument("--tasks", type=int, default=5, help="tasks on each queue")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        declared, monitored = (word == "yes" for word in arguments.one.split(","))
        print(json.dumps(measure(arguments.queues[0], arguments.tasks, declared=declared, monitored=monitored)))
        return

    print("| queues | enqueues declared | monitored | import s | construct s | synth s | templates | resources | KB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for queues in arguments.queues:
        for declared, monitored in (("yes", "no"), ("no", "no"), ("yes", "yes"), ("no", "yes")):
            kind = f"{declared},{monitored}"
            done = subprocess.run(
                [sys.executable, __file__, "--queues", str(queues), "--tasks", str(arguments.tasks), "--one", kind],
                check=True,
                capture_output=True,
                text=True,
            )
            row = json.loads(done.stdout)
            over = " !" if row["resources"] > MAX_RESOURCES or row["bytes"] > MAX_BYTES else ""
            print(
                f"| {queues} | {declared} | {monitored} | {row['import']:.1f} | {row['construct']:.1f} "
                f"| {row['synth']:.1f} | {row['templates']} | {row['resources']}{over} | {row['bytes'] / 1000:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
