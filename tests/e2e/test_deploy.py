"""A registry is deployed by the CDK's own command line to an independent AWS, worked there, changed and destroyed.

The functions are the bundle that would go to AWS, for this machine's Python, run by AWS's runtime client.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sqs_tasks import envelopes
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

    def send(self, job_name: str, body: str, *, queue_name: str = "e2e-emails") -> None:
        """Add a job in the wire format, by hand."""
        self.client("sqs").send_message(
            QueueUrl=self.url(queue_name),
            MessageBody=body,
            MessageAttributes=_attributes(job_name),
        )

    def send_many(self, queue_name: str, jobs: Sequence[tuple[str, str]]) -> None:
        """Add jobs, each a task's name with a body, in the wire format, in tens."""
        sqs, url = self.client("sqs"), self.url(queue_name)
        for start in range(0, len(jobs), 10):
            entries = [
                {"Id": str(index), "MessageBody": body, "MessageAttributes": _attributes(job_name)}
                for index, (job_name, body) in enumerate(jobs[start : start + 10])
            ]
            assert not sqs.send_message_batch(QueueUrl=url, Entries=entries).get("Failed")

    def notes(self) -> Counter[str]:
        """What tasks wrote, by how often."""
        return Counter(self.notes_file.read_text().splitlines())


def _attributes(job_name: str) -> dict[str, dict[str, str]]:
    return {
        "JobName": {"DataType": "String", "StringValue": job_name},
        "ContentType": {"DataType": "String", "StringValue": "json"},
    }


@pytest.fixture(scope="module")
def deployed(
    aws: MiniStack, cdk: Callable[[str, dict[str, str]], CdkCli], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DeployedTasks]:
    """The stack, from deploy to destroy."""
    directory = tmp_path_factory.mktemp("deploy")
    manifest, notes = directory / "tasks.json", directory / "notes"
    manifest.write_text(json.dumps(env.manifest(app="deployed_tasks:env")))
    notes.touch()
    code = build_code(directory / "code", source=HERE, packages=["deployed_tasks", "app"])
    command = cdk(
        f"{sys.executable} {HERE / 'deploy_app.py'}",
        {"manifest": str(manifest), "code": str(code), "notes": str(notes), "timeout": "35", "stage": "dev"},
    )
    command.run("deploy", "--all", "--concurrency", "2", "--require-approval", "never")
    stack = DeployedTasks(cdk=command, aws=aws, notes_file=notes)

    yield stack

    command.run("destroy", "--all", "--force")
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


def test_stages_stand_side_by_side(deployed: DeployedTasks) -> None:
    """A job of one stage, and the job that it sends, are done by the functions of that stage and are in its queues alone."""
    deployed.send("send_email", json.dumps({"to": "dev@stages.example"}), queue_name="e2e-dev-emails")

    notes = deployed.notes_file.with_name(f"{deployed.notes_file.name}.dev")
    deployed.until(
        lambda: notes.exists() and "reported dev@stages.example" in notes.read_text().splitlines(),
        what="the report of the other stage",
    )

    assert not [note for note in deployed.notes() if "dev@stages.example" in note]
    assert deployed.attributes("e2e-dev-reports")["QueueArn"] != deployed.attributes("e2e-reports")["QueueArn"]


def test_workers_in_nested_stacks_are_fed_as_they_were_asked_for(deployed: DeployedTasks) -> None:
    """One queue feeds an alias and another a function of a capacity provider, each in a nested stack, and both work."""
    mappings = deployed.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    fed = {one["EventSourceArn"].rpartition(":")[2]: one["FunctionArn"].partition(":function:")[2] for one in mappings}
    reports = deployed.client("lambda").get_function_configuration(FunctionName=fed["e2e-dev-reports"])
    outputs = deployed.client("cloudformation").describe_stacks(StackName="E2E2")["Stacks"][0]["Outputs"]

    assert all(fed[f"e2e-dev-{name}"].startswith("E2E2-TasksWorkersPart") for name in ("emails", "reports", "orders"))
    assert (fed["e2e-dev-emails"].partition(":")[2], fed["e2e-dev-orders"].partition(":")[2]) == ("live", "")
    assert ":capacity-provider:e2e'" in str(reports["CapacityProviderConfig"])
    assert reports["MemorySize"] == 2_048
    assert deployed.url("e2e-dev-emails") in {one["OutputValue"] for one in outputs}

    deployed.send("report", json.dumps({"about": "instances@parts.example"}), queue_name="e2e-dev-reports")
    notes = deployed.notes_file.with_name(f"{deployed.notes_file.name}.dev")
    deployed.until(
        lambda: notes.exists() and "reported instances@parts.example" in notes.read_text().splitlines(),
        what="the job of the function on the capacity provider",
    )


def test_sources_feed_a_queue(deployed: DeployedTasks) -> None:
    """What a bucket, a topic and a rule send arrives as ``envelopes`` opens it; an API has its route.

    MiniStack runs no integration of an API with SQS. The template's test looks at that.
    """
    deployed.client("s3").put_object(Bucket="e2e-uploads", Key="picture.png", Body=b"x")
    (topic,) = (one["TopicArn"] for one in deployed.client("sns").list_topics()["Topics"])
    deployed.client("sns").publish(TopicArn=topic, Message="published")
    deployed.client("events").put_events(Entries=[{"Source": "e2e", "DetailType": "uploaded", "Detail": "{}"}])

    bodies = [letter["Body"] for letter in deployed.letters("e2e-uploads", 4)]  # S3 sends one to see whether it may
    arrived = {opened for body in bodies for opened in _opened(body)}
    assert arrived >= {("s3", "picture.png"), ("sns", "published"), ("eventbridge", "uploaded")}
    gateway = deployed.client("apigatewayv2")
    (api,) = gateway.get_apis()["Items"]
    (route,) = gateway.get_routes(ApiId=api["ApiId"])["Items"]
    assert route["RouteKey"] == "POST /hooks"


def _opened(body: str) -> list[tuple[str, str]]:
    data = json.loads(body)
    if "Records" in data:
        return [("s3", event.key) for event in envelopes.s3(body)]
    if "detail-type" in data:
        return [("eventbridge", envelopes.eventbridge(body).detail_type)]
    return [("sns", envelopes.sns(body).message)] if data.get("Type") == "Notification" else []


def test_package_named_app_is_the_applications(deployed: DeployedTasks) -> None:
    """The function of an application that is called ``app`` runs its tasks, and not something of ours by that name."""
    deployed.send("greet", json.dumps({"to": "greeted@app.example"}), queue_name="e2e-greetings")

    deployed.until(lambda: deployed.notes()["greeted greeted@app.example"] == 1, what="the job of the package app")


def test_books_of_two_thousand_jobs_balance(deployed: DeployedTasks) -> None:
    """Failures, timeouts, poison and repeated sends among them: nothing is lost, and the dead letters are exact."""
    jobs = {number: ("pay" if number % 10 == 3 else "ship", f'{{"number": {number}}}') for number in range(2_000)}
    jobs |= {number: ("lose", jobs[number][1]) for number in range(0, 2_000, 20)}
    jobs |= {number: ("count", jobs[number][1]) for number in range(1, 2_000, 100)}
    jobs |= {number: ("ship", f'{{"number": {number}') for number in range(2, 2_000, 100)}
    twice = range(4, 2_000, 100)
    poison = [body for _, body in jobs.values() if not body.endswith("}")]

    deployed.send_many("e2e-orders", [*jobs.values(), *(jobs[number] for number in twice)])
    dead = [body for name, body in jobs.values() if name in ("lose", "count")] + poison
    deployed.until(
        lambda: [deployed.count("e2e-orders"), deployed.count("e2e-orders_dead")] == [0, len(dead)],
        what="every order done or a dead letter",
    )

    expected = Counter[str]()
    for number, (name, body) in jobs.items():
        if body not in poison:
            runs = 2 if name in ("lose", "count") or number in twice else 1
            expected[f"{ {'ship': 'shipped', 'pay': 'paid', 'count': 'counted', 'lose': 'lost'}[name] } {number}"] = (
                runs
            )
    words = {note.split()[0] for note in expected}
    assert {note: times for note, times in deployed.notes().items() if note.split()[0] in words} == expected
    letters = deployed.letters("e2e-orders_dead", len(dead))
    assert Counter(letter["Body"] for letter in letters) == Counter(dead)
    assert Counter(letter["MessageAttributes"]["FailureType"]["StringValue"] for letter in letters) == {
        "LookupError": 100,
        "TaskTimeoutError": 20,
        "UndecodableMessageError": 20,
    }


def test_schedule_sends_a_job_that_the_function_runs(deployed: DeployedTasks) -> None:
    """The deployed target is a request that SQS takes, under the role that the stack made.

    MiniStack keeps schedules and does not run the universal target, so that what Scheduler would do is done here.
    """
    scheduler = deployed.client("scheduler")
    (group,) = (one["Name"] for one in scheduler.list_schedule_groups()["ScheduleGroups"] if one["Name"] != "default")
    schedule = scheduler.get_schedule(Name="reports.report", GroupName=group)
    target = schedule["Target"]
    role = deployed.client("iam").get_role(RoleName=target["RoleArn"].rpartition("/")[2])["Role"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]

    request = json.loads(target["Input"].replace("<aws.scheduler.scheduled-time>", "2030-01-31T01:00:00Z"))
    deployed.client("sqs").send_message(**request)

    deployed.until(lambda: deployed.notes()["reported 2030-01-31T01:00:00Z"] == 1, what="the run of the schedule")
    assert (schedule["ScheduleExpression"], schedule["State"]) == ("rate(1 minute)", "ENABLED")
    assert target["Arn"] == "arn:aws:scheduler:::aws-sdk:sqs:sendMessage"
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 185}
    assert trust["Condition"]["StringEquals"]["aws:SourceArn"].endswith(f":schedule-group/{group}")
    assert deployed.client("sqs").get_queue_url(QueueName=target["DeadLetterConfig"]["Arn"].rpartition(":")[2])


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
        "deploy", "E2E", "--require-approval", "never"
    )

    after = deployed.attributes("e2e-emails")
    assert after["VisibilityTimeout"] == str(6 * 40)
    assert after["CreatedTimestamp"] == before["CreatedTimestamp"]
    assert deployed.bodies("e2e-reports_dead", 1) == {"kept"}
