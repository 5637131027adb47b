"""What a cold start costs: modules, milliseconds and memory over AWS's own runtime client, and the bytes of a zip.

    python benchmarks/cold_start.py                 # the tables
    python benchmarks/cold_start.py --check         # and exit 1 if a limit is passed

Each line is a new process that has imported the runtime client already, as every Python function on Lambda has; what is
measured comes after that: importing, making the handler, and one event with one job. The best of several runs counts,
in CPU time, with the bytecode compiled before.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqs_tasks import SQSEnv
from sqs_tasks.local.server import LocalSQSServer

ROOT = Path(__file__).resolve().parents[1]

REGISTRY = """
from sqs_tasks import SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler

env = SQSEnv(queue_prefix="shop-")
emails = env.queue("emails", max_receive_count=8)

@emails.processor("send_email", max_attempts=5, timeout=30)
def send_email(to, subject, body):
    pass
"""

EVENT = {
    "Records": [
        {
            "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
            "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
            "body": '{"to": "a@example.com", "subject": "Hi", "body": "Thank you."}',
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1767225600000",
                "SenderId": "AROAEXAMPLEID:shop-web",
                "ApproximateFirstReceiveTimestamp": "1767225600012",
            },
            "messageAttributes": {
                name: {"stringValue": value, "stringListValues": [], "binaryListValues": [], "dataType": "String"}
                for name, value in {
                    "JobName": "send_email",
                    "ContentType": "json",
                    "JobContext": "{}",
                    "JobId": "5f0c8a52-94c8-4d51-9f5b-3a6c1d7e8b90",
                }.items()
            },
            "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:shop-emails",
            "awsRegion": "eu-west-1",
        }
    ]
}

CONTEXT = """
class Context:
    aws_request_id, function_name, memory_limit_in_mb = "r-1", "worker", "128"
    invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:worker"
    def get_remaining_time_in_millis(self):
        return 30_000
"""

RUN = f"{CONTEXT}\nassert handler({EVENT!r}, Context()) == {{'batchItemFailures': []}}\n"

BATCH_UTILITY = """
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
import json

processor = BatchProcessor(event_type=EventType.SQS)

def send_email(to, subject, body):
    pass

def record_handler(record):
    send_email(**json.loads(record.body))

def handler(event, context):
    return process_partial_response(event, record_handler, processor, context)
"""


@dataclass(frozen=True, kw_only=True)
class Start:
    """One way to start a function."""

    name: str
    code: str
    variables: tuple[tuple[str, str], ...] = ()


def instrumented(**parts: bool) -> str:
    """The handler with parts of the telemetry."""
    chosen = ", ".join(f"{name}={on}" for name, on in parts.items())
    return (
        REGISTRY
        + "from sqs_tasks.integrations.powertools import instrument\n"
        + f"handler = instrument(SQSEventHandler(env), service='shop', {chosen})\n"
        + RUN
    )


OURS = Start(name="registry, handler, one job", code=REGISTRY + "handler = SQSEventHandler(env)\n" + RUN)
BOTO3 = Start(name="`import boto3; boto3.client('sqs')`", code="import boto3; boto3.client('sqs')")
UTILITY = Start(name="Powertools' batch utility, one record", code=BATCH_UTILITY + RUN)
STARTS = (
    OURS,
    Start(
        name="the same with an async task",
        code=(REGISTRY + "handler = SQSEventHandler(env)\n" + RUN).replace("def send", "async def send"),
    ),
    BOTO3,
    UTILITY,
    Start(name="with Powertools' Logger", code=instrumented(logs=True, metrics=False, traces=False)),
    Start(name="… and Metrics", code=instrumented(logs=True, metrics=True, traces=False)),
    Start(name="… and Tracer, invocation not sampled", code=instrumented(logs=True, metrics=True, traces=True)),
    Start(
        name="… and Tracer, invocation sampled",
        code=instrumented(logs=True, metrics=True, traces=True),
        variables=(
            ("LAMBDA_TASK_ROOT", "/var/task"),
            ("_X_AMZN_TRACE_ID", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"),
        ),
    ),
)

#: A web function that adds one job, and the least that boto3 needs for the same; both ask for the queue's URL.
PRODUCER = Start(
    name="registry and the first `.delay()`",
    code=REGISTRY.replace("from sqs_tasks.aws_lambda import SQSEventHandler\n", "")
    + "send_email.delay('a@b.c', 'Hi', 'x')",
)
BOTO3_PRODUCER = Start(
    name="boto3: a client, GetQueueUrl, SendMessage",
    code="import boto3; sqs = boto3.client('sqs')\n"
    "sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName='shop-emails')['QueueUrl'], MessageBody='{}')",
)
PRODUCERS = (PRODUCER, BOTO3_PRODUCER)

_BYTECODE = tempfile.TemporaryDirectory(prefix="cold-start-")

#: Modules that one good event may import.
MOST_MODULES = 60

#: The share of boto3's start that ours may take.
MOST_OF_BOTO3 = 0.25

#: The share of boto3's first send that ours may take.
MOST_OF_BOTO3S_SEND = 0.3

PROBE = """
import json, sys, time
import awslambdaric.bootstrap
def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
before, kilobytes, started, clock = set(sys.modules), resident(), time.process_time(), time.perf_counter()
exec(compile(sys.argv[1], "function.py", "exec"), {"__name__": "function"})
took, elapsed = time.process_time() - started, time.perf_counter() - clock
print(json.dumps([took * 1000, len(set(sys.modules) - before), resident() - kilobytes, elapsed * 1000]))
"""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a start took."""

    milliseconds: float
    modules: int
    megabytes: float


def measure(starts: Sequence[Start], repeat: int, *, endpoint_url: str) -> dict[str, Cost]:
    """The best of several runs of each, taken in turns, so that a busy moment does not hit one alone.

    Args:
        starts: The ways to start.
        repeat: How often each is run.
        endpoint_url: Where producers find the queue ``shop-emails``.
    """
    found: dict[str, Cost] = {}
    for round_ in range(repeat + 1):
        for start in starts:
            took, modules, kilobytes, _ = json.loads(_run(start, endpoint_url))
            known = found.get(start.name)
            if round_ and (known is None or took < known.milliseconds):
                found[start.name] = Cost(milliseconds=took, modules=modules, megabytes=kilobytes / 1024)
    return found


def _run(start: Start, endpoint_url: str) -> str:
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        # The first run compiles, and does not count.
        "PYTHONPYCACHEPREFIX": _BYTECODE.name,
        "PYTHONPATH": str(ROOT),
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL_SQS": endpoint_url,
        "POWERTOOLS_LOG_LEVEL": "CRITICAL",
        "POWERTOOLS_METRICS_NAMESPACE": "SqsTasks",
        **dict(start.variables),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROBE, start.code], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise SystemExit(f"{start.name}:\n{done.stderr}")
    return done.stdout.splitlines()[-1]


def zip_bytes(files: Iterable[tuple[str, Path]]) -> int:
    """The bytes of a zip of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, path in files:
            archive.write(path, name)
    return buffer.tell()


def library_files() -> list[tuple[str, Path]]:
    """Our own, as a bundle has them."""
    return [
        (str(path.relative_to(ROOT)), path)
        for path in sorted((ROOT / "sqs_tasks").rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]


def package_files(*names: str) -> list[tuple[str, Path]]:
    """The files of installed packages."""
    return [
        (str(file), Path(str(file.locate())))
        for name in names
        for file in importlib.metadata.files(name) or ()
        if "__pycache__" not in str(file) and not str(file).startswith("..")
    ]


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=7, help="runs of which the best counts")
    parser.add_argument("--check", action="store_true", help="exit 1 if a limit is passed")
    options = parser.parse_args()
    with LocalSQSServer() as server:
        SQSEnv(endpoint_url=server.endpoint_url, region_name="eu-west-1").create_standard_queue("shop-emails")
        costs = measure((*STARTS, *PRODUCERS), options.repeat, endpoint_url=server.endpoint_url)
    print("| over AWS's runtime client | ms of CPU | modules | MB |\n|---|---|---|---|")
    for start in (*STARTS, *PRODUCERS):
        cost = costs[start.name]
        print(f"| {start.name} | {cost.milliseconds:.0f} | {cost.modules} | {cost.megabytes:.1f} |")
    powertools = ("aws-lambda-powertools", "jmespath", "typing_extensions")
    tracer = ("aws-xray-sdk", "wrapt", "botocore", "python-dateutil", "urllib3", "six")
    boto3 = ("boto3", "botocore", "s3transfer", "jmespath", "python-dateutil", "urllib3", "six")
    print("\n| zip of a small application | KiB |\n|---|---|")
    ours = library_files()
    for name, packages in {
        "the library and the entry point": (),
        "… with Powertools": powertools,
        "… with Powertools and its tracer, which brings botocore": powertools + tracer,
        "… with boto3, no Powertools": boto3,
    }.items():
        files = dict([*ours, *package_files(*packages)])
        print(f"| {name} | {zip_bytes(files.items()) / 1024:,.0f} |")
    if not options.check:
        return 0
    mine, theirs = costs[OURS.name], costs[BOTO3.name]
    problems = []
    if mine.modules > MOST_MODULES:
        problems.append(f"{mine.modules} modules, at most {MOST_MODULES}")
    if mine.milliseconds > MOST_OF_BOTO3 * theirs.milliseconds:
        problems.append(f"{mine.milliseconds / theirs.milliseconds:.0%} of boto3's start, at most {MOST_OF_BOTO3:.0%}")
    if mine.milliseconds > costs[UTILITY.name].milliseconds:
        problems.append("slower than Powertools' batch utility alone")
    send, of_boto3 = costs[PRODUCER.name].milliseconds, costs[BOTO3_PRODUCER.name].milliseconds
    if send > MOST_OF_BOTO3S_SEND * of_boto3:
        problems.append(f"{send / of_boto3:.0%} of boto3's first send, at most {MOST_OF_BOTO3S_SEND:.0%}")
    print("\n".join(problems))
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
