"""A fault is planted for each kind of finding, and found; a healthy application has none."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from sqs_tasks import Cron, MemorySession, SQSEnv
from sqs_tasks.errors import ConfigurationError, StoreUnavailableError
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.operations.doctor import Examination, examine
from tests.support.scripted_client import ScriptedClient, raising

ACCOUNT = "000000000000"


class Patient:
    """A healthy application with a queue in memory, and fakes of the other services."""

    def __init__(self) -> None:
        self.session = MemorySession(clock=ManualClock(1_796_083_200))
        self.sqs = ScriptedClient(self.session.client("sqs"))
        self.env = SQSEnv(sqs_client=self.sqs)
        self.queue = self.env.queue("orders", visibility_timeout_seconds=180)
        self.other = self.env.queue("emails", dead_letter_queue=None, runs_on="external")
        self.queue.processor("ship", timeout=20, max_attempts=3)(ship)
        self.other.processor("mail")(mail)
        self.env.create_queues()
        self.refused: list[str] = []
        self.mapping = {
            "FunctionArn": f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:orders",
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "State": "Enabled",
        }
        self.function = {"FunctionName": "orders", "Timeout": 25, "CodeSha256": "x"}
        self.function_of = lambda **_: self.function
        self.mappings = [self.mapping]

    @property
    def url(self) -> str:
        return self.queue.queue_url

    def set(self, name: str = "orders", **attributes: str) -> None:
        self.sqs.set_queue_attributes(QueueUrl=self.env.get_queue_url(name), Attributes=attributes)

    def found(self, **options: object) -> dict[str, object]:
        identity = {"Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/session", "Account": ACCOUNT}
        sts = SimpleNamespace(get_caller_identity=lambda: identity, meta=SimpleNamespace(region_name="us-east-1"))
        functions = SimpleNamespace(
            list_event_source_mappings=lambda **_: {"EventSourceMappings": self.mappings},
            get_function_configuration=self.function_of,
        )
        given = {"sts": sts, "iam": self, "lambda_client": functions, **options}
        return {one.kind: one for one in examine(Examination(env=self.env, **given))}

    def simulate_principal_policy(self, **request):
        assert request["PolicySourceArn"] == f"arn:aws:iam::{ACCOUNT}:role/worker"
        results = [
            {
                "EvalActionName": action,
                "EvalResourceName": arn,
                "EvalDecision": "implicitDeny" if action in self.refused else "allowed",
            }
            for action in request["ActionNames"]
            for arn in request["ResourceArns"]
        ]
        return {"EvaluationResults": results}


def ship() -> None:
    mail_task.delay()


def mail() -> None:
    pass


mail_task = None


@pytest.fixture
def patient() -> Patient:
    return Patient()


def test_a_healthy_application_has_no_findings_and_no_message_is_received(patient):
    """Nothing is said, nothing received, nothing changed."""
    patient.queue.add_job("ship")

    assert patient.found() == {}
    assert patient.sqs.counts["receive_message"] == 0


def refuse(patient, method, error):
    patient.sqs.script(method, raising(error))


def client_error(code):
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "GetQueueUrl")


def headers(patient, text):
    answer = {"QueueUrl": patient.url, "ResponseMetadata": {"HTTPHeaders": {"date": text}}}
    patient.sqs.script("get_queue_url", lambda _: answer)
    return {"sts": None}


def without_dead_letters(patient):
    patient.env.delete_queue("orders_dead")


def bury(patient, attributes):
    url = patient.env.get_queue_url("orders_dead")
    patient.sqs.send_message(QueueUrl=url, MessageBody="{}", MessageAttributes=attributes)


def policy(patient, **statement):
    allowed = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*", **statement}
    patient.set(Policy=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))


def redrive(patient, receives):
    arn = patient.sqs.get_queue_attributes(
        QueueUrl=patient.env.get_queue_url("orders_dead"), AttributeNames=["QueueArn"]
    )["Attributes"]["QueueArn"]
    patient.set(RedrivePolicy=json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receives}))


def names_another_queue(patient):
    ship.__globals__["mail_task"] = patient.other.task("mail")
    patient.queue.processor("far", enqueues=["orders"])(ship)


def threads(patient):
    patient.other.processor("slow", timeout=5)(lambda: None)


def in_flight(patient):
    real = patient.session.client("sqs").get_queue_attributes

    def full(request):
        answer = real(**request)
        answer["Attributes"]["ApproximateNumberOfMessagesNotVisible"] = "119000"
        return answer

    patient.sqs.script("get_queue_attributes", full)


def broken_store(patient):
    def get(_: str) -> None:
        raise StoreUnavailableError("there is no table 'jobs'")

    patient.env.store = SimpleNamespace(get=get)


class Stacks:
    """What stacks have deployed."""

    def __init__(self, code=None, **resources):
        self._code, self._resources = code, resources

    def resources(self, kind):
        return [SimpleNamespace(physical_id=one) for one in self._resources.get(kind.rpartition(":")[2], ())]

    def code_sha256(self, _):
        return self._code


def stacks(**deployed):
    scheduler = SimpleNamespace(get_schedule=lambda **_: {})
    return {"stacks": Stacks(**deployed), "scheduler": scheduler}


def nightly(patient, *, deployed=True, **changes):
    patient.queue.processor("nightly", schedule=Cron("0 2 * * ? *"))(mail)
    scheduler = patient.session.client("scheduler")
    scheduler.create_schedule_group(Name="shop")
    target = {"Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage", "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/r"}
    target["Input"] = json.dumps({"QueueUrl": patient.url, "MessageBody": "{}"})
    window = {"Mode": "OFF"}
    request = {"ScheduleExpression": "rate(1 day)", "Target": target, "FlexibleTimeWindow": window, **changes}
    if deployed:
        scheduler.create_schedule(Name="orders.nightly", GroupName="shop", **request)
    return {"scheduler": scheduler, "schedule_group": "shop"}


def without_function(patient):
    def missing(**_):
        raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "no"}}, "GetFunctionConfiguration")

    patient.function_of = missing


def other_alias(patient):
    patient.mapping["FunctionArn"] += ":live"
    patient.function_of = lambda FunctionName: {
        **patient.function,
        "CodeSha256": "old" if FunctionName.endswith(":live") else "new",
    }


def other_app(patient):
    patient.function.update(Environment={"Variables": {"SQS_TASKS_APP": "other:env"}})
    return {"app": "shop:env"}


def rename(patient):
    patient.queue.processor("old", max_attempts=1)(mail)
    bury(patient, {"JobName": {"DataType": "String", "StringValue": "gone"}})
    return {"looks": True}


FAULTS = {
    "no-credentials": lambda p: refuse(p, "get_queue_url", NoCredentialsError()),
    "credentials-refused": lambda p: refuse(p, "get_queue_url", client_error("ExpiredToken")),
    "no-endpoint": lambda p: refuse(p, "get_queue_url", EndpointConnectionError(endpoint_url="http://x")),
    "no-region": lambda p: refuse(p, "get_queue_url", ConfigurationError("no AWS region is set")),
    "clock-skew": lambda p: headers(p, "Tue, 01 Dec 2026 00:03:00 GMT"),
    "timeout-not-enforced": threads,
    "enqueues-not-declared": names_another_queue,
    "queue-missing": lambda p: p.env.delete_queue("orders"),
    "setting-differs": lambda p: p.set(DelaySeconds="7"),
    "visibility-too-short": lambda p: p.set(VisibilityTimeout="5"),
    "in-flight-limit": in_flight,
    "policy-open": policy,
    "key-of-aws": lambda p: p.set(KmsMasterKeyId="alias/aws/sqs"),
    "dead-letter-queue-missing": without_dead_letters,
    "redrive-policy": lambda p: p.set(RedrivePolicy=""),
    "receives-differ": lambda p: redrive(p, 2),
    "dead-letters-expire": lambda p: p.set("orders_dead", MessageRetentionPeriod="3600"),
    "dead-letters": lambda p: bury(p, {}),
    "task-not-registered": rename,
    "right-missing": lambda p: p.refused.append("sqs:ChangeMessageVisibility"),
    "mapping-missing": lambda p: p.mappings.clear(),
    "mapping-response-types": lambda p: p.mapping.update(FunctionResponseTypes=[]),
    "mapping-state": lambda p: p.mapping.update(State="Disabled"),
    "function-timeout": lambda p: p.function.update(Timeout=10),
    "visibility-for-function": lambda p: p.function.update(Timeout=600),
    "function-old": lambda p: p.function.update(Environment={"Variables": {"SQS_TASKS_TASKS_HASH": "other"}}),
    "function-missing": without_function,
    "function-changed": lambda _: stacks(code="other"),
    "function-app": other_app,
    "function-differs": other_alias,
    "queue-not-registered": lambda _: stacks(Queue=["https://sqs/old"]),
    "schedule-differs": lambda _: stacks(ScheduleGroup=["shop"], Schedule=["old"]),
    "schedule-missing": lambda p: nightly(p, deployed=False),
    "schedule-off": lambda p: nightly(p, State="DISABLED"),
    "store-unavailable": broken_store,
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_planted_fault_is_found(patient, kind):
    """What, why it matters and the fix are all said, and a name for programs."""
    options = FAULTS[kind](patient)

    found = patient.found(**({} if options is None else options))

    assert kind in found
    finding = found[kind]
    assert finding.severity in {"error", "warning"}
    assert all(finding.as_dict().values())


def test_the_page_has_every_kind():
    """A finding's name leads to its row in the docs."""
    page = (Path(__file__).parents[4] / "docs" / "doctor.md").read_text()
    elsewhere = {"no-tasks", "deduplication-differs", "not-examined"}

    assert set(re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)) == FAULTS.keys() | elsewhere


def test_deduplication_that_differs_is_found():
    """On a FIFO queue."""
    env = SQSEnv(MemorySession())
    env.queue("a.fifo", content_based_deduplication=True)
    env.create_queues()
    env.client().set_queue_attributes(
        QueueUrl=env.get_queue_url("a.fifo"), Attributes={"ContentBasedDeduplication": "false"}
    )

    assert {"no-tasks", "deduplication-differs"} <= {one.kind for one in examine(Examination(env=env))}


def test_a_policy_with_a_condition_is_not_open(patient):
    """As those of S3, SNS and EventBridge have it."""
    policy(patient, Condition={"StringEquals": {"aws:SourceAccount": ACCOUNT}})

    assert patient.found() == {}


def test_a_right_that_is_missing_hides_nothing_else(patient):
    """What cannot be examined is said, and the rest is."""

    def refused(**_):
        raise client_error("AccessDenied")

    patient.simulate_principal_policy = refused
    patient.mapping.update(State="Disabled")

    found = patient.found()

    assert (found["not-examined"].subject, found["not-examined"].severity) == ("rights", "unknown")
    assert "mapping-state" in found


def test_without_credentials_nothing_more_is_asked(patient):
    """One finding, and not one for each queue."""
    refuse(patient, "get_queue_url", NoCredentialsError())

    assert set(patient.found()) == {"no-credentials"}
