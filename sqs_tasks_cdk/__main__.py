"""The CDK app behind ``cdk.json``: a stack from a registry, without a line of code.

Context says which (``cdk deploy -c app=myapp.tasks:env``):

- ``manifest``: the path of a manifest file; nothing of the application is then imported.
- ``app``: ``module:attribute`` of the environment, whose manifest ``sqs-tasks manifest`` is asked for.
- ``stage``: which stage of the registry: part of the names of its queues, and of the stack's.
- ``queue_prefix``: what queue names begin with in place of the registry's prefix.
- ``stack``: the stack's name; made of the registry's prefix or the application's name when left out.
- ``vpc``, ``environment``, ``secrets``, ``memory``, ``runtime``, ``removal_policy``, ``account``, ``region``: settings
  of workers, queues and the stack; ``settings`` names a function that returns any others.
- ``without_tasks``: ``true`` for a registry without tasks, which is refused otherwise: a stack of queues alone.
- ``alarm_email`` or ``alarm_topic_arn``: who is notified of alarms. With one of them, or with
  ``alarms_declined_because``, there are alarms and a dashboard.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from aws_cdk import Annotations, App, Environment, NestedStack, Stack
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions

from sqs_tasks_cdk.context_settings import give_secrets, is_without_tasks, settings_hook, settings_of
from sqs_tasks_cdk.environment import app_package
from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.manifest import Manifest
from sqs_tasks_cdk.stack import TaskStack
from sqs_tasks_cdk.stages import PREFIX_VARIABLE, STAGE_VARIABLE, staged

#: The registry that a checkout of this repository deploys.
EXAMPLE_APP = "examples.shop.tasks:env"


#: Queues whose alarms fit into the same stack: 18 resources each, of 500.
MAX_QUEUES_WATCHED_INSIDE = 25

#: Queues whose addresses fit into the outputs of one stack.
MAX_QUEUES_WITH_OUTPUTS = 40

#: Queues whose alarms fit into one stack.
MAX_QUEUES_IN_ONE_STACK = 55


def main() -> None:
    """Synthesise the stack that the context asks for."""
    app = App()
    try:
        stage, prefix = app.node.try_get_context("stage"), app.node.try_get_context("queue_prefix")
        manifest = staged(
            read_manifest(
                path=app.node.try_get_context("manifest"),
                app=app.node.try_get_context("app") or EXAMPLE_APP,
                variables={
                    name: value for name, value in ((STAGE_VARIABLE, stage), (PREFIX_VARIABLE, prefix)) if value
                },
                without_tasks=is_without_tasks(app),
            ),
            stage=stage,
            queue_prefix=prefix,
        )
        make_stack(app, manifest)
        app.synth()
    except StackError as error:
        _give_up(str(error))
    except RuntimeError as error:
        # What the constructs say at the end of the synthesis comes through the CDK.
        if "Validation failed" not in str(error):
            raise
        _give_up(str(error))


def make_stack(app: App, manifest: Manifest) -> TaskStack:
    """The stack with what the context and the settings function say, and warnings of what they leave open.

    Raises:
        StackError: What the constructs refuse, or a value that the context cannot have.
    """
    hook = settings_hook(app.node.try_get_context("settings"))
    watch: dict[str, Any] = {}

    def configure(stack: Stack, manifest: Manifest) -> Mapping[str, Any]:
        settings = settings_of(stack, manifest, hook)
        watch.update(settings.pop("monitoring", None) or {})
        return settings

    name = app.node.try_get_context("stack") or stack_name(manifest)
    stack = TaskStack(app, name, manifest=manifest, env=_place(app), configure=configure)
    give_secrets(stack, stack.tasks.workers.workers)
    if len(manifest.queues) <= MAX_QUEUES_WITH_OUTPUTS:
        stack.tasks.add_outputs()
    if watch:
        stack.tasks.monitor(**watch)
    else:
        monitor(stack)
    if app.node.try_get_context("removal_policy") == "destroy":
        Annotations.of(stack).add_warning_v2(
            "sqs-tasks:destroy", "removal_policy=destroy: queues and their messages are deleted with the stack."
        )
    return stack


def _place(app: App) -> Environment | None:
    """The account and region that the context says; those of the credentials where a network is looked up."""
    account, region = app.node.try_get_context("account"), app.node.try_get_context("region")
    if app.node.try_get_context("vpc") is not None:
        account = account or os.environ.get("CDK_DEFAULT_ACCOUNT")
        region = region or os.environ.get("CDK_DEFAULT_REGION")
    return None if account is None and region is None else Environment(account=account, region=region)


def monitor(stack: TaskStack) -> None:
    """Add alarms and a dashboard if the context says who is notified of alarms, or why nobody is.

    If it says nothing, that is a warning.

    Raises:
        StackError: It says more than one.
    """
    names = ("alarm_email", "alarm_topic_arn", "alarms_declined_because")
    given = {name: value for name in names if (value := stack.node.try_get_context(name))}
    if len(given) > 1:
        raise StackError(f"{' and '.join(given)} are given together; give only one of them")
    if not given:
        Annotations.of(stack).add_warning_v2(
            "sqs-tasks:no-alarms",
            "Nobody is notified when jobs fail: there are no alarms and no dashboard. Say -c alarm_email=..., -c "
            "alarm_topic_arn=... or -c alarms_declined_because=..., or return 'monitoring' from the settings function.",
        )
        return
    # Beyond what one stack can hold, alarms find a place by themselves.
    is_large = MAX_QUEUES_WATCHED_INSIDE < len(stack.tasks.manifest.queues) <= MAX_QUEUES_IN_ONE_STACK
    scope = NestedStack(stack, "Watch") if is_large else None
    if "alarm_email" in given:
        topic: sns.ITopic = sns.Topic(stack, "Alarms", enforce_ssl=True)
        topic.add_subscription(subscriptions.EmailSubscription(given["alarm_email"]))
        stack.tasks.monitor(alarm_topic=topic, scope=scope)
    elif "alarm_topic_arn" in given:
        topic = sns.Topic.from_topic_arn(stack, "Alarms", given["alarm_topic_arn"])
        stack.tasks.monitor(alarm_topic=topic, scope=scope)
    else:
        stack.tasks.monitor(alarms_declined_because=given["alarms_declined_because"], scope=scope)


def read_manifest(
    *,
    path: str | None,
    app: str,
    variables: Mapping[str, str] = MappingProxyType({}),
    without_tasks: bool = False,
) -> Manifest:
    """The manifest file at ``path``, or what ``sqs-tasks manifest`` says of ``app``.

    Args:
        path: The file, or None.
        app: ``module:attribute`` of the environment.
        variables: Variables of the process that imports it.
        without_tasks: Whether it may register no task.

    Raises:
        ManifestError: The file or the answer is not a manifest.
        StackError: ``sqs-tasks manifest`` failed; the text holds what it said.
    """
    if path is not None:
        return Manifest.from_file(path)
    command = shutil.which("sqs-tasks", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if command is None:
        raise StackError(
            "there is no 'sqs-tasks' command to ask for the manifest; install 'sqs-tasks[cli]', or give a file with "
            "-c manifest=tasks.json"
        )
    # The application runs in a process of its own: what it imports and prints is not the CDK app's business (C13).
    done = subprocess.run(  # noqa: S603  # a module name from the caller's own command line, and no shell
        [command, "manifest", app, *(["--without-tasks"] if without_tasks else [])],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "SQS_TASKS_SYNTH": "1", "PYTHONPATH": _python_path(), **variables},
    )
    if done.returncode != 0:
        raise StackError(f"'sqs-tasks manifest {app}' failed:\n{(done.stderr or done.stdout).strip()}")
    return Manifest.from_json(done.stdout)


def stack_name(manifest: Manifest) -> str:
    """A name for the stack that two registries in one account do not share: ``shop-`` becomes ``shop-tasks``."""
    stage = "" if manifest.stage is None else f"{manifest.stage}-"
    own = manifest.queue_prefix.removesuffix(stage)
    stem = f"{own or (app_package(manifest.app) if manifest.app is not None else 'sqs')}-{stage}"
    words = re.findall(r"[A-Za-z0-9]+", stem)
    return "-".join([*words, "tasks"]) if words and words[0][0].isalpha() else "-".join(["sqs", *words, "tasks"])


def _python_path() -> str:
    inherited = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(Path.cwd()), *([inherited] if inherited else [])])


def _give_up(text: str) -> NoReturn:
    sys.stderr.write(f"error: {text}\n")
    sys.exit(1)


if __name__ == "__main__":
    main()
