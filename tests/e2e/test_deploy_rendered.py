"""What ``sqs-tasks render`` writes for CloudFormation is deployed with the zip of ``sqs-tasks bundle``, and a job runs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.deploying import BOOTSTRAP, Account
from tests.support.ministack import MiniStack

HERE = Path(__file__).parent
STACK = "Rendered"


@dataclass(frozen=True, kw_only=True)
class Rendered(Account):
    """The account with the stack.

    Attributes:
        notes: What tasks write to.
        said: What the command said that is not in the template.
    """

    notes: Path
    said: str


def run(aws: MiniStack, *words: str) -> subprocess.CompletedProcess[str]:
    """The command, for queues with names that no other test has."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-m", "sqs_tasks", *words],
        check=False,
        capture_output=True,
        text=True,
        cwd=HERE,
        env={**inherited, **aws.environment, "SQS_TASKS_QUEUE_PREFIX": "rendered-"},
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def rendered(aws: MiniStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rendered]:
    """The stack, from rendering to deletion."""
    directory = tmp_path_factory.mktemp("rendered")
    notes, code, file = directory / "notes", directory / "function.zip", directory / "template.yaml"
    notes.touch()
    said = run(
        aws,
        "render",
        "deployed_tasks:env",
        "--format",
        "cloudformation",
        "-o",
        str(file),
        "--variable",
        f"E2E_NOTES={notes}",
    ).stderr
    arch = "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    run(
        aws,
        "bundle",
        "deployed_tasks:env",
        "-o",
        str(code),
        "--python",
        python,
        "--arch",
        arch,
        "--without-requirements",
    )
    with zipfile.ZipFile(code, "a") as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.create_system, entry.external_attr = 3, 0o100755 << 16
        archive.writestr(entry, BOOTSTRAP)
    account = Rendered(aws=aws, notes=notes, said=said)
    account.client("s3").create_bucket(Bucket="code")
    account.client("s3").put_object(Bucket="code", Key="function-1.zip", Body=code.read_bytes())
    stacks = account.client("cloudformation")
    stacks.create_stack(
        StackName=STACK,
        # The emulator's own Python has no boto3; a runtime of our own is AWS's client in this environment.
        TemplateBody=file.read_text().replace("Runtime: python3.13", "Runtime: provided.al2023"),
        Parameters=[
            {"ParameterKey": "CodeBucket", "ParameterValue": "code"},
            {"ParameterKey": "CodeKey", "ParameterValue": "function-1.zip"},
        ],
        Capabilities=["CAPABILITY_IAM"],
    )

    def status() -> str:
        return str(stacks.describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"])

    account.until(lambda: not status().endswith("IN_PROGRESS"), what="the stack")
    events = stacks.describe_stack_events(StackName=STACK)["StackEvents"]
    assert status() == "CREATE_COMPLETE", [one for one in events if "FAILED" in one["ResourceStatus"]]

    yield account

    stacks.delete_stack(StackName=STACK)


def test_a_job_of_the_registry_runs(rendered: Rendered) -> None:
    """With the URLs and rights of the template: the job adds another to the other queue, whose function runs it."""
    run(rendered.aws, "send", "deployed_tasks:env", "emails", "send_email", "to=a@rendered.example")

    rendered.until(
        lambda: rendered.notes.read_text().splitlines() == ["sent a@rendered.example", "reported a@rendered.example"],
        what="the job, and the job that it adds",
    )
    rendered.until(
        lambda: [rendered.count(f"rendered-{name}") for name in ("emails", "reports", "emails_dead")] == [0, 0, 0],
        what="empty queues",
    )


def test_queues_and_mappings_are_as_rendered(rendered: Rendered) -> None:
    """What AWS would answer for them; and the command said what it left to others."""
    source, dead = rendered.attributes("rendered-emails"), rendered.attributes("rendered-emails_dead")
    mappings = rendered.client("lambda").list_event_source_mappings(EventSourceArn=source["QueueArn"])

    assert json.loads(source["RedrivePolicy"]) == {"deadLetterTargetArn": dead["QueueArn"], "maxReceiveCount": 7}
    assert json.loads(dead["RedriveAllowPolicy"])["sourceQueueArns"] == [source["QueueArn"]]
    assert (source["SqsManagedSseEnabled"], dead["MessageRetentionPeriod"]) == ("true", "1209600")
    assert "aws:SecureTransport" in source["Policy"]
    (mapping,) = mappings["EventSourceMappings"]
    assert (mapping["BatchSize"], mapping["FunctionResponseTypes"]) == (10, ["ReportBatchItemFailures"])
    function = rendered.client("lambda").get_function_configuration(FunctionName=mapping["FunctionArn"])
    assert source["VisibilityTimeout"] == str(6 * function["Timeout"])
    assert "note: Alarms and a dashboard are not rendered" in rendered.said


def test_a_schedule_is_in_the_group_that_the_stack_says(rendered: Rendered) -> None:
    """Its target is the request that sends to the deployed queue."""
    (stack,) = rendered.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}
    schedule = rendered.client("scheduler").get_schedule(Name="reports.report", GroupName=outputs["ScheduleGroupName"])

    assert json.loads(schedule["Target"]["Input"])["QueueUrl"] == rendered.url("rendered-reports")
    assert schedule["ScheduleExpression"] == "rate(1 minute)"


def test_nothing_differs_from_the_registry(rendered: Rendered) -> None:
    """``sqs-tasks diff`` finds in the account what a deployment by the CDK would have made."""
    done = run(rendered.aws, "diff", "deployed_tasks:env", "--stack", STACK, "--json")

    assert json.loads(done.stdout) == []
