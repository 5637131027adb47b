"""What a cold start imports: a job that succeeds needs no boto3 and no event loop (architecture, decision 4)."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.local.function.function import InvokeRequest
from sqs_tasks.local.function.process import SubprocessFunction
from sqs_tasks.local.server import LocalSQSServer
from tests.support.lambda_events import event, record

pytest.importorskip("awslambdaric", reason="AWS's runtime client is the baseline")
pytest.importorskip("aws_lambda_powertools", reason="one start is compared with it")

SCRIPT = Path(__file__).parents[1] / "support" / "lambda_cold_start.py"

#: What none of the ways below may import.
HEAVY = {
    "aws_cdk",
    "aws_lambda_powertools",
    "asyncio",
    "boto3",
    "botocore",
    "click",
    "concurrent",
    "http",
    "multiprocessing",
    "pickle",
    "socketserver",
    "ssl",
    "urllib3",
    "uuid",
    "zlib",
}

#: Modules that one good event may import over AWS's runtime client.
MOST_MODULES = 60

GOOD = """
from sqs_tasks import SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler

env = SQSEnv(queue_prefix="shop-")
emails = env.queue("emails", max_receive_count=8)
ran = []

@emails.processor("send_email", max_attempts=5, timeout=30)
def send_email(to, subject, body):
    ran.append(to)

{more}
handler = SQSEventHandler(env)
event = {event!r}
"""


ARN = "arn:aws:sqs:us-east-1:123456789012:shop-emails"
ARGUMENTS = {"to": "a@example.com", "subject": "Hi", "body": "…"}


def start(more="", job="send_email", arguments=None, *, ok=True, **changes):
    """The modules that one event imports."""
    setup = GOOD.format(more=more, event=event(record("m-1", job, arguments or ARGUMENTS, arn=ARN, **changes)))
    done = subprocess.run(
        [sys.executable, str(SCRIPT), setup],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])},
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["answer"] == {"batchItemFailures": []}) is ok, done.stderr
    return set(told["imported"])


def heavy_of(imported):
    return {name.partition(".")[0] for name in imported} & HEAVY


def test_good_event_imports_nothing_heavy():
    """S58: initialisation has ten seconds, and every cold start waits for it."""
    imported = start()

    assert heavy_of(imported) == set()
    assert len(imported) <= MOST_MODULES, sorted(imported)
    assert not {name for name in imported if name.startswith(("sqs_tasks.guards", "sqs_tasks.store"))}


def test_schedules_are_paid_by_those_who_register_some():
    """An application without any imports nothing of them; one with some computes no runs in its functions."""
    assert not {name for name in start() if name.startswith("sqs_tasks.scheduling")}

    scheduled = start(
        more="""
from sqs_tasks import Cron

@emails.processor("nightly", schedule=Cron("0 2 * * ? *"))
def nightly():
    pass
"""
    )

    assert "sqs_tasks.scheduling.cron" in scheduled
    assert heavy_of(scheduled) <= {"uuid"}, "its message is written at the registration"
    assert "zoneinfo" not in scheduled


def test_good_event_imports_nothing_heavy_behind_the_runtime_client(tmp_path):
    """The same in AWS's runtime client itself, over an empty handler in it."""
    empty = "handler, event = (lambda *_: {'batchItemFailures': []}), {'Records': []}"
    good = GOOD.format(more="", event=event(record("m-1", "send_email", ARGUMENTS, arn=ARN)))

    imported = behind_runtime_client(tmp_path, "good", good) - behind_runtime_client(tmp_path, "empty", empty)

    assert heavy_of(imported) == set()
    assert len(imported) <= MOST_MODULES, sorted(imported)


def behind_runtime_client(directory, name, code):
    """The modules of a function's process after one event."""
    (directory / f"{name}.py").write_text(
        f"import sys\n{code}\n"
        "def run(_event, context):\n"
        "    assert handler(event, context) == {'batchItemFailures': []}\n"
        "    return sorted(sys.modules)\n"
    )
    variables = {"PYTHONPATH": os.pathsep.join([str(directory), str(SCRIPT.parents[2])])}
    function = SubprocessFunction(f"{name}.run", directory=directory, variables=variables)
    try:
        result = function.invoke(InvokeRequest(request_id="r-1", payload=b"{}"))
    finally:
        function.close()
    assert result.error is None, result.error
    return set(json.loads(result.payload))


def test_job_with_a_context_and_tagged_values_imports_no_more_of_it():
    """Dates, decimals and the like cost their own standard modules and nothing of ours."""
    imported = start(
        more="""
@emails.processor("bill", pass_context=True)
def bill(at, amount, context):
    assert type(at).__name__ == "datetime", at
""",
        job="bill",
        arguments={"at": {"$datetime": "2026-01-01T00:00:00+00:00"}, "amount": {"$decimal": "1.5"}},
    )

    assert heavy_of(imported) <= {"zlib"}


def test_job_that_fails_imports_boto3_and_no_event_loop():
    """The retry is its first call to SQS."""
    imported = start(
        more="""
@emails.processor("fails")
def fails(to, subject, body):
    raise ValueError("no")

class Client:
    def change_message_visibility_batch(self, **request):
        return {}
    def get_queue_url(self, **request):
        return {"QueueUrl": "https://queue"}

env.client._given = Client()
""",
        job="fails",
        ok=False,
    )

    assert heavy_of(imported) == set(), "beside the client itself, which boto3 would be"


def test_async_job_imports_asyncio_and_no_boto3():
    """An async task pays for its event loop and for nothing else."""
    imported = start(
        more="""
@emails.processor("concurrent")
async def concurrent(to, subject, body):
    pass
""",
        job="concurrent",
    )

    assert "asyncio" in imported
    assert not heavy_of(imported) & {"boto3", "botocore", "pickle", "multiprocessing"}


def test_detector_sees_a_heavy_import():
    """The test of the test: an application that imports boto3 itself."""
    assert {"boto3", "botocore"} <= heavy_of(start(more="import boto3"))


def test_start_takes_a_fraction_of_boto3s_and_of_powertools():
    """A quarter of boto3's on a quiet machine, which benchmarks/cold_start.py --check holds; here with room for others.

    Lambda starts a function for every burst, and pays for this each time.
    """
    benchmark = load_benchmark()
    costs = benchmark.measure([benchmark.OURS, benchmark.BOTO3, benchmark.UTILITY], repeat=3, endpoint_url="")
    ours, boto3, utility = (costs[one.name] for one in (benchmark.OURS, benchmark.BOTO3, benchmark.UTILITY))

    assert ours.milliseconds < 0.4 * boto3.milliseconds
    assert ours.milliseconds < utility.milliseconds
    assert ours.modules <= MOST_MODULES


def load_benchmark():
    """The benchmark's module, which is no part of a package."""
    path = Path(__file__).parents[2] / "benchmarks" / "cold_start.py"
    spec = importlib.util.spec_from_file_location("cold_start", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


PRODUCER = """
from sqs_tasks import SQSEnv

env = SQSEnv(endpoint_url={url!r}, region_name="us-east-1")

@env.queue("emails").processor("send_email")
def send_email(to: str) -> None: ...

send_email.delay("a@example.com")
import json, sys
print(json.dumps(sorted(sys.modules)))
"""


def test_a_first_send_needs_no_boto3():
    """A web function that only calls ``.delay()`` starts without the half second that boto3 takes."""
    with LocalSQSServer() as server:
        SQSEnv(endpoint_url=server.endpoint_url, region_name="us-east-1").create_standard_queue("emails")
        done = subprocess.run(
            [sys.executable, "-c", PRODUCER.format(url=server.endpoint_url)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        imported = set(json.loads(done.stdout))

    heavy = {"asyncio", "boto3", "botocore", "click", "urllib3", "sqs_tasks.execution.executor", "sqs_tasks.outcome"}
    assert imported & heavy == set()


def test_a_first_retry_and_dead_letter_need_no_boto3():
    """A function that fails is cold as well: to change the visibility and to move a message are two small requests."""
    with LocalSQSServer() as server:
        env = SQSEnv(endpoint_url=server.endpoint_url, region_name="us-east-1")
        for name in ("shop-emails", "shop-emails_dead"):
            env.create_standard_queue(name)
        urls = {name: env.get_queue_url(f"shop-{name}") for name in ("emails", "emails_dead")}
        fails = f"""
import os
os.environ.update(AWS_ENDPOINT_URL_SQS={server.endpoint_url!r}, AWS_REGION="us-east-1",
                  SQS_TASKS_QUEUE_URLS={json.dumps(urls)!r})

@emails.processor("fails", no_retry_on=(ValueError,))
def fails(kind):
    raise {{"later": KeyError, "never": ValueError}}[kind](kind)
"""
        for kind, answer in (("later", False), ("never", True)):
            env.client().send_message(QueueUrl=urls["emails"], MessageBody="{}")
            received = env.client().receive_message(QueueUrl=urls["emails"])["Messages"][0]

            imported = start(
                fails, job="fails", arguments={"kind": kind}, ok=answer, receiptHandle=received["ReceiptHandle"]
            )

            assert imported & {"boto3", "botocore", "urllib3", "asyncio", "concurrent"} == set()
