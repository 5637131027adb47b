"""A plan as templates of CloudFormation and AWS SAM: by cfn-lint, by SAM's own transform, and by our rules.

That the numbers are those of the CDK stack is held by ``tests/infrastructure/test_rendered_twins.py``.
"""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.deployment.plan import SCHEMA_PATH, plan
from sqs_tasks.deployment.rendering.render import Rendering, render
from sqs_tasks.deployment.rendering.settings import RenderSettings
from sqs_tasks.deployment.template_file import read_template
from sqs_tasks.errors import ConfigurationError
from sqs_tasks_cdk.template_rules.checks import check
from tests.support import cfn_lint
from tests.support.registry_of_everything import APP, manifest_of_everything
from tests.support.sam import transformed

NOW = datetime(2030, 1, 31, 12, 7, tzinfo=UTC)
KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def rendered(form: Any, *, kms_key_arn: str | None = None, **settings: Any) -> Rendering:
    """The registry of everything in a form."""
    made = plan(manifest_of_everything(), kms_key_arn=kms_key_arn)
    return render(made, RenderSettings(form=form, **settings), now=NOW)


def document(rendering: Rendering, directory: Path) -> dict[str, Any]:
    """A rendering as a tool reads it."""
    path = directory / "template.yaml"
    path.write_text(rendering.text)
    return read_template(path)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return document(rendered("cloudformation"), tmp_path_factory.mktemp("cloudformation"))


@pytest.fixture(scope="module")
def sam(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return document(rendered("sam", max_concurrency={"emails": 5}), tmp_path_factory.mktemp("sam"))


def test_both_are_templates_that_cfn_lint_accepts(template: dict[str, Any], sam: dict[str, Any]) -> None:
    """AWS's own transform takes SAM's, and types, properties, values and references of every resource are right."""
    assert cfn_lint.findings(template, transformed(sam, CodeBucket="code", CodeKey="1.zip")) == ""


def test_the_rules_find_nothing(template: dict[str, Any], sam: dict[str, Any]) -> None:
    """R1 to R9, in each form and in what SAM makes of its own; and they do look."""
    after = transformed(sam, CodeBucket="code", CodeKey="1.zip")

    for one in (template, sam, after):
        assert [(found.id, found.resource) for found in check(one)] == []
    broken = copy.deepcopy(template)
    broken["Resources"]["EmailsQueue"]["Properties"]["VisibilityTimeout"] //= 10
    assert "R2-visibility" in {found.id for found in check(broken)}


def test_sam_makes_the_functions_and_mappings_of_cloudformation(template: dict[str, Any], sam: dict[str, Any]) -> None:
    """Property by property, but for the tag by which SAM marks what it made, and the concurrency that was set."""
    after = transformed(sam, CodeBucket="code", CodeKey="1.zip")["Resources"]

    for stem in ("Emails", "OrdersFifo", "Reports", "Old"):
        function = after[f"{stem}Function"]["Properties"]
        assert function.pop("Tags") == [{"Key": "lambda:createdBy", "Value": "SAM"}]
        assert function == template["Resources"][f"{stem}Function"]["Properties"]
        mapping = after[f"{stem}FunctionJobs"]["Properties"]
        assert mapping.pop("ScalingConfig", None) == ({"MaximumConcurrency": 5} if stem == "Emails" else None)
        assert mapping == template["Resources"][f"{stem}Mapping"]["Properties"]


def test_what_is_not_made_is_said_on_top_and_beside(template: dict[str, Any]) -> None:
    """Services of containers, queues that are there already, alarms: in the notes, and in the text."""
    made = rendered("cloudformation")
    head = " ".join(line.removeprefix("# ").strip() for line in made.text.partition("\nAWSTemplate")[0].splitlines())

    assert [note.split(" is ")[0].split(" are ")[0].split(" do ")[0] for note in made.notes] == [
        "Queue 'films'",
        "Queue 'tapes'",
        "Queue 'old'",
        "Large bodies of queue 'tapes' go to the bucket 'archive', which",
        "Tasks on 'reports', 'films'",
        "Alarms and a dashboard",
    ]
    assert all(note in head for note in made.notes)
    assert f"python -m sqs_tasks worker {APP} films" in head
    assert "OldQueue" not in template["Resources"]
    assert {"FilmsWorkerPolicy", "TapesWorkerPolicy"} <= template["Resources"].keys() & template["Outputs"].keys()
    assert not [one for one in template["Resources"] if one.startswith(("FilmsFunction", "TapesFunction"))]


def test_the_same_registry_gives_the_same_text(tmp_path: Path) -> None:
    """A difference in version control is a change of the registry; ids are made of the names of queues."""
    assert rendered("cloudformation").text == rendered("cloudformation").text
    env = SQSEnv(region_name="us-east-1")
    env.queue("z").processor("z", enqueues=[])(print)
    before = document(render(plan(env.manifest(app=APP)), RenderSettings(form="cloudformation")), tmp_path)
    env.queue("a").processor("a", enqueues=[])(print)
    after = document(render(plan(env.manifest(app=APP)), RenderSettings(form="cloudformation")), tmp_path)
    assert before["Resources"].items() <= after["Resources"].items()


def test_a_schedule_sends_what_the_application_wrote(template: dict[str, Any]) -> None:
    """What looks like a placeholder in its arguments stays what it is, and a rate keeps its step."""
    schedules = {
        one["Properties"]["Name"]: one["Properties"]
        for one in template["Resources"].values()
        if one["Type"] == "AWS::Scheduler::Schedule"
    }
    nightly, sweep = schedules["emails.send.nightly"], schedules["emails.sweep"]
    text = nightly["Target"]["Input"]["Fn::Sub"].replace("${EmailsQueue}", "URL").replace("${!", "${")

    assert json.loads(json.loads(text)["MessageBody"]) == {"to": '${region} "all"'}
    assert json.loads(text)["QueueUrl"] == "URL"
    assert (nightly["ScheduleExpression"], nightly["ScheduleExpressionTimezone"]) == (
        "cron(0 2 * * ? *)",
        "Europe/Berlin",
    )
    assert (sweep["State"], sweep["StartDate"]) == ("DISABLED", "2030-01-31T12:15:00Z")
    assert sweep["FlexibleTimeWindow"] == {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5}


def test_a_key_of_ones_own_encrypts_every_queue(tmp_path: Path) -> None:
    """And whoever works a queue, or sends for a schedule, may use it."""
    resources = document(rendered("cloudformation", kms_key_arn=KEY), tmp_path)["Resources"]
    queues = [one["Properties"] for one in resources.values() if one["Type"] == "AWS::SQS::Queue"]
    roles = [one["Properties"] for one in resources.values() if one["Type"] == "AWS::IAM::Role"]

    assert {one["KmsMasterKeyId"] for one in queues} == {KEY}
    assert not [one for one in queues if "SqsManagedSseEnabled" in one]
    for role in roles:
        (policy,) = role["Policies"]
        assert [one["Resource"] for one in policy["PolicyDocument"]["Statement"] if one["Sid"] == "UseTheKey"] == [
            [KEY]
        ]


def test_workers_that_may_add_anywhere_share_a_policy(template: dict[str, Any]) -> None:
    """A queue more is a change of one policy, and no role outgrows what IAM takes."""
    resources = template["Resources"]

    assert resources["ReportsRole"]["Properties"]["ManagedPolicyArns"] == [{"Ref": "Anywhere1SendPolicy"}]
    (statement,) = resources["Anywhere1SendPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert {"Fn::GetAtt": ["EmailsQueue", "Arn"]} in statement["Resource"]
    assert {"Fn::Sub": "arn:${AWS::Partition}:sqs:eu-west-1:210987654321:old"} in statement["Resource"]
    env = SQSEnv(region_name="us-east-1", queue_prefix="a-rather-long-prefix-of-a-rather-large-registry-")
    for number in range(50):
        env.queue(f"queue-{number}", runs_on="fargate").processor("task")(print)
    made = render(plan(env.manifest(app=APP)), RenderSettings(form="cloudformation")).text
    assert "Anywhere2SendPolicy" in made


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"code": "function.zip"}, "takes the code of functions from S3 alone"),
        ({"python": "313"}, "no release of Python"),
        ({"variables": {"SQS_TASKS_APP": "other:env"}}, "names that begin with SQS_TASKS_ are taken"),
        ({"max_concurrency": {"films": 5}}, "which no function works"),
        ({"memory": {"emails": 64}}, r"memory of queue 'emails'=64 must be .* from 128 to 10240"),
        ({"max_concurrency": {"emails": 1}}, "Lambda allows 2 to 1000"),
        ({"max_concurrency": {"emails": 9}, "reserved_concurrency": {"emails": 5}}, "reserve 9 or more"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], text: str) -> None:
    """With what is allowed."""
    with pytest.raises(ConfigurationError, match=text):
        rendered("cloudformation", **settings)


def test_memory_and_concurrency_that_are_set_are_rendered(tmp_path: Path) -> None:
    """The memory and the share of the function, and the most of the mapping."""
    sizes: dict[str, Any] = {"max_concurrency": {"emails": 5}, "reserved_concurrency": {"emails": 6}}
    made = rendered("cloudformation", memory={"emails": 1_024}, **sizes)
    resources = document(made, tmp_path)["Resources"]

    assert resources["EmailsMapping"]["Properties"]["ScalingConfig"] == {"MaximumConcurrency": 5}
    assert resources["EmailsFunction"]["Properties"]["ReservedConcurrentExecutions"] == 6
    assert resources["EmailsFunction"]["Properties"]["MemorySize"] == 1_024
    assert resources["ReportsFunction"]["Properties"]["MemorySize"] == 512


def test_variables_of_ones_own_are_rendered_as_they_stand(tmp_path: Path) -> None:
    """They are no placeholders of the plan, and win over what a worker may be given otherwise."""
    given = {"DATABASE": "{{resolve:ssm:/shop/${region}}}", "POWERTOOLS_LOG_LEVEL": "DEBUG"}
    resources = document(rendered("cloudformation", variables=given), tmp_path)["Resources"]
    variables = resources["EmailsFunction"]["Properties"]["Environment"]["Variables"]

    assert {name: variables[name] for name in given} == given


def test_the_command_on_top_gives_the_same_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every option that was given, and the stage, quoted for a shell."""
    monkeypatch.setenv("SQS_TASKS_STAGE", "dev")
    options = {"python": "3.12", "architecture": "x86_64", "max_concurrency": {"emails": 5}, "variables": {"A": "b c"}}
    line = next(
        line
        for line in rendered("sam", kms_key_arn=KEY, code="a.zip", **options).text.splitlines()
        if " render " in line
    )

    assert line == (
        f"#   SQS_TASKS_STAGE=dev sqs-tasks render {APP} --format sam --python 3.12 --arch x86_64 --code a.zip "
        f"--kms-key-arn {KEY} --max-concurrency emails=5 --variable 'A=b c'"
    )


def test_two_queues_of_one_id_are_refused() -> None:
    """A number behind one of them would make it another queue when their order changes."""
    env = SQSEnv(region_name="us-east-1")
    env.queue("send-mail").processor("a")(print)
    env.queue("send_mail").processor("b")(print)

    with pytest.raises(ConfigurationError, match="'send-mail_dead' and 'send_mail_dead' would both be 'SendMailDead'"):
        render(plan(env.manifest(app=APP)), RenderSettings(form="cloudformation"))


def test_a_registry_that_outgrows_a_stack_is_refused() -> None:
    """CloudFormation would say so half way through the upload."""
    env = SQSEnv(region_name="us-east-1")
    for number in range(63):
        env.queue(f"queue-{number}").processor("task", enqueues=[])(print)

    with pytest.raises(ConfigurationError, match="504 resources"):
        render(plan(env.manifest(app=APP)), RenderSettings(form="cloudformation"))
    with pytest.raises(ConfigurationError, match="504 resources"):
        render(plan(env.manifest(app=APP)), RenderSettings(form="sam"))


#: What the renderings read of a plan, of its queues and of its workers.
FIELDS = "app kms_key_arn queue_prefix queues schedule_definitions schedules schema_version sqs_tasks_version workers"
QUEUE_FIELDS = (
    "name queue_name queue_url fifo content_based_deduplication delay_seconds visibility_timeout_seconds offload "
    "message_retention_seconds max_receive_count dead_letter_queue"
)
WORKER_FIELDS = "queue adds_jobs_anywhere policy environment runs_on"
FUNCTION_FIELDS = "handler timeout_seconds memory_mb allow_recursive_loop log_retention_days event_source"
SOURCE_FIELDS = "batch_size batching_window_seconds report_batch_item_failures"
CONTAINER_FIELDS = "command stop_timeout_seconds"


def test_every_field_of_a_plan_is_rendered() -> None:
    """A field that a plan gains must be rendered, or be named in the notes, before it is added above."""
    schema = json.loads(SCHEMA_PATH.read_text())["properties"]
    queue = schema["queues"]["items"]["properties"]
    function, container = (one["properties"] for one in schema["workers"]["items"]["oneOf"])

    for fields, read in (
        (schema, FIELDS),
        (queue, QUEUE_FIELDS),
        (function, f"{WORKER_FIELDS} {FUNCTION_FIELDS}"),
        (function["event_source"]["properties"], SOURCE_FIELDS),
        (container, f"{WORKER_FIELDS} {CONTAINER_FIELDS}"),
    ):
        assert fields.keys() == set(read.split())
