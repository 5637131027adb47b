"""A plan in one of the forms, as text."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqs_tasks.deployment.rendering.parts import Parts
from sqs_tasks.deployment.rendering.settings import DEFAULT_ARCHITECTURE, DEFAULT_PYTHON, RenderSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """What was rendered.

    Attributes:
        text: The file.
        notes: What is not in it, and what else there is to know; a few sentences each.
    """

    text: str
    notes: tuple[str, ...]


def render(plan: Mapping[str, Any], settings: RenderSettings, *, now: datetime | None = None) -> Rendering:
    """A plan as a file that others deploy; the same plan gives the same text.

    Args:
        plan: What :func:`sqs_tasks.deployment.plan.plan` returned.
        settings: What the plan leaves open.
        now: When it is rendered, which matters to a rate whose start has passed: it begins with its next step.

    Raises:
        ConfigurationError: The settings do not fit the plan, or the form cannot hold it.
    """
    from sqs_tasks.deployment.rendering.cloudformation import CloudFormation
    from sqs_tasks.deployment.rendering.terraform import Terraform

    parts = Parts.of(plan, settings)
    moment = now or datetime.now(UTC)
    form = Terraform if settings.form == "terraform" else CloudFormation
    text = form(parts=parts, settings=settings, now=moment).text(list(_head(parts, settings)))
    return Rendering(text=text, notes=parts.notes)


def _head(parts: Parts, settings: RenderSettings) -> Iterator[str]:
    """The lines of the comment at the top; an indented line is a command, or one of a list."""
    yield f"Queues and workers of {parts.app}, as sqs-tasks {parts.version} renders them."
    yield "What is changed here by hand is lost with the next rendering. Change the registry, and run:"
    yield f"  {_command(parts, settings)}"
    yield ""
    yield "Notes:"
    for note in parts.notes:
        yield f"- {note}"
    yield ""
    yield "To deploy:"
    for line in _deployment(parts, settings):
        yield f"  {line}"


def _command(parts: Parts, settings: RenderSettings) -> str:
    """The command that gives the same file again."""
    words = ["sqs-tasks", "render", parts.app, "--format", settings.form]
    if settings.python != DEFAULT_PYTHON:
        words += ["--python", settings.python]
    if settings.architecture != DEFAULT_ARCHITECTURE:
        words += ["--arch", settings.architecture]
    if settings.code is not None:
        words += ["--code", settings.code]
    if parts.kms_key_arn is not None:
        words += ["--kms-key-arn", parts.kms_key_arn]
    for option, values in (
        ("--memory", settings.memory),
        ("--max-concurrency", settings.max_concurrency),
        ("--reserved-concurrency", settings.reserved_concurrency),
        ("--variable", settings.variables),
    ):
        for name, value in values.items():
            words += [option, f"{name}={value}"]
    stage = [f"{name}={shlex.quote(value)}" for name, value in parts.stage.items()]
    return " ".join([*stage, *map(shlex.quote, words)])


def _deployment(parts: Parts, settings: RenderSettings) -> Iterator[str]:
    """The commands that deploy the file."""
    has_functions = bool(parts.functions)
    code = settings.code or "function.zip"
    if has_functions:
        platform = f"--python {settings.python} --arch {settings.architecture}"
        yield f"sqs-tasks bundle {parts.app} -o {shlex.quote(code)} {platform}"
    if settings.form == "terraform":
        given = f" -var code_zip={code}" if has_functions and settings.code is None else ""
        yield f"terraform init && terraform apply{given}"
        return
    tool = "sam" if settings.form == "sam" else "aws cloudformation"
    given = ""
    if has_functions and settings.code is None:
        yield f"aws s3 cp {code} s3://BUCKET/KEY"
        given = " --parameter-overrides CodeBucket=BUCKET CodeKey=KEY"
    deploy = f"{tool} deploy --template-file FILE --stack-name NAME --capabilities CAPABILITY_IAM --s3-bucket BUCKET"
    yield f"{deploy}{given}"
