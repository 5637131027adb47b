"""A plan in one of the forms, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqs_tasks.deployment.rendering.parts import Parts
from sqs_tasks.deployment.rendering.settings import RenderSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """What was rendered.

    Attributes:
        text: The file.
        notes: What is not in it, a sentence or two each.
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
    yield f"  sqs-tasks render {parts.app} --format {settings.form}"
    yield ""
    yield "Not in this file:"
    for note in parts.notes:
        yield f"- {note}"
    yield ""
    yield "To deploy:"
    yield from _deploy(parts, settings)


def _deploy(parts: Parts, settings: RenderSettings) -> Iterator[str]:
    has_functions = bool(parts.functions)
    file = settings.code or "function.zip"
    if has_functions:
        yield f"  sqs-tasks bundle {parts.app} -o {file} --python {settings.python} --arch {settings.architecture}"
    if settings.form == "terraform":
        given = f" -var code_zip={file}" if has_functions and settings.code is None else ""
        yield f"  terraform init && terraform apply{given}"
        return
    if settings.form == "sam" and settings.code is not None:
        yield "  sam deploy --template-file FILE --stack-name NAME --capabilities CAPABILITY_IAM --resolve-s3"
        return
    if has_functions:
        yield f"  aws s3 cp {file} s3://BUCKET/KEY"
    tool = "sam" if settings.form == "sam" else "aws cloudformation"
    given = " --parameter-overrides CodeBucket=BUCKET CodeKey=KEY" if has_functions else ""
    yield f"  {tool} deploy --template-file FILE --stack-name NAME --capabilities CAPABILITY_IAM{given}"
