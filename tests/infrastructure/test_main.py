"""``python -m sqs_tasks_cdk``, what ``cdk.json`` runs: a stack from a registry without a line of code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aws_cdk import App
from aws_cdk.aws_lambda import Code

from sqs_tasks_cdk import __main__ as main
from sqs_tasks_cdk.errors import ManifestError, StackError
from sqs_tasks_cdk.manifest import Manifest
from sqs_tasks_cdk.stack import TaskStack
from tests.support.manifests import manifest, queue
from tests.support.templates import Resources

ROOT = Path(__file__).parents[2]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for ``sqs-tasks``, beside the interpreter, that shows what it was called with."""
    path = tmp_path / "bin" / "sqs-tasks"
    path.parent.mkdir()
    path.write_text(
        "#!/bin/sh\n"
        f'echo "$@" "SYNTH=$SQS_TASKS_SYNTH" "PATH=$PYTHONPATH" > {tmp_path}/called\n'
        f"cat {tmp_path}/answer\n"
        f"cat {tmp_path}/error >&2 2>/dev/null\n"
        f"test ! -s {tmp_path}/error\n"
    )
    path.chmod(0o755)
    (tmp_path / "answer").write_text(json.dumps(manifest()))
    (tmp_path / "error").write_text("")
    monkeypatch.setattr(sys, "executable", str(path.parent / "python"))
    return path


def test_application_is_asked_in_a_process_of_its_own(
    command: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C13: ``sqs-tasks manifest`` runs from the present directory and knows that it is a synth."""
    monkeypatch.chdir(tmp_path)

    read = main.read_manifest(path=None, app="shop.tasks:env")

    assert read == Manifest.read(manifest())
    assert (tmp_path / "called").read_text().startswith(f"manifest shop.tasks:env SYNTH=1 PATH={tmp_path}")


def test_application_is_asked_in_its_stage(command: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``-c stage=dev`` says is known while the application is imported."""
    command.write_text(command.read_text().replace("SYNTH=$SQS_TASKS_SYNTH", "STAGE=$SQS_TASKS_STAGE"))

    main.read_manifest(path=None, app="shop.tasks:env", variables={"SQS_TASKS_STAGE": "dev"})

    assert " STAGE=dev " in (tmp_path / "called").read_text()


def test_application_without_tasks_is_asked_for_its_queues(
    command: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ``-c without_tasks=true`` allows is allowed to the command too, which would refuse it."""
    monkeypatch.chdir(tmp_path)

    main.read_manifest(path=None, app="shop.tasks:env", without_tasks=True)

    assert (tmp_path / "called").read_text().startswith("manifest shop.tasks:env --without-tasks ")


@pytest.mark.parametrize(
    ("prefix", "stage", "name"),
    [("shop-dev-", "dev", "shop-dev-tasks"), ("dev-", "dev", "shop-dev-tasks"), ("acme-", None, "acme-tasks")],
)
def test_stack_is_named_after_its_stage(prefix: str, stage: str | None, name: str) -> None:
    """Two stages in one account get two stacks without a word about it."""
    registry = {**manifest(queue(prefix=prefix), prefix=prefix), **({} if stage is None else {"stage": stage})}

    assert main.stack_name(Manifest.read(registry)) == name


def test_failing_application_is_quoted(command: Path, tmp_path: Path) -> None:
    """An application that cannot be imported says why."""
    (tmp_path / "error").write_text("ModuleNotFoundError: No module named 'shop'\n")

    with pytest.raises(StackError, match=r"'sqs-tasks manifest shop\.tasks:env' failed:\nModuleNotFoundError"):
        main.read_manifest(path=None, app="shop.tasks:env")


def test_application_that_prints_is_not_a_manifest(command: Path, tmp_path: Path) -> None:
    """An application that writes to standard output spoils the manifest, and that is told."""
    (tmp_path / "answer").write_text("loading...\n{}")

    with pytest.raises(ManifestError, match="not JSON"):
        main.read_manifest(path=None, app="shop.tasks:env")


def test_missing_command_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the command line the ways to a manifest are told."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(StackError, match=r"install 'sqs-tasks\[cli\]', or give a file with -c manifest="):
        main.read_manifest(path=None, app="shop.tasks:env")


@pytest.mark.parametrize(
    ("prefix", "app", "name"),
    [
        ("shop-", "shop.tasks:env", "shop-tasks"),
        ("shop_prod_", "shop.tasks:env", "shop-prod-tasks"),
        ("", "my_app.tasks:env", "my-app-tasks"),
        ("", None, "sqs-tasks"),
        ("2nd-", None, "sqs-2nd-tasks"),
    ],
)
def test_stack_is_named_after_the_registry(prefix: str, app: str | None, name: str) -> None:
    """Two registries in one account get two stacks, named as CloudFormation allows."""
    assert main.stack_name(Manifest.read(manifest(queue(prefix=prefix), prefix=prefix, app=app))) == name


def _synth(tmp_path: Path, **context: object) -> subprocess.CompletedProcess[str]:
    """Run the module as the CDK does, without bundling."""
    return subprocess.run(
        [sys.executable, "-m", "sqs_tasks_cdk"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "CDK_OUTDIR": str(tmp_path / "cdk.out"),
            "CDK_CONTEXT_JSON": json.dumps({"aws:cdk:bundling-stacks": [], **context}),
        },
    )


def test_module_synthesises_without_an_account(tmp_path: Path) -> None:
    """No account, no credentials: a manifest file is enough for a template."""
    file = tmp_path / "tasks.json"
    file.write_text(json.dumps(manifest(app="examples.shop.tasks:env")))

    done = _synth(tmp_path, manifest=str(file), stack="Shop")

    assert done.returncode == 0, done.stderr
    template = json.loads((tmp_path / "cdk.out" / "Shop.template.json").read_text())
    names = {item["Properties"].get("QueueName") for item in template["Resources"].values() if "Queue" in item["Type"]}
    assert {"shop-emails", "shop-emails_dead"} <= names


def test_context_says_the_stage(tmp_path: Path) -> None:
    """``cdk deploy -c stage=dev`` is another stack with other queues, whose workers know it."""
    file = tmp_path / "tasks.json"
    file.write_text(json.dumps(manifest(app="examples.shop.tasks:env")))

    done = _synth(tmp_path, manifest=str(file), stage="dev", queue_prefix="acme-")

    assert done.returncode == 0, done.stderr
    template = json.loads((tmp_path / "cdk.out" / "acme-dev-tasks.template.json").read_text())
    names = {item["Properties"].get("QueueName") for item in template["Resources"].values() if "Queue" in item["Type"]}
    assert {"acme-dev-emails", "acme-dev-emails_dead"} <= names
    assert '"SQS_TASKS_STAGE": "dev"' in json.dumps(template)


def test_module_gives_up_in_one_line(tmp_path: Path) -> None:
    """What the author can mend is told without a traceback, and the CDK sees a failure."""
    done = _synth(tmp_path, manifest=str(tmp_path / "missing.json"))

    assert done.returncode == 1
    assert "error: manifest: cannot read" in done.stderr
    assert "Traceback" not in done.stderr


def test_repository_deploys_its_example(tmp_path: Path) -> None:
    """``cdk synth`` in a checkout gives the stack of the example application."""
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    assert context["app"] == main.EXAMPLE_APP

    done = _synth(tmp_path, **context)

    assert done.returncode == 0, done.stderr
    (template,) = (tmp_path / "cdk.out").glob("*.template.json")
    resources = json.loads(template.read_text())["Resources"].values()
    assert any(item["Type"] == "AWS::Lambda::EventSourceMapping" for item in resources)


@pytest.mark.parametrize(
    ("context", "topics", "alarms"),
    [
        ({}, 0, 0),
        ({"alarm_email": "ops@example.com"}, 1, 9),
        ({"alarm_topic_arn": "arn:aws:sns:us-east-1:123456789012:ops"}, 0, 9),
        ({"alarms_declined_because": "a sandbox"}, 0, 9),
    ],
)
def test_context_says_whom_alarms_tell(tmp_path: Path, context: dict[str, str], topics: int, alarms: int) -> None:
    """Alarms come with somebody who hears them, or with a reason."""
    app = App(outdir=str(tmp_path / "cdk.out"), context=context)
    stack = TaskStack(
        app, "Shop", manifest=manifest(), lambda_defaults={"code": Code.from_inline("def handler(): ...")}
    )

    main.monitor(stack)

    resources = Resources(stack)
    assert len(resources.of_type("SNS::Topic")) == topics
    assert len(resources.of_type("CloudWatch::Alarm")) == alarms
    subscriptions = [item["Properties"]["Endpoint"] for item in resources.of_type("SNS::Subscription").values()]
    assert subscriptions == [context.get("alarm_email")] * topics
    # Z6: without this statement CloudWatch could not publish, and the address would never get a message.
    admitted = [
        statement["Principal"]
        for policy in resources.of_type("SNS::TopicPolicy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow" and statement["Action"] == "sns:Publish"
    ]
    assert admitted == [{"Service": "cloudwatch.amazonaws.com"}] * topics


def test_two_answers_to_whom_alarms_tell_are_refused(tmp_path: Path) -> None:
    """One of the words in the context decides, so two are a mistake."""
    app = App(context={"alarm_email": "ops@example.com", "alarms_declined_because": "a sandbox"})
    stack = TaskStack(
        app, "Shop", manifest=manifest(), lambda_defaults={"code": Code.from_inline("def handler(): ...")}
    )

    with pytest.raises(StackError, match="alarm_email and alarms_declined_because are given together"):
        main.monitor(stack)
