"""A registry is deployed by the CDK's own command line to an independent AWS, worked there, changed and destroyed.

The functions are the bundle that would go to AWS, for this machine's Python, run by AWS's runtime client.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.e2e.deployed_tasks import env
from tests.support.cdk_cli import CdkCli
from tests.support.deploying import Deployed, build_code
from tests.support.ministack import MiniStack

HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class DeployedTasks(Deployed):
    """The stack of ``deploy_app.py``.

    Attributes:
        notes_file: What tasks write to.
    """

    notes_file: Path

    def send(self, job_name: str, body: str) -> None:
        """Add a job in the wire format, by hand."""
        self.client("sqs").send_message(
            QueueUrl=self.url("e2e-emails"),
            MessageBody=body,
            MessageAttributes={
                "JobName": {"DataType": "String", "StringValue": job_name},
                "ContentType": {"DataType": "String", "StringValue": "json"},
            },
        )

    def notes(self) -> Counter[str]:
        """What tasks wrote, by how often."""
        return Counter(self.notes_file.read_text().splitlines())


@pytest.fixture(scope="module")
def deployed(
    aws: MiniStack, cdk: Callable[[str, dict[str, str]], CdkCli], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DeployedTasks]:
    """The stack, from deploy to destroy."""
    directory = tmp_path_factory.mktemp("deploy")
    manifest, notes = directory / "tasks.json", directory / "notes"
    manifest.write_text(json.dumps(env.manifest(app="deployed_tasks:env")))
    notes.touch()
    code = build_code(directory / "code", source=HERE, packages=["deployed_tasks"])
    command = cdk(
        f"{sys.executable} {HERE / 'deploy_app.py'}",
        {"manifest": str(manifest), "code": str(code), "notes": str(notes), "timeout": "35"},
    )
    command.run("deploy", "--require-approval", "never")
    stack = DeployedTasks(cdk=command, aws=aws, notes_file=notes)

    yield stack

    command.run("destroy", "--force")
    assert not stack.client("sqs").list_queues(QueueNamePrefix="e2e-").get("QueueUrls")
    assert "E2E" not in str(stack.client("lambda").list_functions()["Functions"])


def test_queues_are_as_the_registry_says(deployed: DeployedTasks) -> None:
    """The deployed queues have the registry's redrive, retention, encryption and the visibility of their function."""
    source, dead = deployed.attributes("e2e-emails"), deployed.attributes("e2e-emails_dead")

    assert source["VisibilityTimeout"] == str(6 * 35)
    assert source["SqsManagedSseEnabled"] == "true"
    assert json.loads(source["RedrivePolicy"]) == {"deadLetterTargetArn": dead["QueueArn"], "maxReceiveCount": 7}
    assert json.loads(source["RedriveAllowPolicy"]) == {"redrivePermission": "denyAll"}
    assert json.loads(dead["RedriveAllowPolicy"]) == {
        "redrivePermission": "byQueue",
        "sourceQueueArns": [source["QueueArn"]],
    }
    assert dead["MessageRetentionPeriod"] == "1209600"
    assert "aws:SecureTransport" in source["Policy"]
    mappings = deployed.client("lambda").list_event_source_mappings(EventSourceArn=source["QueueArn"])
    assert [item["FunctionResponseTypes"] for item in mappings["EventSourceMappings"]] == [["ReportBatchItemFailures"]]


def test_jobs_end_where_they_belong(deployed: DeployedTasks) -> None:
    """Good jobs are done once and gone, a failing one is retried alone, hopeless and poisonous ones are dead letters."""
    people = [f"{number}@jobs.example" for number in range(20)]
    for person in people:
        deployed.send("send_email", json.dumps({"to": person}))
    deployed.send("flaky", json.dumps({"to": "flaky@jobs.example"}))
    deployed.send("hopeless", json.dumps({"to": "hopeless@jobs.example"}))
    deployed.send("send_email", "{ poison")

    deployed.until(
        lambda: [deployed.count(f"e2e-{name}") for name in ("emails", "reports", "emails_dead")] == [0, 0, 2],
        what="every message done or a dead letter",
    )

    assert {note: times for note, times in deployed.notes().items() if note.endswith("@jobs.example")} == {
        **{f"sent {person}": 1 for person in people},
        **{f"reported {person}": 1 for person in people},
        "tried flaky@jobs.example": 2,
        "hoped hopeless@jobs.example": 2,
    }
    assert deployed.bodies("e2e-emails_dead", 2) == {'{"to": "hopeless@jobs.example"}', "{ poison"}


def test_producer_has_what_the_grant_gave_it(deployed: DeployedTasks) -> None:
    """A function that was granted the queue adds jobs by its environment alone."""
    answer = deployed.client("lambda").invoke(
        FunctionName=deployed.function_name("Producer"),
        Payload=json.dumps({"to": ["produced@example.com"]}).encode(),
    )

    assert "FunctionError" not in answer, answer["Payload"].read()
    assert len(json.load(answer["Payload"])) == 1
    deployed.until(lambda: deployed.notes()["reported produced@example.com"] == 1, what="the produced job's report")


def test_change_is_deployed_without_replacing_a_queue(deployed: DeployedTasks) -> None:
    """Another timeout reaches the function and the visibility, and the queue stays the one it was."""
    before = deployed.attributes("e2e-emails")
    deployed.client("sqs").send_message(QueueUrl=deployed.url("e2e-reports_dead"), MessageBody="kept")

    replace(deployed.cdk, context={**deployed.cdk.context, "timeout": "40"}).run(
        "deploy", "--require-approval", "never"
    )

    after = deployed.attributes("e2e-emails")
    assert after["VisibilityTimeout"] == str(6 * 40)
    assert after["CreatedTimestamp"] == before["CreatedTimestamp"]
    assert deployed.bodies("e2e-reports_dead", 1) == {"kept"}
